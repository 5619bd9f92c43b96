"""The table of denials is the code's: no reason is missing, and none is there that nothing returns."""

import ast
from functools import cache
from pathlib import Path

import pytest

import trading
from trading.model.account import Level, TradingState
from trading.risk.denials import DENIALS
from trading.risk.limit_texts import TEXTS
from trading.risk.rug_checks import RugReason

pytestmark = pytest.mark.requirement("T7")

SRC = Path(trading.__file__).parent
STATES = [state.value.lower() for state in TradingState if state is not TradingState.ACTIVE]
COMPUTED = {
    # A word that is not spelled out where the denial is made, and all that it can be there.
    "first.name": set(TEXTS),
    "first.reason.value": {reason.value for reason in RugReason},
    "RugReason.FACTS_UNKNOWN.value": {RugReason.FACTS_UNKNOWN.value},
    "f'state_{account.state.value.lower()}'": {f"state_{state}" for state in STATES},
    "reason": {f"{level.value}_{state}" for level in Level for state in STATES},
}


@cache
def calls(name: str) -> list[tuple[str, ast.expr]]:
    """Return the first argument of every call of this name, with where it stands."""
    found = []
    for path in sorted(SRC.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        # Most files do not have the word at all: reading those as code takes as long as many a test.
        for node in ast.walk(ast.parse(text)) if name in text else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                first = node.args[0] if node.args else node.keywords[0].value
                found.append((f"{path.relative_to(SRC)}:{node.lineno}", first))
    return found


def returned() -> dict[str, set[str]]:
    """Return, by place, the reasons that the code can give there."""
    found: dict[str, set[str]] = {}
    for place, first in calls("Denied"):
        if isinstance(first, ast.Constant):
            found[place] = {str(first.value)}
        else:
            written = ast.unparse(first)
            assert written in COMPUTED, f"{place}: what can {written} be? Say so in this test"
            found[place] = COMPUTED[written]
    return found


def test_every_reason_that_the_code_returns_is_in_the_table() -> None:
    missing = {place: reasons - DENIALS.keys() for place, reasons in returned().items() if reasons - DENIALS.keys()}
    assert missing == {}


def test_every_reason_of_the_table_is_one_that_the_code_returns() -> None:
    assert DENIALS.keys() - set().union(*returned().values()) == set()


def test_every_computed_word_is_still_used() -> None:
    written = {ast.unparse(first) for _, first in calls("Denied") if not isinstance(first, ast.Constant)}
    assert written == COMPUTED.keys()


def test_every_measure_of_an_entry_has_a_text_so_that_its_name_is_known() -> None:
    named = {
        str(first.value)
        for place, first in calls("Measure")
        if place.startswith("risk/limits.py") and isinstance(first, ast.Constant)
    }
    assert named <= TEXTS.keys() <= DENIALS.keys()
    assert len(TEXTS.keys() - named) == 4 + 3  # those of protections are named by their kind, those of levels by theirs


def test_every_denial_says_what_it_means_and_what_ends_it() -> None:
    for reason, denial in DENIALS.items():
        assert reason == reason.lower()
        assert denial.meaning, reason
        assert denial.ends, reason
