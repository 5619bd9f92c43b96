"""A desk with real money and what it needs, on one machine: the rehearsal chain, its router, a signer on a socket."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tests.doubles.desk_memory import ListMemory
from tests.doubles.scripted_market import ManualFeed
from tests.support.authenticator import ORIGIN, Authenticator
from tests.support.rehearsal import JupiterStage, jupiter_stage
from tests.support.signing import PASSPHRASE, mandate, mandate_toml
from trading.adapters.live_feed_choice import Chosen
from trading.config import (
    AccountSection,
    ChainSection,
    LiveSection,
    PaperSection,
    RelaySection,
    RouterSection,
    Sections,
)
from trading.model.mandate import Mandate
from trading.rehearsal.tokens import NATIVE_MINT
from trading.runtime.paper_desk import PaperDesk
from trading.runtime.paper_run import PaperOptions, paper_desk
from trading.signing.chain_view import RpcChainView
from trading.signing.client import SignerSocket
from trading.signing.core import SignerCore, SignerParts
from trading.signing.keys import KeyFolder
from trading.signing.messages import SwapMessages
from trading.signing.remote import LateRemoteKey
from trading.signing.secrets import Passphrase, SecretKey
from trading.signing.server import Doors, SignerServer, listening

SOL = 10**9
ME = os.geteuid()
PRICE = "0.0000001"
"""SOL for a whole token of five decimals: what the pool of the rehearsal chain stands at."""


@dataclass
class World:
    """The chain, the signer's socket and folder, and where the desk's files lie."""

    stage: JupiterStage
    key: Keypair
    folder: Path
    socket: SignerSocket
    core: SignerCore
    fill_wait_s: float = 0.0
    others: list[Keypair] = field(default_factory=list)
    """Keys of wallets beside the first."""
    live: dict[str, Any] = field(default_factory=dict)
    """Settings of ``live`` that a test wants otherwise."""
    more: dict[str, Any] = field(default_factory=dict)
    """Whole sections that a test wants beside these."""

    @property
    def wallet(self) -> str:
        return str(self.key.pubkey())

    @property
    def lamports(self) -> int:
        """What the chain says that the wallet has."""
        return self.stage.lamports(self.key)

    @property
    def sections(self) -> Sections:
        stage = self.stage
        vaults = {
            stage.frog: [str(stage.pool.vault(Pubkey.from_string(stage.frog))), str(stage.pool.vault(NATIVE_MINT))]
        }
        return Sections(
            account=AccountSection(zone="Europe/Berlin"),
            paper=PaperSection(fill_wait_s=self.fill_wait_s, snapshot_interval_s=0.0),
            relay=RelaySection(backoff_base_s=0.01, poll_s=0.05),
            market=stage.market(),
            router=RouterSection.model_validate({"second_price": "pool", "pools": vaults, "pool_lamports_min": 0}),
            chain=ChainSection.model_validate(
                {
                    "endpoints": [{"url": url, "calls_per_second": 5_000} for url in self.urls],
                    "genesis_hash": stage.cluster.genesis_hash,
                }
            ),
            live=LiveSection.model_validate(
                {
                    "wallet": self.wallet,
                    "signer_socket": self.socket.path,
                    "poll_s": 0.02,
                    "resend_s": 0.1,
                    "arming_poll_s": 0.05,
                    **self.live,
                }
            ),
            **self.more,
        )

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(self.stage.rehearsal.url(name) for name in ("one", "two"))

    def mandate(self, **changes: Any) -> Mandate:
        now_s = int(time.time())
        return mandate(
            genesis_hash=self.stage.cluster.genesis_hash,
            wallets=(self.wallet, *(str(each.pubkey()) for each in self.others)),
            endpoints=self.urls,
            mints=(self.stage.frog,),
            slippage_bps_max=1_000,
            expires_ns=(now_s + 3_600) * SOL,
            **changes,
        )

    async def arm(self, **changes: Any) -> None:
        text = mandate_toml(self.mandate(**changes))
        path = self.folder / "mandate.toml"
        path.write_text(text)
        await self.socket.ask("unlock", {"passphrase": PASSPHRASE})
        await self.socket.ask("arm", {"passphrase": PASSPHRASE, "text": text, "source": str(path)})

    async def passkey(self) -> Authenticator:
        """Register a passkey of the operator."""
        made = Authenticator()
        code = await self.socket.ask("passkey_begin", {"passphrase": PASSPHRASE})
        options = await self.socket.ask("passkey_options", {"code": code})
        seen = await self.socket.ask(
            "passkey_register", {"code": code, "credential": made.create(options), "label": "a test"}
        )
        wish = {"passphrase": PASSPHRASE, "fingerprint": seen["fingerprint"]}
        await self.socket.ask("passkey_confirm", wish)
        return made

    async def approve(self, approval_id: str, passkey: Authenticator) -> None:
        options = await self.socket.ask("approval_challenge", {"id": approval_id})
        await self.socket.ask("approval_approve", {"id": approval_id, "credential": passkey.get(options)})

    async def question(self, approval_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.socket.ask("approval", {"id": approval_id})
        return found


@asynccontextmanager
async def a_world(folder: Path, *, wallets: int = 1, lamports: int = 5 * SOL) -> AsyncIterator[World]:
    async with jupiter_stage() as stage, stage.running():
        seeds = [bytes(range(number, number + 32)) for number in range(wallets)]
        key, *others = [Keypair.from_seed(seed) for seed in seeds]
        for each in (key, *others):
            stage.cluster.airdrop(each.pubkey(), lamports)
        keys = KeyFolder(folder / "signer", log2_n=10)
        root = keys.create(Passphrase(PASSPHRASE))
        for seed in seeds:
            keys.add_seed(root, SecretKey(seed, stage.cluster.genesis_hash))
        core = SignerCore(SignerParts(keys, SwapMessages(), RpcChainView, LateRemoteKey, time.time_ns, (ORIGIN,)))
        doors = Doors(frozenset({ME}), frozenset({ME}))
        path = folder / "s.sock"
        try:
            async with listening(path, SignerServer(core, doors, time.time_ns), doors):
                yield World(stage, key, folder, SignerSocket(path, ME), core, others=others)
        finally:
            await core.aclose()


class Desk:
    def __init__(self, desk: PaperDesk, feed: ManualFeed, memory: ListMemory) -> None:
        self.desk = desk
        self.feed = feed
        self.memory = memory

    async def until(self, holds: Any, seconds: float = 20) -> dict[str, Any]:
        """Let cycles pass until a snapshot is so; return it."""
        with anyio.fail_after(seconds):
            while True:
                snapshot = await self.desk.snapshot()
                if holds(snapshot):
                    return dict(snapshot)
                self.feed.push()
                await anyio.sleep(0.05)

    @staticmethod
    def wish(mint: str, amount: str) -> dict[str, Any]:
        return {"side": "buy", "mint": mint, "amount_sol": amount, "reason": "a test buys", "bucket": "manual"}

    async def again(self, mint: str, amount: str, key: str, status: str) -> dict[str, Any]:
        """Ask with the key of an order that was sent until it stands so; cycles pass meanwhile."""
        with anyio.fail_after(20):
            while True:
                found = await self.desk.place_trade(self.wish(mint, amount), agent="a", key=key)
                if found["status"] == status:
                    return dict(found)
                self.feed.push()
                await anyio.sleep(0.05)

    async def buy(self, mint: str, amount: str, key: str) -> dict[str, Any]:
        wish = self.wish(mint, amount)
        shown = await self.desk.place_trade(wish, agent="a", key=f"{key}-preview")
        assert shown["status"] == "preview", shown
        return dict(await self.desk.place_trade(wish | {"preview_id": shown["preview_id"]}, agent="a", key=key))


@asynccontextmanager
async def a_desk(world: World, feed: ManualFeed | None = None) -> AsyncIterator[Desk]:
    moved = feed or ManualFeed(world.stage.frog, "FROG", PRICE)
    profiles = world.folder / "profiles"
    options = PaperOptions(world.folder, "market", "foundation", profiles_dir=profiles, is_real=True)
    memory = ListMemory()
    async with paper_desk(options, world.sections, memory, Chosen(moved, "by hand")) as opened:
        yield Desk(opened, moved, memory)
