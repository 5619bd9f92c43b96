"""What an operator or an agent may tell the desk to do: imperative, journalled as an input before it takes effect."""

from dataclasses import dataclass, field
from typing import Final, Literal

from .order import LATER, Side
from .promotion import GateReading, PromotionTerms, Stage
from .recall import PastSituation
from .wallet import MAIN, WalletTerms

AGENT: Final = "agent:"
"""How the actor of a command begins that an agent gave: it may only make the desk safer."""


@dataclass(frozen=True, slots=True)
class StopEntries:
    """Open nothing new. Positions stay and are managed by their exit rules."""

    key: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class AllowEntries:
    """Take a stop of entries back, and nothing else: no drawdown is measured anew by it."""

    key: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReduceOnly:
    """Only reduce: exits by rule and by hand go on, entries are denied. ``level``: only there, as ``bucket:NAME``."""

    key: str
    actor: str
    reason: str
    level: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True)
class FlattenAndHalt:
    """Sell everything that can be sold at the next cycle and stay halted. ``level``: only there, as ``bucket:NAME``."""

    key: str
    actor: str
    reason: str
    level: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True)
class Resume:
    """Return to ACTIVE with entries allowed. ``reason`` acknowledges the cause; drawdown is measured anew from now.

    ``level``: only there, as ``bucket:NAME``; without it the account and every level resume.
    """

    key: str
    actor: str
    reason: str
    level: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True)
class ClosePosition:
    """Sell ``percent`` (1-100) of all positions in a token."""

    key: str
    actor: str
    reason: str
    mint: str
    percent: int


@dataclass(frozen=True, slots=True)
class Deposit:
    """Book money that came in."""

    key: str
    actor: str
    reason: str
    lamports: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Book money that went out."""

    key: str
    actor: str
    reason: str
    lamports: int


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Trade by hand, exact-in: lamports for a buy, base units for a sell. It passes the same gate as any order.

    ``cites`` are ids of memories that the decision rests on; the desk only hands them on.
    """

    key: str
    actor: str
    reason: str
    side: Side
    mint: str
    bucket: str
    strategy: str
    amount_in: int
    min_out: int
    cites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetTarget:
    """Set the equity that the compounding tracker measures against."""

    key: str
    actor: str
    reason: str
    lamports: int


@dataclass(frozen=True, slots=True)
class SwitchProfile:
    """Trade under another profile from the next cycle on; ``content`` is the whole of it (``profile_content``), empty
    for one that ships with the desk."""

    key: str
    actor: str
    reason: str
    profile: str
    content: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True)
class MoveCapital:
    """Move cash between two buckets."""

    key: str
    actor: str
    reason: str
    from_bucket: str
    to_bucket: str
    lamports: int


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One entry of what happened on the chain without the desk. ``what``: deposit, withdraw, move, buy, sell, or carry
    from ``wallet`` to ``to_wallet``; the figures are those of the event of that kind, 0 and "" where it has none."""

    what: str
    bucket: str
    lamports: int
    to_bucket: str = ""
    mint: str = ""
    base_units: int = 0
    fee_lamports: int = 0
    rent_lamports: int = 0
    wallet: str = field(default=MAIN, metadata=LATER)
    to_wallet: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True)
class BookFlow:
    """Book a finalized transaction that is none of the desk's: ``key`` is chain/SIGNATURE."""

    key: str
    actor: str
    reason: str
    steps: tuple[FlowStep, ...]


@dataclass(frozen=True, slots=True)
class UseWallets:
    """Trade with these wallets from now on, ``main`` among them. What one that is new holds comes in as a deposit."""

    key: str
    actor: str
    reason: str
    wallets: tuple[WalletTerms, ...]


@dataclass(frozen=True, slots=True)
class HoldWallet:
    """Leave a wallet alone, as long as it has this ``problem``; "" says that it has none any more."""

    key: str
    actor: str
    reason: str
    wallet: str
    problem: str


@dataclass(frozen=True, slots=True)
class GiveSituations:
    """Take situations of earlier runs with what came of them; none is recalled before it was known."""

    key: str
    actor: str
    reason: str
    situations: tuple[PastSituation, ...]


@dataclass(frozen=True, slots=True)
class PromoteStrategy:
    """Trade a strategy with a candidate's parameters (canonical JSON of numbers as texts) from the next cycle on, in
    this ``stage``: paper, or live, for which ``gates`` hold what it proved on paper. ``terms``: by what it is held."""

    key: str
    actor: str
    reason: str
    candidate: str
    strategy: str
    stage: Stage
    parameters: str
    terms: PromotionTerms
    gates: tuple[GateReading, ...]


@dataclass(frozen=True, slots=True)
class DemoteStrategy:
    """Let a strategy enter nothing any more, until a candidate of it is promoted or another profile is switched to."""

    key: str
    actor: str
    reason: str
    strategy: str


Command = (
    StopEntries
    | AllowEntries
    | ReduceOnly
    | FlattenAndHalt
    | Resume
    | ClosePosition
    | Deposit
    | Withdraw
    | PlaceOrder
    | SetTarget
    | SwitchProfile
    | MoveCapital
    | BookFlow
    | UseWallets
    | HoldWallet
    | GiveSituations
    | PromoteStrategy
    | DemoteStrategy
)
CommandName = Literal[
    "stop_entries",
    "allow_entries",
    "reduce_only",
    "flatten_and_halt",
    "resume",
    "close_position",
    "deposit",
    "withdraw",
    "place_order",
    "set_target",
    "switch_profile",
    "move_capital",
    "book_flow",
    "use_wallets",
    "hold_wallet",
    "give_situations",
    "promote_strategy",
    "demote_strategy",
]
