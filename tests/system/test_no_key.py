"""A desk with real money at debug level, a signer's process, and much that fails: no key is in anything they left."""

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from tests.doubles.desk_memory import ListMemory
from tests.doubles.scripted_market import ManualFeed
from tests.support.leaks import forms_of_key, forms_of_text, leaks, of_process
from tests.support.rehearsal import JupiterStage, jupiter_stage
from tests.support.residues import texts_in
from tests.support.signing import SOL, mandate, mandate_toml

from trading.adapters.live_feed_choice import Chosen
from trading.config import ChainSection, LiveSection, PaperSection, RelaySection, RouterSection, Sections
from trading.errors import TradingError
from trading.rehearsal.faults import FOREVER, Kind
from trading.rehearsal.faults import Fault as ChainFault
from trading.rehearsal.jupiter_faults import Fault
from trading.rehearsal.tokens import NATIVE_MINT
from trading.runtime.paper_desk import PaperDesk
from trading.runtime.paper_run import PaperOptions, paper_desk
from trading.signing.client import SignerSocket
from trading.signing.keys import KeyFolder
from trading.signing.secrets import Passphrase, SecretKey

pytestmark = [pytest.mark.system, pytest.mark.anyio, pytest.mark.requirement("T10"), pytest.mark.timeout(180)]
SEED = hashlib.sha256(b"the key that nobody may see").digest()
PASSPHRASE = "plenty of words that nobody else types"
API_KEY = "qk7Zp2vXw94TnLd8"
WRONG = "another sentence that somebody tries"
PROCESS = Path(__file__).parents[1] / "support" / "red_team" / "signer_process.py"
MINE = {"mandate.toml"}
"""Files that the operator wrote, with the addresses of the endpoints in them."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def debug_log(path: Path) -> Iterator[None]:
    """Write every record of every logger to a file, tracebacks included."""
    handler, root = logging.FileHandler(path, encoding="utf-8"), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
        handler.close()


@contextmanager
def a_signer(place: Path, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = [str(place / "signer"), str(place / "s.sock"), str(os.geteuid()), "https://memmcp.localhost"]
    with (
        output.open("ab") as log,
        subprocess.Popen([sys.executable, str(PROCESS), *words], stdout=log, stderr=log) as process,
    ):
        try:
            ends = time.monotonic() + 40
            while b"ready" not in output.read_bytes():
                assert process.poll() is None, output.read_bytes()
                assert time.monotonic() < ends
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def sections_of(stage: JupiterStage, place: Path, wallet: str, urls: tuple[str, ...]) -> Sections:
    vaults = {stage.frog: [str(stage.pool.vault(Pubkey.from_string(each))) for each in (stage.frog, str(NATIVE_MINT))]}
    return Sections(
        paper=PaperSection(fill_wait_s=0.0, snapshot_interval_s=0.0),
        relay=RelaySection(backoff_base_s=0.01, poll_s=0.05),
        market=stage.market(jupiter_key=API_KEY),
        router=RouterSection.model_validate({"second_price": "pool", "pools": vaults, "pool_lamports_min": 0}),
        chain=ChainSection.model_validate(
            {
                "endpoints": [{"url": url, "calls_per_second": 5_000} for url in urls],
                "genesis_hash": stage.cluster.genesis_hash,
            }
        ),
        live=LiveSection(wallet=wallet, signer_socket=place / "s.sock", poll_s=0.02, resend_s=0.1, arming_poll_s=0.05),
    )


@asynccontextmanager
async def a_desk(place: Path, sections: Sections, feed: ManualFeed, memory: ListMemory) -> AsyncIterator[PaperDesk]:
    options = PaperOptions(place, "market", "foundation", is_real=True)
    async with paper_desk(options, sections, memory, Chosen(feed, "by hand")) as desk:
        yield desk


async def until(desk: PaperDesk, feed: ManualFeed, holds: Any) -> None:
    with anyio.fail_after(40):
        while not holds(await desk.snapshot()):
            feed.push()
            await anyio.sleep(0.05)


async def buy(desk: PaperDesk, mint: str, key: str) -> dict[str, Any]:
    wish = {"side": "buy", "mint": mint, "amount_sol": "0.05", "reason": "a test buys", "bucket": "manual"}
    shown = await desk.place_trade(wish, agent="a", key=f"{key}-preview")
    assert shown["status"] == "preview", shown
    return dict(await desk.place_trade(wish | {"preview_id": shown["preview_id"]}, agent="a", key=key))


async def sell(desk: PaperDesk, mint: str, key: str) -> dict[str, Any]:
    close = {"mint": mint, "percent": 100, "reason": "enough"}
    shown = await desk.close_position(close, agent="a", key=f"{key}-preview")
    return dict(await desk.close_position(close | {"preview_id": shown["preview_id"]}, agent="a", key=key))


def command_lines(place: Path) -> list[subprocess.CompletedProcess[bytes]]:
    """Run what prints JSON about the signer, and once what fails."""
    here = ["--folder", str(place / "signer"), "--socket", str(place / "s.sock"), "--json"]
    words = [["live", "status", *here], ["live", "status", "--folder", str(place / "nowhere"), "--json"]]
    python = [sys.executable, "-m", "trading"]
    return [subprocess.run([*python, *each], capture_output=True, check=False) for each in words]


def besides_the_mandate(name: str, data: bytes) -> tuple[str, bytes]:
    """Leave out of the signer's record the text that was armed: it is the operator's file, addresses and all."""
    if not name.endswith("signer/audit.jsonl"):
        return name, data
    lines = [json.loads(line) for line in data.splitlines()]
    kept = [{**line, "body": {**line["body"], "text": ""}} if line["kind"] == "armed" else line for line in lines]
    return name, json.dumps(kept).encode()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="what others see of a process is read from /proc")
async def test_no_key_is_in_anything_that_a_desk_and_its_signer_leave(tmp_path: Path) -> None:
    outside = tmp_path / "outputs"
    place = tmp_path / "desk"
    outside.mkdir()
    place.mkdir(mode=0o700)
    seen: list[tuple[str, bytes]] = []
    memory = ListMemory()
    wallet = str(Keypair.from_seed(SEED).pubkey())
    with debug_log(outside / "debug.log"):
        async with jupiter_stage() as stage, stage.running():
            stage.cluster.airdrop(Pubkey.from_string(wallet), 5 * SOL)
            keys = KeyFolder(place / "signer", log2_n=10)
            keys.add_seed(keys.create(Passphrase(PASSPHRASE)), SecretKey(SEED, stage.cluster.genesis_hash))
            urls = tuple(f"{stage.rehearsal.url(name)}?api-key={API_KEY}" for name in ("one", "two"))
            text = mandate_toml(
                mandate(
                    genesis_hash=stage.cluster.genesis_hash,
                    wallets=(wallet,),
                    endpoints=urls,
                    mints=(stage.frog,),
                    slippage_bps_max=1_000,
                    expires_ns=(int(time.time()) + 3_600) * SOL,
                )
            )
            (place / "mandate.toml").write_text(text)
            arming = {"passphrase": PASSPHRASE, "text": text, "source": str(place / "mandate.toml")}
            socket = SignerSocket(place / "s.sock", os.geteuid())
            feed = ManualFeed(stage.frog, "FROG", "0.0000001")
            with a_signer(place, outside / "signer.log") as signer:
                for wrong in ({"passphrase": WRONG}, {"passphrase": PASSPHRASE, "more": WRONG}):
                    with pytest.raises(TradingError) as refused:
                        await socket.ask("unlock", wrong)
                    seen.append(("a refused passphrase", "".join(traceback.format_exception(refused.value)).encode()))
                await socket.ask("unlock", {"passphrase": PASSPHRASE})
                await socket.ask("arm", arming)
                async with a_desk(place, sections_of(stage, place, wallet, urls), feed, memory) as desk:
                    await until(desk, feed, lambda each: each["cycle"] > 2 and each["entries_allowed"])
                    await buy(desk, stage.frog, "one")
                    await until(desk, feed, lambda each: each["positions"])
                    stage.server.faults.put("build", Fault("wrong_payer"), count=1_000)
                    await sell(desk, stage.frog, "twisted")
                    await until(desk, feed, lambda _: stage.server.faults.left()["build"][0]["count"] < 1_000)
                    stage.rehearsal.endpoints["two"].faults.add(ChainFault(Kind.BROKEN, calls=FOREVER))
                    for _ in range(10):
                        feed.push()
                        await anyio.sleep(0.05)
                    seen.append(("the signer's status", json.dumps(await socket.ask("status")).encode()))
                    ran = await anyio.to_thread.run_sync(command_lines, place)
                    seen += [(f"{each.args[3:]}", each.stdout + each.stderr) for each in ran]
                    seen += of_process(signer.pid)
                    signer.send_signal(signal.SIGKILL)
                    await anyio.to_thread.run_sync(signer.wait)
                    for _ in range(10):
                        feed.push()
                        await anyio.sleep(0.05)
                    seen.append(("the snapshot", json.dumps(await desk.snapshot(), default=repr).encode()))
            assert stage.cluster.history(wallet)
    seen.append(("the memory", repr(vars(memory)).encode()))
    seen += [(name, data) for name, data in texts_in(tmp_path) if Path(name).name not in MINE]
    names = {name for name, _ in seen}
    assert {"desk/signer/audit.jsonl", "outputs/debug.log", "outputs/signer.log"} <= names
    assert any(name.endswith(".db") for name in names), names
    assert leaks(seen, forms_of_key(SEED)) == []
    for word in (PASSPHRASE, WRONG):
        assert leaks(seen, forms_of_text(word)) == [], word
    assert leaks([besides_the_mandate(*each) for each in seen], forms_of_text(API_KEY)) == []
    assert (place / "signer" / "audit.jsonl").stat().st_mode & 0o077 == 0
