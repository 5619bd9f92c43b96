"""Alerts and channels in memmcp.toml: what is wrong is named, what is secret is not shown."""

from pathlib import Path

import pytest

from memmcp_server.config import Sections
from memmcp_server.domain.alert import Severity
from memmcp_server.errors import InvalidInput
from memmcp_server.settings import load

pytestmark = pytest.mark.requirement("O4")
SECRET = "tgram://123456789:AAbbCCddEEff/42"


def loaded(folder: Path, text: str, environ: dict[str, str] | None = None, *, by_bridge: bool = False) -> Sections:
    (folder / "memmcp.toml").write_text(text, encoding="utf-8")
    return load(folder, environ or {}, by_bridge=by_bridge)


def test_a_shipped_rule_is_changed_and_one_of_ones_own_added(tmp_path: Path) -> None:
    text = """
[alerts.rules.slippage]
raise_at = 80
severity = "critical"
channels = ["phone"]

[channels.named.phone]
url = "json://127.0.0.1"

[alerts.rules.desk_reducing]
enabled = false

[alerts.rules.lag_of_mine]
reading = "loop_lag_ms"
raise_at = 300
clear_at = 100
"""
    rules = {rule.name: rule for rule in loaded(tmp_path, text).alerts.in_force()}
    assert (rules["slippage"].raise_at, rules["slippage"].clear_at) == (80, 30)
    assert rules["slippage"].severity is Severity.CRITICAL
    assert rules["slippage"].channels == ("phone",)
    assert not rules["desk_reducing"].enabled
    assert rules["lag_of_mine"].runbook == "docs/observability.md#alerts"
    assert (rules["lag_of_mine"].unit, rules["lag_of_mine"].severity) == ("ms", Severity.WARNING)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "[alerts.rules.mine]\nraise_at = 3\nclear_at = 1\n",
            "rules.mine is none that is shipped, so it needs reading",
        ),
        ('[alerts.rules.mine]\nreading = "moon"\nraise_at = 3\nclear_at = 1\n', "rules.mine.reading is moon; allowed"),
        ("[alerts.rules.slippage]\nclear_at = 50\n", "rules.slippage.clear_at is 50, the same as raise_at"),
        ('[alerts.rules.slippage]\nreading = "state"\n', "a shipped rule keeps its own (slippage_over_model_bps)"),
        ('[alerts.rules.slippage]\ntitle = "{"\n', "rules.slippage.title cannot be filled in"),
        ('[alerts.rules.slippage]\nseverity = "dire"\n', "alerts.rules.slippage.severity (file): given 'dire'"),
        (
            '[alerts.rules.slippage]\nchannels = ["pager"]\n',
            "alerts.rules.slippage.channels names pager; there are: none",
        ),
        ("[alerts.rules.slippage]\nraise = 3\n", "alerts.rules.slippage.raise (file): there is no such setting"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        loaded(tmp_path, text)
    assert says in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        f'[channels.named.phone]\nurl = 5\nsecret = "{SECRET}"\n',
        f'[channels.named.phone]\nurl = ["{SECRET}"]\n',
        f'[channels.named.Phone]\nurl = "{SECRET}"\n',
        f'[channels.named.phone]\nurll = "{SECRET}"\n',
        f'[channels.named.phone]\nurl = "{SECRET}"\nquiet = "{SECRET}"\n',
        f'[channels.named]\nphone = "{SECRET}"\n',
    ],
)
def test_no_error_shows_the_address_of_a_channel(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        loaded(tmp_path, text)
    assert "channels.named" in caught.value.message
    assert "AAbbCC" not in caught.value.message
    assert caught.value.__cause__ is None or "AAbbCC" not in caught.value.message


def test_a_channel_is_not_shown_where_sections_are(tmp_path: Path) -> None:
    sections = loaded(tmp_path, f'[channels.named.phone]\nurl = "{SECRET}"\n')
    assert "AAbbCC" not in repr(sections) + sections.model_dump_json()
    assert sections.channels.named["phone"].url.get_secret_value() == SECRET


def test_a_daemon_that_an_agent_started_takes_neither_rules_nor_channels_from_its_environment(tmp_path: Path) -> None:
    environ = {
        "MEMMCP_ALERTS__ENABLED": "false",
        "MEMMCP_ALERTS__RULES": '{"drawdown": {"enabled": false}}',
        "MEMMCP_CHANNELS__NAMED": '{"x": {"url": "json://elsewhere"}}',
    }
    theirs = loaded(tmp_path, "", environ)
    assert (theirs.alerts.enabled, list(theirs.channels.named)) == (False, ["x"])
    ours = loaded(tmp_path, "", environ, by_bridge=True)
    assert (ours.alerts.enabled, dict(ours.alerts.rules), list(ours.channels.named)) == (True, {}, [])
