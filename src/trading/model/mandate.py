"""What the operator allows the desk to do with real money, as a value with one canonical spelling.

Amounts are lamports and base units, times nanoseconds since 1970. A mandate is only ever narrowed by what else holds:
nothing that an agent, a profile or a strategy says widens it.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

MAINNET_GENESIS: Final = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
"""The genesis hash of Solana's main network: there, and only there, keys are live keys."""


class Network(StrEnum):
    """LIVE: real money. REHEARSAL: a chain whose coins are worth nothing."""

    LIVE = "live"
    REHEARSAL = "rehearsal"


class Side(StrEnum):
    """BUY: SOL is given for a token. SELL: a token is given for SOL."""

    BUY = "buy"
    SELL = "sell"


def network_of(genesis_hash: str) -> Network:
    """Return which kind of money a chain's is: whatever is not the main network is a rehearsal."""
    return Network.LIVE if genesis_hash == MAINNET_GENESIS else Network.REHEARSAL


@dataclass(frozen=True, slots=True)
class Mandate:
    """All bounds are inclusive.

    ``order_lamports_max`` and ``day_lamports_max`` bound what buys give, the latter over any 24 hours, and so do
    ``fee_lamports_max`` (one attempt: signatures, priority fee, tip) and ``fee_day_lamports_max``. The first
    ``ramp_trades`` buys after each arming are of at most ``ramp_lamports_max``. A buy of more than
    ``approval_above_lamports`` needs the operator's approval. An arming ends ``armed_s_max`` after it was made and at
    ``expires_ns``, whichever is first. ``attempts_max`` bounds the different messages of one intent. ``venues`` are
    labels of pools; empty: any. ``programs`` are allowed beside those that every swap needs. What is swept goes to
    ``cold_address`` alone, at most ``sweep_day_lamports_max`` over any 24 hours; 0: nothing is.
    """

    name: str
    genesis_hash: str
    wallets: tuple[str, ...]
    cold_address: str
    endpoints: tuple[str, ...]
    mints: tuple[str, ...]
    sides: tuple[Side, ...]
    venues: tuple[str, ...]
    order_lamports_max: int
    day_lamports_max: int
    fee_lamports_max: int
    fee_day_lamports_max: int
    slippage_bps_max: int
    attempts_max: int
    ramp_trades: int
    ramp_lamports_max: int
    approval_above_lamports: int
    armed_s_max: int
    expires_ns: int
    programs: tuple[str, ...] = ()
    tip_accounts: tuple[str, ...] = ()
    tip_lamports_max: int = 0
    sweep_day_lamports_max: int = 0

    @property
    def network(self) -> Network:
        return network_of(self.genesis_hash)

    def canonical(self) -> bytes:
        """Return the one spelling: equal mandates are equal bytes on every machine."""
        body = {"format": "memmcp mandate 1", **asdict(self)}
        if not self.sweep_day_lamports_max:
            del body["sweep_day_lamports_max"]  # so that a seal of before there were sweeps holds
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.canonical()).hexdigest()
