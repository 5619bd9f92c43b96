"""The signer and arming as an operator meets them: on a terminal."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.signing import PASSPHRASE, REHEARSAL_GENESIS, SOL, mandate, mandate_toml
from tests.support.still_chain import still_chain
from tests.support.terminal import Terminal
from typer.testing import CliRunner

from trading.cli import app

pytestmark = [pytest.mark.system, pytest.mark.requirement("T10")]


@pytest.mark.skipif(not os.path.exists("/dev/ptmx"), reason="this system has no terminals to give away")  # noqa: PTH110
def test_keys_are_made_unlocked_armed_and_lost_with_the_process(tmp_path: Path) -> None:
    folder, path = tmp_path / "signer", tmp_path / "mandate.toml"
    here = ["--folder", str(folder)]
    with Terminal("signer", "init", *here, "--genesis-hash", REHEARSAL_GENESIS) as made:
        made.answer("new passphrase", PASSPHRASE)
        made.answer("the same again", PASSPHRASE)
        assert made.end() == 0
        assert PASSPHRASE not in made.seen
    wallet = next((folder / "keys").iterdir()).stem
    assert wallet in made.seen
    with still_chain() as one, still_chain() as two, Terminal("signer", "run", *here) as signer:
        wanted = replace(
            mandate(),
            wallets=(wallet,),
            endpoints=(one.url, two.url),
            expires_ns=(time.time_ns() // SOL + 86_400) * SOL,
        )
        path.write_text(mandate_toml(wanted))
        signer.answer("passphrase of the signer", PASSPHRASE)
        signer.expect("listening at")
        words = [*here, "--mandate", str(path), "--data-dir", str(tmp_path)]
        with Terminal("live", "arm", *words) as arming:
            arming.expect("2 of 2 answer")
            arming.answer("arm this mandate (rehearsal money)?", "yes")
            arming.answer("passphrase of the signer", PASSPHRASE)
            assert arming.end() == 0, arming.seen
            assert "yes: first, rehearsal" in arming.seen
        shown = CliRunner().invoke(app, ["live", "status", *here, "--data-dir", str(tmp_path), "--json"])
        assert json.loads(shown.stdout)["signer"]["armed"]["sha256"] == wanted.sha256
        signer.process.send_signal(signal.SIGKILL)
        signer.process.wait()
    gone = CliRunner().invoke(app, ["live", "status", *here, "--data-dir", str(tmp_path), "--json"])
    assert gone.exit_code == 1
    assert json.loads(gone.stdout)["error"]["code"] == "signer_unavailable"
    record = (folder / "audit.jsonl").read_text()
    assert [json.loads(line)["kind"] for line in record.splitlines()] == ["unlocked", "armed"]
    assert "endpoints: met" in record
    assert PASSPHRASE not in record
