"""An armed signer on a socket in this process, on the real clock; buys above a hundredth of a SOL need approval."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.doubles.signer_parts import SetChain, WordCheck
from tests.support.signing import NS_PER_S, PASSPHRASE, SOL, buy, key_folder, mandate, mandate_toml
from trading.signing.book import ApprovalOrder
from trading.signing.core import SignerCore, SignerParts
from trading.signing.remote import LateRemoteKey
from trading.signing.secrets import Passphrase
from trading.signing.server import Doors, SignerServer, listening


@dataclass
class SignerStage:
    core: SignerCore
    socket: Path

    @property
    def environ(self) -> dict[str, str]:
        """What a daemon's environment says of this signer."""
        return {"TRADING_LIVE__SIGNER_SOCKET": str(self.socket)}

    def ask(self, number: int = 1, reason: str = "") -> str:
        """Put a buy before the operator, and return the approval's id."""
        wanted = buy(number)
        order = ApprovalOrder(
            intent_id=wanted.intent_id,
            wallet=wanted.wallet,
            in_mint=wanted.in_mint,
            out_mint=wanted.out_mint,
            amount_in=wanted.amount_in,
            min_out=wanted.min_out,
            fee_lamports_max=wanted.fee_lamports_max,
            expires_ns=time.time_ns() + 600 * NS_PER_S,
            reason=reason,
        )
        return self.core.approvals().ask(order, self.core.mandate(), time.time_ns()).id

    def state(self, approval_id: str) -> str:
        found = self.core.book().approval(approval_id, time.time_ns())
        return "" if found is None else found.state.value

    async def begin_passkey(self) -> str:
        return await self.core.begin_passkey(Passphrase(PASSPHRASE))

    async def confirm_passkey(self, fingerprint: str) -> None:
        await self.core.confirm_passkey(Passphrase(PASSPHRASE), fingerprint)


@asynccontextmanager
async def armed_signer(place: Path, *origins: str) -> AsyncIterator[SignerStage]:
    """Serve until the block is left."""
    place.mkdir(mode=0o700, exist_ok=True)
    folder, _ = key_folder(place)
    parts = SignerParts(
        folder, WordCheck(), lambda _endpoints: SetChain(), LateRemoteKey, time.time_ns, origins=origins
    )
    core = SignerCore(parts)
    doors = Doors(frozenset({os.geteuid()}), frozenset({os.geteuid()}))
    path, socket = place / "mandate.toml", place / "signer.sock"
    wanted = mandate(approval_above_lamports=SOL // 100, expires_ns=(time.time_ns() // SOL + 86_400) * SOL)
    path.write_text(mandate_toml(wanted))
    try:
        await core.unlock(Passphrase(PASSPHRASE))
        await core.arm(Passphrase(PASSPHRASE), path.read_bytes(), path)
        async with listening(socket, SignerServer(core, doors, time.time_ns), doors):
            yield SignerStage(core, socket)
    finally:
        await core.aclose()
