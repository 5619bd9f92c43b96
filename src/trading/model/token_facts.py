"""What is known about a token besides its market: who may do what to it, who holds it, whether it can be sold.

None means "not known" everywhere; an authority, hook or delegate that does not exist is "".
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from .units import BPS_ONE


class LiquidityHold(StrEnum):
    """Who can take the liquidity out: its owner at will, its owner after a time, nobody."""

    FREE = "free"
    LOCKED = "locked"
    BURNED = "burned"


@dataclass(frozen=True, slots=True)
class SellSimulation:
    """A sale of ``base_units``, tried and not sent. ``worth_lamports`` is what they are at the mid price;
    ``lamports_out`` is what the sale would bring, None where it fails, and then ``problem`` says why."""

    base_units: int
    worth_lamports: int
    lamports_out: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """``top_ten_bps``: the share of the supply that the ten largest holders have, the pool left out.
    ``liquidity_lamports``: the SOL side of the pool. ``age_s``: since that pool was made."""

    mint: str
    age_s: int | None
    holders: int | None
    top_ten_bps: int | None
    mint_authority: str | None
    freeze_authority: str | None
    transfer_fee_bps: int | None
    transfer_hook: str | None
    permanent_delegate: str | None
    liquidity_lamports: int | None
    liquidity_hold: LiquidityHold | None
    sale: SellSimulation | None

    def __post_init__(self) -> None:
        for name, high in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and (value < 0 or (high is not None and value > high)):
                msg = f"{name} is {value}; allowed: 0 to {'any' if high is None else high}, or not known"
                raise ValueError(msg)


_BOUNDS: dict[str, int | None] = {
    "age_s": None,
    "holders": None,
    "top_ten_bps": BPS_ONE,
    "transfer_fee_bps": BPS_ONE,
    "liquidity_lamports": None,
}


def facts_body(facts: Facts) -> dict[str, Any]:
    """Return the facts as a journal row has them; ``facts_of`` reads them."""
    hold = facts.liquidity_hold
    return {**asdict(facts), "liquidity_hold": None if hold is None else hold.value}


def facts_of(body: Mapping[str, Any]) -> Facts:
    """Return the facts of a body. Raises: KeyError, TypeError, ValueError."""
    hold, sale = body["liquidity_hold"], body["sale"]
    return Facts(
        **{
            **body,
            "liquidity_hold": None if hold is None else LiquidityHold(hold),
            "sale": None if sale is None else SellSimulation(**sale),
        }
    )
