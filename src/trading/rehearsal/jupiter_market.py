"""The market that the local Jupiter server quotes: pools of token accounts on the chain, as they stand now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final

from solders.pubkey import Pubkey

from .jupiter_chain import LocalAccount, RpcChain
from .pools import BPS_ONE, Pool
from .tokens import NATIVE_MINT

WRAPPED_SOL: Final = str(NATIVE_MINT)
Pair = tuple[str, str]
_AMOUNT: Final = slice(64, 72)
_MINT_DECIMALS_AT: Final = 44
_TABLE_HEAD: Final = 56
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class LocalToken:
    """What a mint is called, and since when it has a pool."""

    mint: str
    symbol: str
    name: str
    created_s: int = 0
    is_verified: bool = True


@dataclass(frozen=True, slots=True)
class Quote:
    """``impact`` is the share of the price that is lost to the pool, its fee included."""

    pool: Pool
    in_mint: Pubkey
    amount_in: int
    out: int
    impact: Decimal


@dataclass
class LocalMarket:
    """``sol_usd`` is what a SOL is said to be worth; nothing here trades dollars. ``tables`` are lookup tables on the
    chain that offers may use."""

    chain: RpcChain
    pools: Sequence[Pool]
    tokens: Sequence[LocalToken] = ()
    tables: Sequence[str] = ()
    sol_usd: Decimal = Decimal(150)
    _stood: dict[Pubkey, tuple[int, int]] = field(default_factory=dict)
    """What pools stood at when an old quote was asked for."""

    async def quote(self, asked: Pair, amount_in: int, labels: "Labels", *, is_old: bool = False) -> Quote | None:
        """Return the best pool's offer, None where there is no pool of the two. ``is_old``: from the reserves that
        were read for the last quote that was not."""
        best: Quote | None = None
        in_mint = Pubkey.from_string(asked[0])
        for pool in self._of(asked):
            if not labels.allow(pool.label):
                continue
            if not is_old or pool.id not in self._stood:
                self._stood[pool.id] = await self.reserves(pool)
            stood = self._stood[pool.id]
            have, want = stood if pool.mints[0] == in_mint else stood[::-1]
            out = swapped(have, want, amount_in, pool.fee_bps)
            if best is None or out > best.out:
                lost = 1 - Fraction(out * have, amount_in * want) if want else Fraction(1)
                best = Quote(pool, in_mint, amount_in, out, Decimal(lost.numerator) / lost.denominator)
        return best

    async def reserves(self, pool: Pool) -> tuple[int, int]:
        """Return what the pool holds of each of its mints, in its own order."""
        vaults = [str(pool.vault(mint)) for mint in pool.mints]
        seen = await self.chain.accounts(vaults)
        first, second = (_held(seen[vault]) for vault in vaults)
        return first, second

    def _of(self, pair: Pair) -> list[Pool]:
        return [pool for pool in self.pools if {str(mint) for mint in pool.mints} == set(pair)]

    async def usd_prices(self, mints: Sequence[str]) -> dict[str, tuple[Decimal, int, Decimal]]:
        """Return (USD a whole token, decimals, USD of liquidity) by mint; unknown ones are left out."""
        known: dict[str, tuple[Decimal, int, Decimal]] = {}
        for mint in dict.fromkeys(mints):
            if mint == WRAPPED_SOL:
                known[mint] = (self.sol_usd, 9, Decimal(0))
                continue
            pools = self._of((mint, WRAPPED_SOL))
            found = await self.chain.accounts([mint])
            account = found[mint]
            if not pools or account is None:
                continue
            decimals = account.data[_MINT_DECIMALS_AT]
            sides = [await self.reserves(pool) for pool in pools]
            both = [each if str(pool.mints[0]) == mint else each[::-1] for pool, each in zip(pools, sides, strict=True)]
            units, lamports = max(both, key=lambda each: each[1])
            if units:
                price = self.sol_usd * Decimal(lamports).scaleb(-9) / Decimal(units).scaleb(-decimals)
                known[mint] = (price, decimals, 2 * self.sol_usd * Decimal(lamports).scaleb(-9))
        return known

    async def token_programs(self, mints: Sequence[str]) -> Mapping[str, Pubkey]:
        """Return the program that owns each mint; mints that do not exist are left out."""
        seen = await self.chain.accounts(mints)
        return {mint: Pubkey.from_string(each.owner) for mint, each in seen.items() if each is not None}

    async def table_addresses(self) -> dict[str, list[str]]:
        """Return what the lookup tables hold, in their order."""
        seen = await self.chain.accounts(self.tables)
        return {table: _addresses(each.data) for table, each in seen.items() if each is not None}


@dataclass(frozen=True, slots=True)
class Labels:
    """Which venues a question allows; empty ``only`` means any."""

    only: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()

    def allow(self, label: str) -> bool:
        return label not in self.without and (not self.only or label in self.only)


def swapped(have: int, want: int, amount_in: int, fee_bps: int) -> int:
    """Return what the pool program gives for an amount, to the unit, where no mint keeps a fee."""
    net = amount_in - -(-amount_in * fee_bps // BPS_ONE)
    return want * net // (have + net) if have + net else 0


def _held(account: LocalAccount | None) -> int:
    return 0 if account is None else int.from_bytes(account.data[_AMOUNT], "little")


def _addresses(data: bytes) -> list[str]:
    keys = data[_TABLE_HEAD:]
    return [str(Pubkey.from_bytes(keys[at : at + _KEY_BYTES])) for at in range(0, len(keys), _KEY_BYTES)]
