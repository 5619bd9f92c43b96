"""An agent with a shell under the operator's user against a signer that runs under another: nothing armed, nothing
approved, no limit raised. What came of it is read from the signer's own record.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.authenticator import ORIGIN, Authenticator
from tests.support.signing import PASSPHRASE, SOL, key_folder, mandate, mandate_toml
from tests.support.still_chain import still_chain
from tests.support.swap_messages import AMOUNT, STRANGER, Market, budget, transfer
from tests.support.upkeep_messages import closing, sweep
from tests.support.upkeep_messages import message as upkeep_message
from tests.support.upkeep_messages import own as account_of

from trading.model.chain import SignWanted
from trading.model.mandate import Mandate
from trading.signing.client import SignerSocket
from trading.signing.requests import Sign

pytestmark = [pytest.mark.system, pytest.mark.anyio, pytest.mark.requirement("A5")]
SUPPORT = Path(__file__).parents[1] / "support" / "red_team"
OPERATOR_UID, SIGNER_UID = 54_321, 54_322
START_S = 30.0
MARKET = Market()


@dataclass
class Stage:
    """Two users' places, the signer's process, and the root who operates it."""

    place: Path
    process: subprocess.Popen[str]
    endpoint: str

    @property
    def folder(self) -> Path:
        return self.place / "signer"

    @property
    def mandate_path(self) -> Path:
        return self.place / "operator" / "mandate.toml"

    @property
    def socket(self) -> SignerSocket:
        return SignerSocket(self.place / "run" / "signer.sock", SIGNER_UID)

    def mandate(self) -> Mandate:
        return mandate(
            mints=(str(MARKET.token),),
            endpoints=(self.endpoint,),
            approval_above_lamports=AMOUNT,
            order_lamports_max=10 * AMOUNT,
            day_lamports_max=30 * AMOUNT,
            fee_day_lamports_max=SOL,
            expires_ns=(time.time_ns() // SOL + 86_400) * SOL,
        )

    def kinds(self) -> list[str]:
        return [json.loads(line)["kind"] for line in (self.folder / "audit.jsonl").read_text().splitlines()]

    async def arm(self) -> dict[str, Any]:
        text = mandate_toml(self.mandate())
        self.mandate_path.unlink(missing_ok=True)
        self.mandate_path.write_text(text)
        os.chown(self.mandate_path, OPERATOR_UID, OPERATOR_UID)
        await self.socket.ask("unlock", {"passphrase": PASSPHRASE})
        wish = {"passphrase": PASSPHRASE, "text": text, "source": str(self.mandate_path)}
        found: dict[str, Any] = await self.socket.ask("arm", wish)
        return found


def own(path: Path, uid: int, mode: int) -> None:
    for each in (path, *path.rglob("*")):
        os.chown(each, uid, uid)
    path.chmod(mode)


@pytest.fixture
def stage() -> Iterator[Stage]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to run the signer and the agent under two other users")
    with ExitStack() as stack:
        place = Path(tempfile.mkdtemp(prefix="memmcp-red-"))  # pytest's own folder lets no other user through
        stack.callback(shutil.rmtree, place)
        place.chmod(0o755)
        key_folder(place)
        own(place / "signer", SIGNER_UID, 0o700)
        for name, uid in (("operator", OPERATOR_UID), ("run", SIGNER_UID)):
            (place / name).mkdir()
            own(place / name, uid, 0o755)
        endpoint = stack.enter_context(still_chain())
        words = [str(place / "signer"), str(place / "run" / "signer.sock"), str(OPERATOR_UID), ORIGIN]
        process = stack.enter_context(as_user(SIGNER_UID, "signer_process.py", *words))
        stack.callback(process.terminate)
        assert process.stdout is not None
        timer = threading.Timer(START_S, process.kill)
        timer.start()
        assert process.stdout.readline() == "ready\n"
        timer.cancel()
        yield Stage(place, process, endpoint.url)


def as_user(uid: int, name: str, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(SUPPORT / "as_user.py"), str(uid), str(SUPPORT / name), *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def command_line() -> list[str]:
    """Return how the agent's user runs our command line; [] where no Python lets it."""
    import trading

    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        with suppress(OSError):
            ran = subprocess.run([python, "-c", "import json"], user=OPERATOR_UID, check=False, capture_output=True)
            if ran.returncode == 0:
                source, packages = Path(trading.__file__).parents[1], Path(pytest.__file__).parents[1]
                return ["/usr/bin/env", f"PYTHONPATH={source}:{packages}", python, "-m", "trading"]
    return []


def buy(number: int, amount: int = AMOUNT) -> SignWanted:
    quoted = MARKET.pool.quote(MARKET.cluster, MARKET.pool.mints[0], amount)
    parts = [*budget(price=100_000 + number), MARKET.swap(amount=amount, quoted=quoted)]
    return replace(
        MARKET.wanted(MARKET.message(parts)), intent_id=f"good {number}", amount_in=amount, min_out=quoted * 99 // 100
    )


