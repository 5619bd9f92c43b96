"""One error of ours comes out of a group as it is; anything else stays what it was."""

import pytest

from trading.errors import ChainUnavailable, WrongChain
from trading.runtime.unwrapping import unwrapped


def test_an_error_of_ours_comes_out_of_groups_within_groups() -> None:
    cause = ChainUnavailable("nobody answers")
    with pytest.raises(ChainUnavailable) as raised, unwrapped():
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [cause])])
    assert raised.value is cause


@pytest.mark.parametrize("several", [[ValueError("a fault")], [WrongChain("one"), WrongChain("two")]])
def test_a_fault_and_several_errors_stay_a_group(several: list[Exception]) -> None:
    with pytest.raises(ExceptionGroup), unwrapped():
        raise ExceptionGroup("all of them", several)


def test_what_is_no_group_passes() -> None:
    with pytest.raises(KeyError), unwrapped():
        raise KeyError("key")
