"""What Solana itself charges, apart from any pool, and what may be shown of whom one asks it."""

from typing import Final
from urllib.parse import urlsplit

from .units import ceil_div

SIGNATURE_FEE_LAMPORTS: Final = 5_000
"""solana.com/docs/core/fees/fee-structure: per signature, also when the transaction fails."""
TOKEN_ACCOUNT_RENT_LAMPORTS: Final = (128 + 165) * 6_960
"""Deposit of a token account (128 bytes overhead + 165 bytes, 6,960 lamports a byte): returned when it is closed."""
COMPUTE_UNITS_PER_TRANSACTION_MAX: Final = 1_400_000
_MICRO: Final = 1_000_000


def priority_fee_lamports(micro_lamports_per_cu: int, compute_units_max: int) -> int:
    """Return ceil(price * limit / 10^6): charged on the limit, whatever was used, also on failure."""
    return ceil_div(micro_lamports_per_cu * compute_units_max, _MICRO)


def host_of(url: str) -> str:
    """Return what of an endpoint's address may be shown: host and port. The rest may hold a key."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