async def approved(stage: Stage, authenticator: Authenticator) -> dict[str, Any]:
    """Register the passkey as the operator, let it approve one large order, and return what an onlooker saw."""
    code = await stage.socket.ask("passkey_begin", {"passphrase": PASSPHRASE})
    options = await stage.socket.ask("passkey_options", {"code": code})
    wish = {"code": code, "credential": authenticator.create(options)}
    waiting = await stage.socket.ask("passkey_register", wish)
    confirmed = {"passphrase": PASSPHRASE, "fingerprint": waiting["fingerprint"]}
    await stage.socket.ask("passkey_confirm", confirmed)
    wanted = buy(7, 2 * AMOUNT)
    names = ("intent_id", "wallet", "in_mint", "out_mint", "amount_in", "min_out", "fee_lamports_max")
    order = {name: asdict(wanted)[name] for name in names}
    asked = await stage.socket.ask("approval_ask", {**order, "expires_ns": time.time_ns() + 600 * SOL})
    credential = authenticator.get(await stage.socket.ask("approval_challenge", {"id": asked["id"]}))
    found = await stage.socket.ask("approval_approve", {"id": asked["id"], "credential": credential})
    assert found["state"] == "approved"
    figures = {name: value for name, value in Sign.body_of(wanted).items() if name != "intent_id"}
    return {
        "credential": credential,
        "approved": asked["id"],
        "approved_intent": wanted.intent_id,
        "approved_figures": figures,
    }


THEIRS = account_of(owner=str(STRANGER))


def known(stage: Stage, seen: dict[str, Any]) -> dict[str, Any]:
    """Return what an agent under the operator's user can find out, and more."""
    first, second = Sign.body_of(buy(1)), Sign.body_of(buy(2))
    drain = base64.b64encode(MARKET.message([*budget(), transfer(STRANGER, SOL)])).decode()
    figures = {name: value for name, value in first.items() if name not in ("intent_id", "message_base64")}
    return {
        **seen,
        "socket": str(stage.socket.path),
        "folder": str(stage.folder),
        "mandate": str(stage.mandate_path),
        "pid": stage.process.pid,
        "signer_uid": SIGNER_UID,
        "good": first,
        "small": [first["message_base64"], second["message_base64"]],
        "small_figures": figures,
        "needs_approval": 2 * AMOUNT,
        "day_lamports_max": stage.mandate().day_lamports_max,
        "stranger": str(STRANGER),
        "transfer": drain,
        "closing": base64.b64encode(upkeep_message([*budget(), closing(THEIRS)])).decode(),
        "sweep": Sign.body_of(
            sweep(to_address=stage.mandate().cold_address, fee_lamports_max=first["fee_lamports_max"])
        ),
        "their_account": asdict(THEIRS),
        "command": command_line(),
        "passphrase_of_another": "another long passphrase",
    }


def gained(result: Any) -> bool:
    """Tell whether a try brought anything: something that is not empty, however deep."""
    if isinstance(result, dict) and "raised" in result:
        return False
    if isinstance(result, list):
        return any(gained(each) for each in result)
    return bool(result)


async def test_an_agent_with_a_shell_arms_nothing_approves_nothing_and_raises_no_limit(stage: Stage) -> None:
    armed = (await stage.arm())["armed"]
    seen = await approved(stage, Authenticator())
    before = stage.kinds()
    agent = as_user(OPERATOR_UID, "shell_agent.py")
    with agent:
        said, _ = await anyio.to_thread.run_sync(agent.communicate, json.dumps(known(stage, seen)))
    results = json.loads(said)
    assert {name: result for name, result in results.items() if gained(result)} == {}
    assert {name: result for name, result in results.items() if isinstance(result, dict)} == {}
    assert len(results) >= 45
    kinds = stage.kinds()
    assert [kinds.count(kind) for kind in ("armed", "approval_approved", "passkey_added")] == [1, 1, 1]
    assert kinds[: len(before)] == before
    assert stage.process.poll() is None
    status = await stage.socket.ask("status")
    assert status["armed"] is None  # its own file was changed, so what it got is a desk that buys nothing
    assert status["why_not"] == "disarmed"
    assert status["day"]["spent_lamports"] <= stage.mandate().day_lamports_max
    again = (await stage.arm())["armed"]
    assert (armed["number"], again["number"]) == (1, 2)


async def test_the_signers_memory_is_closed_to_its_own_user_too(stage: Stage) -> None:
    """The control is a process of the same user that does nothing about it."""
    with as_user(SIGNER_UID, "idle.py") as idle:
        assert idle.stdout is not None
        assert idle.stdout.readline() == "ready\n"
        pids = [str(stage.process.pid), str(idle.pid)]
        with as_user(SIGNER_UID, "tracer.py", *pids) as tracer:
            said, _ = await anyio.to_thread.run_sync(tracer.communicate)
        idle.kill()
    found = json.loads(said)
    assert found[pids[0]] == []
    assert "environ" in found[pids[1]]


async def test_the_operator_is_not_shut_out_by_what_keeps_the_agent_out(stage: Stage) -> None:
    """The control: the same requests, from the desk's own user for a signature and from root for the rest."""
    await stage.arm()
    signature = bytes.fromhex(await stage.socket.ask("sign", Sign.body_of(buy(1))))
    assert len(signature) == 64
    assert (await stage.socket.ask("disarm", {}))["why_not"] == "disarmed"
    assert (await stage.socket.ask("lock"))["is_unlocked"] is False
