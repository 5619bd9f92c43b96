"""Real swaps by the smoke script as an operator makes them, on a rehearsal chain: typed, killed, gone on with."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from solders.pubkey import Pubkey
from tests.support.signing import PASSPHRASE, SOL, mandate_toml
from tests.support.swap_stage import swap_environment, swap_mandate, swap_stage
from tests.support.terminal import Terminal

from trading.rehearsal.stage import Stage
from trading.signing.client import SignerSocket
from trading.signing.keys import KeyFolder
from trading.signing.secrets import Passphrase, SecretKey

pytestmark = [
    pytest.mark.system,
    pytest.mark.requirement("T10"),
    pytest.mark.skipif(not os.path.exists("/dev/ptmx"), reason="this system has no terminals to give away"),  # noqa: PTH110
]
COUNT = 4


@contextmanager
def a_chain() -> Iterator[tuple[BlockingPortal, Stage, SecretKey]]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(swap_stage()) as made:
        yield portal, *made


def test_swaps_that_are_killed_are_gone_on_with_and_end_equal_to_the_lamport(tmp_path: Path) -> None:
    folder, socket = tmp_path / "signer", tmp_path / "signer.sock"
    state, path = tmp_path / "state", tmp_path / "mandate.toml"
    words = ["--live", "--swaps", str(COUNT), "--token", "FROG", "--sol", "0.01", "--pause", "0", "--state", str(state)]
    with a_chain() as (portal, stage, key):
        keys = KeyFolder(folder, log2_n=10)
        keys.add_seed(keys.create(Passphrase(PASSPHRASE)), key)
        environ = swap_environment(stage, socket, key.address) | {"CI": ""}
        path.write_text(mandate_toml(swap_mandate(stage, key.address)))
        with Terminal("signer", "run", "--folder", str(folder), "--socket", str(socket)) as signer:
            signer.answer("passphrase of the signer", PASSPHRASE)
            signer.expect("listening at")
            wish = {"passphrase": PASSPHRASE, "text": path.read_text(), "source": str(path), "evidence": []}
            portal.call(SignerSocket(socket, os.geteuid()).ask, "arm", wish)
            with Terminal(*words, environment=environ, module="scripts.live_smoke") as first:
                first.answer(f'type "rehearsal {COUNT}"', f"rehearsal {COUNT}")
                first.expect(f"1 of {COUNT}: settled")
                first.process.send_signal(signal.SIGKILL)
                first.process.wait()
            with Terminal(*words, environment=environ, module="scripts.live_smoke") as again:
                again.expect("are done; what was asked for then holds")
                again.answer(f'type "rehearsal {COUNT}"', f"rehearsal {COUNT}")
                assert again.end() == 0, again.seen
        assert "equal to the lamport and the base unit" in again.seen
        [report] = state.glob("report-*.json")
        told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        chain = stage.rehearsal.cluster
        settled = [line for line in told["lines"] if line["state"] == "settled"]
        assert len(settled) == told["settled"] == COUNT
        history = [each for each in chain.history(key.address) if chain.executed[each].error is None]
        assert [line["signature"] for line in settled] == history
        assert all(line["signature"] in again.seen for line in settled)
        account = chain.account(Pubkey.from_string(key.address))
        assert account is not None
        assert account.lamports == 10 * SOL + sum(line["lamports"] for line in told["lines"])
    assert not (state / "plan.json").exists()
    assert PASSPHRASE not in again.seen
