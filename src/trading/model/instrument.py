"""What can be traded: a token against SOL."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instrument:
    """A token. ``mint`` is its address (for symbols without a Solana mint a stable ``sim:`` name).

    ``pool_fee_bps`` is the swap fee of the pool it trades in. ``pool_lamports_default`` is the declared SOL-side depth
    used when the data has no reserves; a report says so.
    """

    mint: str
    symbol: str
    decimals: int
    pool_fee_bps: int = 25
    pool_lamports_default: int = 2_000_000_000_000
