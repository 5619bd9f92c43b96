"""A rehearsal on which an operator swaps by the smoke script: a chain, a wallet's key, an armed signer."""

import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey

from tests.support.signing import COLD, PASSPHRASE, SOL, mandate, mandate_toml
from trading.config import Sections
from trading.model.mandate import Mandate
from trading.rehearsal.stage import Stage, StagePlan, staging
from trading.settings import load
from trading.signing.chain_view import RpcChainView
from trading.signing.core import SignerCore, SignerParts
from trading.signing.keys import KeyFolder
from trading.signing.messages import SwapMessages
from trading.signing.remote import LateRemoteKey
from trading.signing.secrets import Passphrase, SecretKey
from trading.signing.server import Doors, SignerServer, listening

SEED = bytes(range(32))
SLOT_MS = 10


@asynccontextmanager
async def swap_stage(slot_ms: int = SLOT_MS) -> AsyncIterator[tuple[Stage, SecretKey]]:
    """Run a chain with a wallet of 10 SOL and a pool of FROG; give the wallet's key, made for it."""
    wallet = Pubkey.from_string(SecretKey(SEED, "").address)
    async with staging(StagePlan(tokens=("FROG",), wallets=(wallet,), slot_ms=slot_ms)) as stage:
        yield stage, SecretKey(SEED, stage.rehearsal.cluster.genesis_hash)


def swap_environment(stage: Stage, socket: Path, wallet: str) -> dict[str, str]:
    return {
        **stage.settings(),
        "TRADING_LIVE__WALLET": wallet,
        "TRADING_LIVE__SIGNER_SOCKET": str(socket),
        "TRADING_LIVE__MINTS": json.dumps(stage.mints),
        "TRADING_LIVE__POLL_S": "0.02",
        "TRADING_LIVE__RESEND_S": "0.2",
    }


def swap_mandate(stage: Stage, wallet: str, **changes: Any) -> Mandate:
    given = {
        "genesis_hash": stage.rehearsal.cluster.genesis_hash,
        "wallets": (wallet,),
        "cold_address": COLD,
        "endpoints": tuple(stage.rehearsal.url(name) for name in stage.rehearsal.endpoints),
        "mints": (stage.mints["FROG"],),
        "slippage_bps_max": 300,
        "expires_ns": (time.time_ns() // SOL + 86_400) * SOL,
    }
    return mandate(**given | changes)


@dataclass
class SwapSigner:
    """A signer in this process, at a socket, unlocked and not armed yet."""

    core: SignerCore
    stage: Stage
    wallet: str
    place: Path

    @property
    def sections(self) -> Sections:
        return load(swap_environment(self.stage, self.place / "signer.sock", self.wallet))

    async def arm(self, **changes: Any) -> None:
        path = self.place / "mandate.toml"
        path.write_text(mandate_toml(swap_mandate(self.stage, self.wallet, **changes)))
        await self.core.arm(Passphrase(PASSPHRASE), path.read_bytes(), path)


@asynccontextmanager
async def swap_signer(place: Path) -> AsyncIterator[SwapSigner]:
    async with swap_stage() as (stage, key):
        folder = KeyFolder(place / "signer", log2_n=10)
        folder.add_seed(folder.create(Passphrase(PASSPHRASE)), key)
        core = SignerCore(SignerParts(folder, SwapMessages(), RpcChainView, LateRemoteKey, time.time_ns))
        doors = Doors(frozenset({os.geteuid()}), frozenset({os.geteuid()}))
        await core.unlock(Passphrase(PASSPHRASE))
        try:
            async with listening(place / "signer.sock", SignerServer(core, doors, time.time_ns), doors):
                yield SwapSigner(core, stage, key.address, place)
        finally:
            await core.aclose()
