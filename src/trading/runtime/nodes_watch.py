"""What a desk knows of the execution nodes: read from their database beside the loop, shown and counted from memory.

The database may be away or slow: then the newest picture stays, with its age, and nothing waits for it.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import anyio

from trading.adapters.node_store.opening import Door, open_door
from trading.adapters.node_store.orders import Orders
from trading.adapters.node_store.seen import nodes_seen
from trading.config import NodesSection
from trading.errors import InvalidInput, JournalUnavailable
from trading.execution.beside import InBoundedThread
from trading.model.node import Exposure, Lease, NodeSeen, NodeState, SharedLimits, SharedState, Spread

from . import families as told
from .documents import Document, amount, iso
from .node_run import store_rules

LOOK_S: Final = 5.0
GIVEN_UP_S: Final = 86_400.0
SHOWN_MAX: Final = 200
WALLETS_MAX: Final = 64
STEPS: Final = {"send": "claim to signed transaction", "confirm": "signed until confirmed on chain"}
OUTCOMES: Final = {
    "success": ("settled",),
    "failed": ("failed", "reverted"),
    "expired": ("attempts_expired",),
    "cancelled": ("cancelled",),
    "under_way": ("open", "waiting_for_approval", "signed", "landed"),
    "needs_review": ("needs_review",),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Picture:
    """All of it as it was at ``at_s`` by this process's monotonic clock."""

    at_s: float
    nodes: Sequence[NodeSeen]
    limits: SharedLimits
    used: Exposure
    halted: Mapping[str, str]


