"""What the generated market says about its tokens, and the traps that it plants among the launches.

A trap shows in the facts, and the market acts on it: see ``SPRINGS`` for the ends of rugs; a transfer fee and a mint
that lets nobody sell are terms of the instrument. Each launch has a stream of its own, so traps change no price.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from trading.feeds.draws import Draws
from trading.model.instrument import Instrument
from trading.model.token_facts import Facts, LiquidityHold, SellSimulation
from trading.model.units import BPS_ONE, NS_PER_S, share_lamports, token_scale

_STREAM_BITS: Final = 64
"""The seed is the lower half of the generator's key; above it stands the number of the launch, from 1."""
_SALE_LAMPORTS: Final = 100_000_000
_ESTABLISHED_AGE_S: Final = 90 * 86_400
_TRAPPED_PPM: Final = 250_000
"""Of the launches that are no rugs so many can be bought and not sold, or only with a loss."""
_OWNER: Final = "sim:owner"


class Trap(StrEnum):
    """What is wrong with a token."""

    NONE = "none"
    MINT_AUTHORITY = "mint_authority"
    FREEZE_AUTHORITY = "freeze_authority"
    LIQUIDITY_FREE = "liquidity_free"
    CONCENTRATED = "concentrated"
    TRANSFER_FEE = "transfer_fee"
    UNSELLABLE = "unsellable"


SPRINGS: Final[Mapping[Trap, str]] = {
    Trap.LIQUIDITY_FREE: "the liquidity was pulled",
    Trap.MINT_AUTHORITY: "the supply was minted anew and dumped",
    Trap.CONCENTRATED: "the largest holders dumped what they had",
    Trap.FREEZE_AUTHORITY: "all accounts were frozen",
}
"""How a rug with this trap ends; all but the last drain the pool in the bar before."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch as it was planted; ``number`` counts them from 0."""

    number: int
    trap: Trap


def planted(seed: int, number: int, *, is_rug: bool) -> Launch:
    """Return the trap of a launch: a rug has one that springs, of the others some can be sold at a loss or not."""
    draws = _stream(seed, number)
    if is_rug:
        return Launch(number, tuple(SPRINGS)[draws.below(len(SPRINGS))])
    if not draws.chance(_TRAPPED_PPM):
        return Launch(number, Trap.NONE)
    return Launch(number, Trap.UNSELLABLE if draws.chance(500_000) else Trap.TRANSFER_FEE)


def with_terms(seed: int, launch: Launch, instrument: Instrument) -> Instrument:
    """Return the instrument as the mint makes it."""
    if launch.trap is Trap.UNSELLABLE:
        return replace(instrument, is_sellable=False)
    if launch.trap is Trap.TRANSFER_FEE:
        return replace(instrument, transfer_fee_bps=_stream(seed, launch.number, skip=16).between(300, 2_500))
    return instrument


class SyntheticFacts:
    """Body of ``ports.TokenFacts`` for the tokens that the generated market has listed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._known: dict[str, tuple[Facts, int]] = {}

    def take_in(
        self, instrument: Instrument, depth_lamports: int, listed_ns: int, launch: Launch | None = None
    ) -> None:
        """Take a token in. Without a ``launch`` it is an established one."""
        made = _ESTABLISHED if launch is None else _launched(_stream(self._seed, launch.number, skip=32), launch)
        facts = replace(
            made,
            mint=instrument.mint,
            transfer_fee_bps=instrument.transfer_fee_bps,
            liquidity_lamports=depth_lamports,
            sale=_sale(instrument, depth_lamports),
        )
        self._known[instrument.mint] = (facts, listed_ns)

    def drop(self, mint: str) -> None:
        """Forget a token that is gone."""
        self._known.pop(mint, None)

    def facts(self, mint: str, now_ns: int) -> Facts | None:
        """Return what is known about a token, None for one that was not listed by then."""
        facts, listed_ns = self._known.get(mint, (None, 0))
        if facts is None or facts.age_s is None or now_ns < listed_ns:
            return None
        return replace(facts, age_s=facts.age_s + (now_ns - listed_ns) // NS_PER_S)


_ESTABLISHED: Final = Facts(
    mint="",
    age_s=_ESTABLISHED_AGE_S,
    holders=20_000,
    top_ten_bps=1_500,
    mint_authority="",
    freeze_authority="",
    transfer_fee_bps=0,
    transfer_hook="",
    permanent_delegate="",
    liquidity_lamports=0,
    liquidity_hold=LiquidityHold.BURNED,
    sale=None,
)


def _launched(draws: Draws, launch: Launch) -> Facts:
    trap = launch.trap
    top_ten_bps = draws.between(1_000, 3_500)
    return replace(
        _ESTABLISHED,
        age_s=0,
        holders=draws.between(40, 400),
        top_ten_bps=draws.between(5_500, 9_000) if trap is Trap.CONCENTRATED else top_ten_bps,
        mint_authority=_OWNER if trap is Trap.MINT_AUTHORITY else "",
        freeze_authority=_OWNER if trap is Trap.FREEZE_AUTHORITY else "",
        liquidity_hold=LiquidityHold.FREE if trap is Trap.LIQUIDITY_FREE else LiquidityHold.BURNED,
    )


def _sale(instrument: Instrument, depth_lamports: int) -> SellSimulation:
    """Return what a simulated sale of about a tenth of a SOL gives: the pool's fee, its impact and the mint's share."""
    base_units = token_scale(instrument.decimals)
    if not instrument.is_sellable:
        return SellSimulation(base_units, _SALE_LAMPORTS, None, "the mint lets nobody sell")
    kept = share_lamports(_SALE_LAMPORTS, BPS_ONE - instrument.transfer_fee_bps)
    out = kept * depth_lamports // (depth_lamports + kept)
    return SellSimulation(base_units, _SALE_LAMPORTS, share_lamports(out, BPS_ONE - instrument.pool_fee_bps))


def _stream(seed: int, number: int, *, skip: int = 0) -> Draws:
    return Draws(seed | (number + 1) << _STREAM_BITS, skip)
