"""What several machines share when they execute for one desk: parent orders, who may use which wallet, shared limits.

A parent order is split into children; each child is one intent of one wallet, carried out by whichever node holds the
lease of that wallet. Times are nanoseconds by the clock of the store, so that the nodes' clocks may differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .intent import SOL_MINT, Intent


class ChildState(StrEnum):
    """PLANNED: nobody has begun it. CLAIMED: it is an intent, whose own state says more. FAILED, CANCELLED: it ended
    before anybody began it."""

    PLANNED = "planned"
    CLAIMED = "claimed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class NodeState(StrEnum):
    """DRAINING: it finishes what it has begun and begins nothing. GONE: it said that it ended."""

    WORKING = "working"
    DRAINING = "draining"
    GONE = "gone"


class SharedState(StrEnum):
    """ACTIVE: purchases and sales are begun. REDUCING: sales only."""

    ACTIVE = "active"
    REDUCING = "reducing"


@dataclass(frozen=True, slots=True)
class PlannedChild:
    """A part of a parent that nobody has begun. It may begin at ``due_ns``, and never after the intent's deadline."""

    number: int
    due_ns: int
    intent: Intent


@dataclass(frozen=True, slots=True)
class Parent:
    """``key`` is the caller's idempotency key. ``token`` is what is bought or sold for SOL."""

    id: str
    key: str
    children: tuple[PlannedChild, ...]

    @property
    def is_buy(self) -> bool:
        return self.children[0].intent.in_mint == SOL_MINT

    @property
    def token(self) -> str:
        intent = self.children[0].intent
        return intent.out_mint if self.is_buy else intent.in_mint


@dataclass(frozen=True, slots=True)
class ChildSeen:
    """``state`` is the intent's where the child was claimed; ``node`` is who claimed it."""

    id: str
    wallet: str
    state: str
    node: str
    problem: str


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that runs a node: ``epoch`` counts how often the name was registered, and only the newest counts."""

    node: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Lease:
    """``token`` grows each time that the wallet comes to a holder: a fence against one who slept over its end."""

    wallet: str
    holder: Holder
    token: int


@dataclass(frozen=True, slots=True)
class SharedLimits:
    """What all nodes together may have: in SOL that is in tokens or on the way there, in all and in each token, and in
    purchases at once. Nothing is bought while they are 0."""

    state: SharedState = SharedState.ACTIVE
    exposure_lamports_max: int = 0
    token_lamports_max: int = 0
    entries_open_max: int = 0


@dataclass(frozen=True, slots=True)
class Exposure:
    """What of the limits is used: ``lamports`` in tokens and on the way there, ``entries_open`` purchases at once."""

    lamports: int
    entries_open: int
    by_token: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something took, of the newest ``count`` times, in seconds."""

    count: int
    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A node as the store knows it. ``silent_s`` is how long nothing was heard of it; ``leases`` are those that it
    holds now; ``told`` is what it said of itself (balances); ``counts`` what became of what it carried out, ``costs``
    what that cost (fee, tip, rent, failed) in lamports; ``took`` how long it took from claim to signature (``send``)
    and from there to the chain (``confirm``)."""

    name: str
    epoch: int
    version: str
    state: NodeState
    began_ns: int
    silent_s: float
    leases: tuple[Lease, ...]
    told: Mapping[str, object]
    counts: Mapping[str, int]
    took: Mapping[str, Spread]
    costs: Mapping[str, int]