class NodesWatch:
    """One per desk that shares its work. ``run`` looks until it is cancelled."""

    def __init__(self, section: NodesSection, now_s: Callable[[], float] = time.monotonic) -> None:
        self._section = section
        self._now_s = now_s
        self._io = InBoundedThread(section.answer_s)
        self._door: Door | None = None
        self._seen: Picture | None = None
        self.problem = "nobody has looked yet"

    async def run(self) -> None:
        try:
            while True:
                await self.look()
                await anyio.sleep(LOOK_S)
        finally:
            if self._door is not None:
                self._door.close()

    async def look(self) -> None:
        """Take a new picture; where that fails the old one stays, and ``problem`` says why."""
        try:
            self._seen = await self._io(self._picture)
            self.problem = ""
        except (JournalUnavailable, InvalidInput) as error:
            if error.message != self.problem:
                logger.warning("the execution nodes are not seen: %s", error)
            self.problem = error.message

    def _picture(self) -> Picture:
        if self._door is None:
            assert self._section.url is not None
            self._door = open_door(self._section.url.get_secret_value(), store_rules(self._section))
        orders = Orders(self._door, time.time_ns)
        found = [each for each in nodes_seen(self._door) if each.state is not NodeState.GONE or each.silent_s < 3_600]
        halted = dict(orders.halted())
        return Picture(self._now_s(), found[:SHOWN_MAX], orders.shared_limits(), orders.exposure(), halted)

    def documents(self, sol_usd: Decimal | None) -> list[Document]:
        """Return wire.NodeView of each node, as it was seen last."""
        seen = self._seen
        if seen is None:
            return []
        return [self._document(each, seen, sol_usd) for each in seen.nodes]

    def _document(self, node: NodeSeen, seen: Picture, sol_usd: Decimal | None) -> Document:
        silent_s = node.silent_s + max(0.0, self._now_s() - seen.at_s)
        state, why = self._state(node, silent_s)
        counts = {name: sum(node.counts.get(each, 0) for each in states) for name, states in OUTCOMES.items()}
        return {
            "id": node.name,
            "role": "executes",
            "mode": "live",
            "version": node.version,
            "since": iso(node.began_ns),
            "state": state,
            "state_reason": why,
            "trading_state": "ACTIVE" if seen.limits.state is SharedState.ACTIVE else "REDUCING",
            "heartbeat_age_s": round(silent_s, 3),
            "cycle_s": None,
            "not_armed": "",
            "is_reconciled": None,
            "latency": [_latency(name, what, node.took.get(name)) for name, what in STEPS.items()],
            "transactions": counts,
            "costs": {
                "fee_lamports": node.costs.get("fee", 0),
                "impact_lamports": 0,
                "priority_lamports": node.costs.get("tip", 0),
                "failed_lamports": node.costs.get("failed", 0),
                "rent_lamports": node.costs.get("rent", 0),
            },
            "wallets": [
                _wallet(each, lamports_of(node).get(each.wallet), seen, sol_usd) for each in node.leases[:WALLETS_MAX]
            ],
            "endpoints": [],
        }

    def _state(self, node: NodeSeen, silent_s: float) -> tuple[str, str]:
        if node.state is NodeState.GONE:
            return "ended", "it was asked to end, and finished what it had begun"
        if silent_s > self._section.lease_s:
            return "silent", self.problem or "its wallets go to other nodes that can sign for them"
        if node.state is NodeState.DRAINING:
            return "draining", "it finishes what it has begun, and begins nothing"
        return "working", ""

    def health(self) -> Document:
        """Return wire.SharedNodesView. While their database cannot be read, no node is called silent for that; one of
        which nothing was heard for a day is taken as given up."""
        seen = self._seen
        age_s = 0.0 if seen is None else max(0.0, self._now_s() - seen.at_s)
        silent: dict[str, str] = {}
        for each in () if seen is None or self.problem else seen.nodes:
            state, why = self._state(each, each.silent_s + age_s)
            if state == "silent" and each.silent_s < GIVEN_UP_S:
                silent[each.name] = why
        halted = {} if seen is None else {wallet: why[:300] for wallet, why in list(seen.halted.items())[:WALLETS_MAX]}
        return {"problem": self.problem[:200], "silent": silent, "halted": halted}

    def figures(self) -> list[Document]:
        """Return the families of figures; called in the event loop, it waits for nothing."""
        seen = self._seen
        if seen is None:
            return [told.NODES_SEEN.told([((), 0)])]
        age_s = max(0.0, self._now_s() - seen.at_s)
        nodes = seen.nodes
        states = [(each, self._state(each, each.silent_s + age_s)[0]) for each in nodes]
        return [
            told.NODES_SEEN.told([((), int(not self.problem))]),
            told.NODE_UP.told([((each.name,), int(state in {"working", "draining"})) for each, state in states]),
            told.NODE_SILENT.told([((each.name,), round(each.silent_s + age_s, 3)) for each in nodes]),
            told.NODE_WALLETS.told([((each.name,), len(each.leases)) for each in nodes]),
            told.NODE_BALANCE.told([((each.name,), sum(lamports_of(each).values())) for each in nodes]),
            told.NODE_CHILDREN.told(
                [
                    ((each.name, name), sum(each.counts.get(one, 0) for one in of))
                    for each in nodes
                    for name, of in OUTCOMES.items()
                ]
            ),
            told.NODE_DELAY.told(
                [
                    ((each.name, step, share), value)
                    for each in nodes
                    for step, spread in each.took.items()
                    for share, value in (("0.5", spread.p50_s), ("0.95", spread.p95_s), ("0.99", spread.p99_s))
                ]
            ),
            told.NODES_EXPOSURE.told([((), seen.used.lamports)]),
            told.NODES_EXPOSURE_MAX.told([((), seen.limits.exposure_lamports_max)]),
        ]


def lamports_of(node: NodeSeen) -> Mapping[str, int]:
    """Return what a node said that the wallets hold which it has now."""
    found: Any = node.told.get("lamports")
    said = found if isinstance(found, Mapping) else {}
    return {each.wallet: int(said[each.wallet]) for each in node.leases if each.wallet in said}


def _wallet(lease: Lease, lamports: int | None, seen: Picture, sol_usd: Decimal | None) -> Document:
    halted = seen.halted.get(lease.wallet, "")
    return {
        "name": f"{lease.wallet[:4]}\u2026{lease.wallet[-4:]}",
        "address": lease.wallet,
        "state": "HALTED" if halted else "ACTIVE",
        "problem": halted or ("" if lamports is not None else "its balance is not told yet"),
        "role": "trade",
        "buckets": [],
        "cash": amount(lamports or 0, sol_usd),
        "reserved": None,
        "reserve": None,
        "tokens": None,
        "leased_by": f"{lease.holder.node}, token {lease.token}",
    }


def _latency(name: str, what: str, spread: Spread | None) -> Document:
    return {
        "name": name,
        "what": what,
        "is_simulated": False,
        "count": 0 if spread is None else spread.count,
        "mean_s": None if spread is None else round(spread.mean_s, 6),
        "p50_s": None if spread is None else round(spread.p50_s, 6),
        "p95_s": None if spread is None else round(spread.p95_s, 6),
        "p99_s": None if spread is None else round(spread.p99_s, 6),
        "bound_s": None,
    }
