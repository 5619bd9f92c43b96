"""A store of nodes on a real PostgreSQL, emptied between tests, and orders for it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import sqlalchemy as sa

from tests.support.postgres import PostgresServer
from trading.adapters.node_store.leases import Leases, Wish
from trading.adapters.node_store.opening import Door, StoreRules, open_door
from trading.adapters.node_store.orders import Orders
from trading.model.intent import SOL_MINT, Intent
from trading.model.node import Holder, Lease, NodeState, Parent, PlannedChild, SharedLimits

WORKING = NodeState.WORKING
S = 10**9
WIDE = SharedLimits(exposure_lamports_max=10**15, token_lamports_max=10**15, entries_open_max=1_000)
TABLES = (
    "desks, tallies, fills, holdings, reservations, leases, nodes, children, parents, record, attempts, intents, "
    "wallets"
)


def wish(*wallets: str, state: NodeState = WORKING, most: int = 64, told: Mapping[str, object] | None = None) -> Wish:
    return Wish(state, wallets, most, told or {})


@dataclass
class NodeStage:
    door: Door
    url: str
    orders: Orders = field(init=False)
    leases: Leases = field(init=False)
    numbers: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self.orders = Orders(self.door, time.time_ns)
        self.leases = Leases(self.door)

    def empty(self) -> None:
        with self.door.writing() as connection:
            connection.execute(sa.text(f"TRUNCATE {TABLES}"))
        self.orders.share(WIDE, "test")

    def all_leases(self, name: str, *wallets: str) -> tuple[Holder, dict[str, Lease]]:
        """Register a node and let it take all of these wallets."""
        holder = self.leases.register(name, "1")
        held: dict[str, Lease] = {}
        while len(held) < len(wallets):
            found = self.leases.beat(holder, wish(*wallets)).leases
            assert len(found) > len(held), "the others are taken"
            held = {each.wallet: each for each in found}
        return holder, held

    def lapse(self, *wallets: str) -> None:
        """Let leases run out, as if their node had been silent for so long."""
        with self.door.writing() as connection:
            given = {"wallets": list(wallets)}
            connection.execute(sa.text("UPDATE leases SET until_ns = now_ns() - 1 WHERE wallet = ANY(:wallets)"), given)

    def parent(self, name: str, *wallets: str, lamports: int = 1_000, **more: object) -> Parent:
        """Return an order with a child in each of these wallets; all are due."""
        made = tuple(
            PlannedChild(number, time.time_ns() - S, self.intent(f"{name}_{number}", wallet, lamports, **more))
            for number, wallet in enumerate(wallets)
        )
        return Parent(name, name, made)

    def planned(self, name: str, *wallets: str, lamports: int = 1_000, **more: object) -> Parent:
        made = self.parent(name, *wallets, lamports=lamports, **more)
        assert self.orders.plan(made)
        return made

    def intent(
        self, name: str, wallet: str, amount: int, *, token: str = "frog", buys: bool = True, wait_s: float = 60.0
    ) -> Intent:
        now_ns = time.time_ns()
        return Intent(
            id=name,
            key=f"key/{name}",
            wallet=wallet,
            in_mint=SOL_MINT if buys else token,
            out_mint=token if buys else SOL_MINT,
            amount_in=amount,
            min_out=1,
            slippage_bps_max=100,
            fee_lamports_max=10_000,
            attempts_max=3,
            created_ns=now_ns,
            deadline_ns=now_ns + int(wait_s * S),
            is_exit=not buys,
        )


@contextmanager
def node_stage(server: PostgresServer, rules: StoreRules) -> Iterator[NodeStage]:
    url = server.url(server.new_database())
    door = open_door(url, rules)
    try:
        yield NodeStage(door, url)
    finally:
        door.close()
