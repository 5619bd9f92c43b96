"""How the desk's surroundings are, in its snapshot: feed, endpoints, chain, and what orders came to."""

from typing import Literal

from .base import Wire


class EndpointView(Wire):
    """``is_down``: its last answer was an error. ``ok`` and ``errors`` count answers since the start."""

    name: str
    kind: Literal["market", "chain"]
    is_down: bool
    problem: str
    ok: int
    errors: int


class ChainView(Wire):
    """``not_armed`` says why nothing may be opened, "" while it may; ``halted``: wallets that wait for a person."""

    is_reconciled: bool
    not_armed: str
    halted: dict[str, str]


class ExecutionView(Wire):
    """The last twenty orders that ended within six hours of the market's time.

    ``shortfall_bps``: by how much fills gave less than they were quoted, on average; ``fees_over_bps``: above plan.
    ``failed`` were charged or failed on chain, by ``reasons``.
    """

    fills: int
    failed: int
    shortfall_bps: int
    fees_over_bps: int
    reasons: dict[str, int]
    worst_trajectory_id: str
    failed_trajectory_id: str


class SharedNodesView(Wire):
    """Execution nodes that share the desk's work: ``problem`` is why their database cannot be read, ``silent`` are
    nodes of which nothing is heard, ``halted`` wallets of theirs that wait for a person, each with why."""

    problem: str
    silent: dict[str, str]
    halted: dict[str, str]


class DeskHealthView(Wire):
    """Renewed once a second. ``cycle_s``: what a cycle should take by the wall, null where it goes as fast as it can.
    ``feed_counts`` count since the start; ``chain`` is null where the money is paper, ``nodes`` where no nodes
    are configured."""

    feed_counts: dict[str, int] = {}
    cycle_s: float | None = None
    clock_skew_s: float | None = None
    endpoints: list[EndpointView] = []
    chain: ChainView | None = None
    execution: ExecutionView | None = None
    nodes: SharedNodesView | None = None
