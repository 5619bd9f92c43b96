"""Which token a symbol means.

Symbols of exchange files are mapped to the Solana mint of the token of that name. A symbol without a Solana mint gets a
stable ``sim:`` name, so that it can be traded on paper and never be mistaken for an address.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from trading.model.instrument import Instrument
from trading.model.units import LAMPORTS_PER_SOL

SOL_SYMBOL: Final = "SOL"
WRAPPED_SOL_MINT: Final = "So11111111111111111111111111111111111111112"
USDC_MINT: Final = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
SIMULATED_DECIMALS: Final = 6

# A token that has just left its launch curve starts with about 85 SOL in its pool, and the pool charges small tokens
# up to 1.25 %: the dear end is declared, so that a paper run flatters nobody.
LAUNCH_POOL_LAMPORTS: Final = 85 * LAMPORTS_PER_SOL
LAUNCH_POOL_FEE_BPS: Final = 125
LAUNCH_DECIMALS: Final = 6

KNOWN_MINTS: Final[Mapping[str, tuple[str, int]]] = MappingProxyType(
    {
        "BOME": ("ukHH6c7mMyiWCf1b9pnWe25TSpkDDt3H5pQZgZ74J82", 6),
        "BONK": ("DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", 5),
        "FARTCOIN": ("9BB6NFEcjBCtnNLFko2FqVQBq8HHM13kCyYcdQbgpump", 6),
        "JTO": ("jtojtomepa8beP8AuQc6eXt5FriJwfFMwQx2v2f9mCL", 9),
        "JUP": ("JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN", 6),
        "MEW": ("MEW1gQWJ3nEXg2qgERiKu7FAFj79PHvQVREQUzScPP5", 5),
        "MYRO": ("HhJpBhRRn4g56VsyLuT8DL5Bv31HkXqsrahTTUCZeZg4", 9),
        "ORCA": ("orcaEKTdK7LKz57vaAYr9QeNsVEPfiu6QeMU1kektZE", 6),
        "PENGU": ("2zMMhcVQEXDtdE6vsFS7S7D5oUodfJHE8vd1gnBouauv", 6),
        "POPCAT": ("7GCihgDB8fe6KNjn2MYtkzZcRjQy3t9GHdC8uHYmW2hr", 9),
        "PYTH": ("HZ1JovNiVvGrGNiiYvEozEVgZ58xaU3RKwX8eACQBCt3", 6),
        "RAY": ("4k3Dyjzvzp8eMZWUXbBCjEvwSkkk59S5iCNLY3QrkX6R", 6),
        "RENDER": ("rndrizKT3MK1iimdxRdWabcF7Zg7AR5T4nud4EkHBof", 8),
        "WIF": ("EKpQGSJtjMFqKZ9KQanSqYXRcFqfBopzLHYxdM65zcjm", 6),
    }
)


def instrument_of(symbol: str) -> Instrument:
    """Return the instrument of an exchange symbol such as BONK; ``sim:`` plus the symbol where no mint is known."""
    name = symbol.upper()
    mint, decimals = KNOWN_MINTS.get(name, (f"sim:{name}", SIMULATED_DECIMALS))
    return Instrument(mint=mint, symbol=name, decimals=decimals)


def launch_instrument(mint: str) -> Instrument:
    """Return the instrument of a newly launched token that is known by its mint only."""
    symbol = mint if len(mint) <= 10 else f"{mint[:4]}..{mint[-4:]}"
    return Instrument(
        mint=mint,
        symbol=symbol,
        decimals=LAUNCH_DECIMALS,
        pool_fee_bps=LAUNCH_POOL_FEE_BPS,
        pool_lamports_default=LAUNCH_POOL_LAMPORTS,
    )
