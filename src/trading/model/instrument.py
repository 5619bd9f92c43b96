"""What can be traded: a token against SOL, and the kind of pool it trades in."""

from dataclasses import dataclass, fields
from typing import Final


@dataclass(frozen=True, slots=True)
class ConstantProduct:
    """x * y = k: PumpSwap, Raydium CPMM. Its depth is recorded or declared."""


@dataclass(frozen=True, slots=True)
class Concentrated:
    """Orca Whirlpools, Raydium CLMM; data has no ticks, so where the liquidity lies is declared.

    ``liquidity`` (the chain's L) stands from the present price to ``range_spacings`` tick spacings on either side, and
    ``liquidity_beyond`` outside of that; a range of 0 is the whole range.
    """

    liquidity: int
    tick_spacing: int
    range_spacings: int = 0
    liquidity_beyond: int = 0

    def __post_init__(self) -> None:
        _require_range("liquidity", self.liquidity, 1, 2**127)
        _require_range("tick_spacing", self.tick_spacing, 1, 32_896)
        _require_range("range_spacings", self.range_spacings, 0, 443_636)
        # Without liquidity beyond its range a position could become unsellable by a declaration alone.
        _require_range("liquidity_beyond", self.liquidity_beyond, 1 if self.range_spacings else 0, self.liquidity)


@dataclass(frozen=True, slots=True)
class LaunchCurve:
    """A bonding curve that graduates into a constant-product pool; the defaults are pump.fun's.

    The curve is a constant product of virtual reserves that begins at ``virtual_lamports`` and ``virtual_base_units``
    and sells ``real_base_units``. When those are gone, the SOL that came in, less ``migration_lamports``, and
    ``pool_base_units`` become a pool.
    """

    virtual_lamports: int = 30_000_000_000
    virtual_base_units: int = 1_073_000_000_000_000
    real_base_units: int = 793_100_000_000_000
    pool_base_units: int = 206_900_000_000_000
    migration_lamports: int = 15_000_001

    def __post_init__(self) -> None:
        _require_range("virtual_lamports", self.virtual_lamports, 1, 10**18)
        _require_range("virtual_base_units", self.virtual_base_units, 2, 2**64 - 1)
        _require_range("real_base_units", self.real_base_units, 1, self.virtual_base_units - 1)
        _require_range("pool_base_units", self.pool_base_units, 1, 2**64 - 1)
        raised = self.raised_lamports
        _require_range("migration_lamports", self.migration_lamports, 0, raised - 1)

    @property
    def raised_lamports(self) -> int:
        """What the curve holds when its last unit is sold."""
        left = self.virtual_base_units - self.real_base_units
        return self.real_base_units * self.virtual_lamports // left + 1


PoolTerms = ConstantProduct | Concentrated | LaunchCurve
CONSTANT_PRODUCT = ConstantProduct()


NAME_CHARS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Instrument:
    """A token. ``mint`` is its address (for symbols without a Solana mint a stable ``sim:`` name).

    ``pool_fee_bps`` is the swap fee of the pool it trades in, ``creator_fee_bps`` what the token's creator takes on the
    SOL side beside it. ``pool_lamports_default`` is the declared SOL-side depth used when the data has no reserves; a
    report says so. ``pool`` is the kind of pool and what is declared about it. ``transfer_fee_bps`` is what the mint
    keeps of every transfer, ``is_sellable`` false for a token that can only be bought: known of a simulated market
    alone, where nobody asks before it is too late.
    """

    mint: str
    symbol: str
    decimals: int
    pool_fee_bps: int = 25
    pool_lamports_default: int = 2_000_000_000_000
    pool: PoolTerms = CONSTANT_PRODUCT
    creator_fee_bps: int = 0
    transfer_fee_bps: int = 0
    is_sellable: bool = True


def token_name(text: str, chars_max: int = NAME_CHARS_MAX) -> str:
    """Return what somebody named a token as every journal and page can hold it, "" where nothing of it is left.

    Anybody names a token as he likes: without halves of characters and controls, which a database cannot store, and
    without marks that turn the direction of what stands beside it.
    """
    printable = "".join(char if char.isprintable() else " " for char in text[: 4 * chars_max])
    return " ".join(printable.split())[:chars_max].strip()


def pool_body(terms: PoolTerms) -> dict[str, int | str]:
    """Return the terms as names and values; ``pool_terms`` reads them."""
    return {"kind": _KINDS[type(terms)]} | {field.name: getattr(terms, field.name) for field in fields(terms)}


def pool_terms(body: dict[str, int | str]) -> PoolTerms:
    """Return the terms of a body. Raises: ValueError for an unknown kind or field, or a value out of range."""
    values = dict(body)
    kind = values.pop("kind", None)
    cls = next((cls for cls, name in _KINDS.items() if name == kind), None)
    if cls is None:
        msg = f"pool kind: {', '.join(_KINDS.values())}, not {kind!r}"
        raise ValueError(msg)
    known = {field.name for field in fields(cls)}
    wrong = sorted(name for name, value in values.items() if name not in known or type(value) is not int)
    if wrong:
        msg = f"a pool of kind {kind} has the whole numbers {', '.join(sorted(known)) or '(none)'}, not {wrong[0]!r}"
        raise ValueError(msg)
    made: PoolTerms = cls(**values)
    return made


_KINDS: dict[type, str] = {
    ConstantProduct: "constant_product",
    Concentrated: "concentrated",
    LaunchCurve: "launch_curve",
}


def _require_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        msg = f"{name}: {low} to {high}, not {value}"
        raise ValueError(msg)
