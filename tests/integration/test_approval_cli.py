"""``memmcp approve`` and ``refuse`` at a terminal: they show what waits, and nothing but the passkey approves."""

import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from click.testing import Result
from tests.support.authenticator import ORIGIN, Authenticator
from tests.support.signer_stage import SignerStage, armed_signer
from tests.support.stage import OPERATOR_TOKEN, Stage, served, staged
from typer.testing import CliRunner

from memmcp_server.adapters.signer_approvals import SignerApprovals
from memmcp_server.cli import approval
from memmcp_server.cli.client import Client
from memmcp_server.cli.root import app

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A5")]


@asynccontextmanager
async def waiting_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[SignerStage, Stage]]:
    async with armed_signer(tmp_path / "signing", ORIGIN) as signer:
        approvals = SignerApprovals(signer.environ, tmp_path)
        async with staged(tmp_path / "data", approvals=approvals) as stage, served(stage.app) as url:
            monkeypatch.setattr(approval, "find", lambda _: Client({"http": url, "token": OPERATOR_TOKEN, "pid": 1}))
            yield signer, stage


async def command(*arguments: str) -> Result:
    return await to_thread.run_sync(partial(CliRunner().invoke, app, list(arguments)))


async def test_an_order_is_refused_by_the_beginning_of_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with waiting_desk(tmp_path, monkeypatch) as (signer, _):
        asked = signer.ask()
        told = await command("refuse", asked[:10])
        assert (told.exit_code, signer.state(asked)) == (0, "refused"), told.output
        again = await command("refuse", asked[:10])
        assert again.exit_code != 0
        assert "waits no more: it is refused" in again.output


async def test_approve_shows_the_order_and_tells_what_the_passkey_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with waiting_desk(tmp_path, monkeypatch) as (signer, stage):
        authenticator = Authenticator()
        code = await signer.begin_passkey()
        options = (await stage.http.post("/passkeys/options", json={"code": code})).json()["options"]
        wish = {"code": code, "credential": authenticator.create(options), "label": "mine"}
        await signer.confirm_passkey((await stage.http.post("/passkeys", json=wish)).json()["fingerprint"])
        asked = signer.ask(reason="a breakout")
        told: list[Result] = []
        shown = threading.Event()
        monkeypatch.setattr(approval, "note", lambda _: shown.set())

        async def at_the_terminal() -> None:
            told.append(await command("approve", asked[:10], "--wait", "20"))

        async with anyio.create_task_group() as group:
            group.start_soon(at_the_terminal)
            assert await to_thread.run_sync(shown.wait, 20)
            challenge = await stage.http.post(f"/approvals/{asked}/challenge", json={})
            credential = authenticator.get(challenge.json()["options"])
            approved = await stage.http.post(f"/approvals/{asked}/approve", json={"credential": credential})
            assert approved.status_code == 200, approved.text
        assert (told[0].exit_code, signer.state(asked)) == (0, "approved"), told[0].output
        assert "is approved" in told[0].output


async def test_a_command_alone_approves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with waiting_desk(tmp_path, monkeypatch) as (signer, _):
        asked = signer.ask(reason="a breakout")
        told = await command("approve", asked, "--wait", "0")
        assert (told.exit_code, signer.state(asked)) == (1, "awaiting_operator"), told.output
        assert "a command cannot" in told.output
        assert "a breakout" in told.output
        plain = await command("approve", asked, "--wait", "0", "--json")
        assert json.loads(plain.stdout)["state"] == "awaiting_operator"


async def test_an_id_that_fits_none_or_several_names_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with waiting_desk(tmp_path, monkeypatch) as (signer, _):
        first, second = signer.ask(1), signer.ask(2)
        unknown = await command("refuse", "zz")
        assert unknown.exit_code != 0
        assert first[:12] in unknown.output
        assert second[:12] in unknown.output
        assert signer.state(first) == signer.state(second) == "awaiting_operator"
