"""Whatever may wait for a person has a line in the runbooks."""

import re
from pathlib import Path

import pytest

from memmcp_server.domain.alert_rules import SHIPPED
from trading.model.account import TradingState
from trading.model.gap import GapRules
from trading.portfolio.chain_flows import AlarmKind
from trading.runtime.night import HAPPENINGS

RUNBOOKS = (Path(__file__).resolve().parents[2] / "docs" / "runbooks.md").read_text(encoding="utf-8")


@pytest.mark.requirement("O8")
@pytest.mark.parametrize("alarm", AlarmKind)
def test_every_alarm_has_a_line_that_says_what_it_means_and_what_to_do(alarm: AlarmKind) -> None:
    lines = [line for line in RUNBOOKS.splitlines() if line.startswith(f"| `{alarm.value}`")]
    assert [line.count("|") for line in lines] == [4]


@pytest.mark.requirement("O8")
def test_every_state_that_a_desk_waits_in_has_a_line() -> None:
    for state in TradingState:
        assert state is TradingState.ACTIVE or f"`{state.value}`" in RUNBOOKS
    assert "gap_seen" in HAPPENINGS
    assert "`gap_seen`" in RUNBOOKS
    assert "gap_s" in GapRules.model_fields


@pytest.mark.requirement("O4")
def test_every_rule_has_a_section_of_its_name_that_says_what_to_do() -> None:
    sections = dict(re.findall(r"^### ([a-z_]+)\n(.*?)(?=^##|\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL))
    assert sections.keys() == {rule.name for rule in SHIPPED}
    for name, text in sections.items():
        assert "Do:" in text or "Do as" in text, name
