"""When the collector runs, and what it looks at."""

import gc
from collections.abc import Iterator

import pytest

from memmcp_server.adapters.garbage import uncollected


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_nothing_is_collected_until_the_last_block_has_ended_and_what_is_there_stays_aside() -> None:
    frozen = gc.get_freeze_count()
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
        assert gc.get_freeze_count() == frozen
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen


def test_a_block_that_fails_lets_the_collector_run_again() -> None:
    with pytest.raises(RuntimeError), uncollected():
        raise RuntimeError
    assert gc.isenabled()
