"""Alerts at the doors: HTTP, the live stream and the command line; only the operator answers them."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anyio import to_thread
from click.testing import Result
from tests.support.stage import OPERATOR_TOKEN, Stage, error_of, events_of, served, staged
from typer.testing import CliRunner

from memmcp_server.cli import alerts as commands
from memmcp_server.cli.client import Client
from memmcp_server.cli.root import app
from memmcp_server.domain.alert import Alert, Reading, Sample, labels_of
from memmcp_server.domain.memory import MemoryDraft, Namespace, Provenance
from memmcp_server.services.alerting.alerts import Alerts

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O4")]
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


def alerts_of(stage: Stage) -> Alerts:
    assert stage.services.alerts is not None
    return stage.services.alerts


async def raise_one(stage: Stage, value: float = 11_000) -> Alert:
    labels = labels_of({"limit": "drawdown_bps", "scope": "account"})
    reading = Reading("drawdown_used_bps", value, labels, "Drawdown is 11 %.", "trade-7")
    await alerts_of(stage).take(Sample((reading,), frozenset({"drawdown_used_bps"})))
    return next(alert for alert in alerts_of(stage).current() if alert.rule == "drawdown")


async def command(*arguments: str) -> Result:
    return await to_thread.run_sync(partial(CliRunner(env={"COLUMNS": "240"}).invoke, app, list(arguments)))


async def test_everybody_sees_what_fires_with_its_trade_and_its_runbook(stage: Stage) -> None:
    assert (await stage.http.get("/alerts")).json()["alerts"] == []
    alert = await raise_one(stage)

    shown = (await stage.http.get("/alerts")).json()

    assert shown["severity"] == "critical"
    [found] = shown["alerts"]
    assert found["id"] == alert.memory_id
    assert (found["rule"], found["state"], found["trajectory_id"]) == ("drawdown", "firing", "trade-7")
    assert found["reads"] == "110.00 % (limit 100.00 %)"
    assert found["runbook"] == "docs/runbooks.md#drawdown"
    memory = (await stage.http.get(f"/memory/{alert.memory_id}")).json()
    assert "drawdown limit crossed" in memory["content"]
    rules = (await stage.http.get("/alerts/rules")).json()["rules"]
    assert {"drawdown", "queue_stuck"} <= {rule["name"] for rule in rules}


async def test_only_the_operator_acknowledges_and_silences(stage: Stage) -> None:
    alert = await raise_one(stage)
    for path, body in (
        (f"/alerts/{alert.memory_id}/acknowledge", {}),
        (f"/alerts/{alert.memory_id}/silence", {"for_s": 60}),
        ("/silences", {"rule": "drawdown", "for_s": 60}),
    ):
        refused = await stage.http.post(path, json=body)
        assert refused.status_code == 401, path
    written = await stage.http.post("/memory/write", json={"content": "all is well", "namespace": "alerts"})
    assert written.status_code == 403

    done = await stage.http.post(f"/alerts/{alert.memory_id}/acknowledge", json={}, headers=OPERATOR)
    assert (done.status_code, done.json()["state"]) == (200, "acknowledged")
    again = await stage.http.post(f"/alerts/{alert.memory_id}/acknowledge", json={}, headers=OPERATOR)
    assert again.json()["updated_at"] == done.json()["updated_at"], "a repeat changes nothing"

    history = await stage.services.journal.versions(alert.memory_id)
    assert [version.metadata["change"] for version in history] == ["raised", "acknowledged"]
    audit = await stage.services.journal.audit(action="alert", limit=5)
    assert [(entry.memory_id, entry.detail["act"]) for entry in audit] == [(alert.memory_id, "acknowledge")]


async def test_a_silence_is_kept_over_a_restart_and_can_be_taken_back(stage: Stage) -> None:
    alert = await raise_one(stage)
    body = {"rule": "drawdown", "labels": {"scope": "account"}, "for_s": 3_600}
    assert (await stage.http.post("/silences", json=body, headers=OPERATOR)).status_code == 200
    [found] = (await stage.http.get("/alerts")).json()["alerts"]
    assert found["silenced"]
    assert (await stage.http.get("/alerts")).json()["severity"] is None

    fresh = Alerts(stage.services.journal, stage.services.clock, alerts_of(stage).rules)
    await fresh.begin()
    [restored] = fresh.current()
    assert (restored.memory_id, restored.is_silenced_at(stage.services.clock.now_ns())) == (alert.memory_id, True)
    assert [silence.rule for silence in (await fresh.overview(with_past=False)).silences] == ["drawdown"]

    back = await stage.http.post("/silences", json={**body, "for_s": 0}, headers=OPERATOR)
    assert back.status_code == 200
    [found] = (await stage.http.get("/alerts")).json()["alerts"]
    assert not found["silenced"]
    later = Alerts(stage.services.journal, stage.services.clock, alerts_of(stage).rules)
    await later.begin()
    assert (await later.overview(with_past=False)).silences == ()


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/silences", {"rule": "nonsense", "for_s": 60}, "rule"),
        ("/silences", {"rule": "drawdown"}, "for_s"),
        ("/silences", {"rule": "drawdown", "for_s": 60, "until": "2030-01-01T00:00:00Z"}, "for_s"),
        ("/silences", {"rule": "drawdown", "until": "2099-01-01T00:00:00Z"}, "until"),
        ("/silences", {"rule": "drawdown", "for_s": True}, "for_s"),
    ],
)
async def test_what_cannot_be_is_named(stage: Stage, path: str, body: dict[str, Any], field: str) -> None:
    refused = await stage.http.post(path, json=body, headers=OPERATOR)
    assert refused.status_code == 422
    assert error_of(refused)["field"] == field


async def test_an_alert_that_is_not_there_is_not_found(stage: Stage) -> None:
    missing = await stage.http.post("/alerts/nothing/acknowledge", json={}, headers=OPERATOR)
    assert missing.status_code == 404


async def test_the_stream_tells_of_an_alert_at_once(stage: Stage) -> None:
    async with served(stage.app) as url, httpx2.AsyncClient(base_url=url, timeout=20) as client:
        async with client.stream("GET", "/events") as response:
            with anyio.fail_after(30):
                async for event in events_of(response):
                    if event.kind != "alerts":
                        continue
                    if not event.data["alerts"]:
                        await raise_one(stage)
                        continue
                    assert event.data["severity"] == "critical"
                    break
        stage.app.state.live.close()


async def test_what_the_desk_has_told_by_itself_is_there_as_a_notice(stage: Stage) -> None:
    now_ns = stage.services.clock.now_ns()
    note = MemoryDraft(
        "momentum was demoted",
        "d",
        now_ns,
        Namespace("trading"),
        "alert",
        ("demoted",),
        provenance=Provenance("xavier"),
    )
    await stage.services.journal.commit([note])
    shown = (await stage.http.get("/alerts", params={"all": "true"})).json()
    assert [notice["text"] for notice in shown["notices"]] == ["momentum was demoted"]


@pytest.mark.requirement("O6")
async def test_the_command_line_shows_answers_and_silences(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(stage.app) as url:
        monkeypatch.setattr(commands, "find", lambda _: Client({"http": url, "token": OPERATOR_TOKEN, "pid": 1}))
        assert "nothing fires" in (await command("alerts")).output
        alert = await raise_one(stage)
        assert "drawdown limit crossed" in (await command("alerts")).output
        assert "acknowledged" in (await command("alerts", "acknowledge", alert.memory_id)).output
        assert "seen to by" in (await command("alerts")).output
        assert "is silent until" in (await command("alerts", "silence", "drawdown", "--for", "2h")).output
        assert "silenced" in (await command("alerts")).output
        assert "told again" in (await command("alerts", "silence", alert.memory_id, "--for", "0")).output
        wrong = await command("alerts", "silence", "drawdown", "--for", "soon")
        assert (wrong.exit_code, "allowed are a number" in wrong.output) == (2, True)
        assert "queue_stuck" in (await command("alerts", "rules")).output
        unknown = await command("alerts", "test", "phone")
        assert (unknown.exit_code, "there is no channel" in unknown.output) == (1, True)
