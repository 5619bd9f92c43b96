"""A sweep and a closed account, cut at every boundary: once or not at all, and the books agree with the chain."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.doubles.plain_chain import RENT_LAMPORTS, Endpoint
from tests.doubles.upkeep_chain import UpkeepChain, keeping_up
from tests.support.execution import Knife, finish, keep_statements, live_once

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.model.intent import Intent, IntentKind, IntentRecord, IntentState

pytestmark = pytest.mark.requirement("T10")

WALLET = "US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx"
START_LAMPORTS = 5 * 10**9
SWEPT = 10**9


def calm(_chain: UpkeepChain) -> None:
    """Nothing goes wrong."""


def answer_lost(chain: UpkeepChain) -> None:
    for endpoint in chain.endpoints:
        endpoint.loses_answers = 2


def first_attempt_expires(chain: UpkeepChain) -> None:
    for endpoint in chain.endpoints:
        endpoint.drops_sends = 30


Weather = Callable[[UpkeepChain], None]


def a_chain(weather: Weather, kind: IntentKind) -> tuple[UpkeepChain, Intent]:
    chain = UpkeepChain(endpoints=[Endpoint("a"), Endpoint("b")], slots_per_wait=4)
    chain.wallets[WALLET] = [START_LAMPORTS, 0]
    weather(chain)
    return chain, keeping_up(chain, WALLET, kind, SWEPT if kind is IntentKind.SWEEP else 0)


def held_against_chain(chain: UpkeepChain, path: Path, known: IntentRecord) -> None:
    settled = known.settlement
    assert known.state is IntentState.SETTLED, known
    assert settled is not None
    assert len(chain.upkeep) == 1
    is_sweep = known.intent.kind is IntentKind.SWEEP
    assert chain.cold == settled.out_units == (SWEPT if is_sweep else 0)
    assert settled.rent_lamports == (0 if is_sweep else -RENT_LAMPORTS)
    spent = settled.in_units + settled.fee_lamports + settled.rent_lamports
    assert START_LAMPORTS - spent == chain.wallets[WALLET][0]
    journal = SqlExecutionJournal.at(path, chain.now_ns)
    assert (journal.unfinished(), journal.reserved(WALLET), journal.halted()) == ([], {}, {})
    journal.close()


@pytest.fixture
def disk() -> Path:
    place = Path("/dev/shm")
    return Path(tempfile.mkdtemp(dir=place if place.is_dir() else None))


@pytest.mark.parametrize(
    ("weather", "kind"), [(first_attempt_expires, IntentKind.SWEEP), (answer_lost, IntentKind.CLOSE_ACCOUNTS)]
)
def test_a_process_that_dies_anywhere_keeps_up_once(
    weather: Weather, kind: IntentKind, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_statements(monkeypatch)
    empty, path = disk / "empty.db", disk / "run.db"
    SqlExecutionJournal.at(empty, lambda: 0).close()
    knife = Knife()
    assert live_once(disk / "whole.db", *a_chain(weather, kind), knife) is not None
    last_of = {name: at for at, name in enumerate(knife.boundaries)}
    first_of = {name: at for at, name in reversed(list(enumerate(knife.boundaries)))}
    for place in sorted({*last_of.values(), *first_of.values()}):
        chain, intent = a_chain(weather, kind)
        shutil.copy(empty, path)
        assert live_once(path, chain, intent, Knife(place)) is None, place
        chain.tick((0, 1, 40, 200)[place % 4])
        held_against_chain(chain, path, finish(path, chain, intent))


def test_a_sweep_that_is_not_what_was_signed_waits_for_a_person(disk: Path) -> None:
    chain, intent = a_chain(calm, IntentKind.SWEEP)
    honest = chain.transaction

    async def dishonest(signature: str) -> object:
        seen = await honest(signature)
        if seen is not None:
            before, after = seen.lamports[intent.to_address]
            seen.lamports[intent.to_address] = (before, after - 1)
        return seen

    chain.transaction = dishonest  # type: ignore[method-assign, assignment]
    known = live_once(disk / "review.db", chain, intent)
    assert known is not None
    assert known.state is IntentState.NEEDS_REVIEW
    assert "arrived at" in known.problem
