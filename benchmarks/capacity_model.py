"""How much of each resource a load takes in a setup, from unit costs and what is assumed of agents and machines."""

from dataclasses import dataclass
from random import Random

from memmcp_server.config import HttpSection, JournalSection, RelaySection
from trading.config import NodesSection
from trading.runtime.node_run import BEATS_PER_LEASE

from .queueing import Station, exponential, linear
from .unit_costs import COMMITTED, EXTRAPOLATED, GUESSED, MEASURED, Costs

COMFORT = 0.7
"""A resource that is used more than this is called too busy: queues grow steeply from there on."""

TRANSACTIONS_AN_ORDER = 6
"""Of a child order after it was claimed: signed, sent, seen, settled, and what is noted of it; each like a claim."""

HEARTBEAT_S = NodesSection().lease_s / BEATS_PER_LEASE
GAUGES_PER_S = 10
SERVER_CORES = 16
DAEMON_RAM_B = 32 * 2**30
JOURNAL_DISK_B = 4 * 2**40
QDRANT_CORES = 8
QDRANT_RAM_B = 0.8 * 64 * 2**30
FILL_DAYS_MAX = 7.0
QDRANT_SEARCH_MS = 3.0
"""Processor time of a shard for one search with HNSW, both sides, as vendors' figures suggest."""

READS_A_SEARCH = 400
"""Exact vectors that a shard reads from its disk to judge anew what int8 found: twice the depth of a search."""

READS_PER_S = 200_000.0
"""Random reads of a Qdrant node's disk."""

POSTGRES_BLOAT = 2.0
"""Rows and indexes of the server against the file of SQLite."""

VECTOR_B, INT8_B, GRAPH_B, WORDS_B, PAYLOAD_INDEX_B, IDS_B = 384 * 4, 384, 16 * 2 * 4 * 1.1, 30 * 8, 200, 40
"""Of a point on a server in memory: numbers, links of HNSW at m = 16, 30 words; the last two are guessed."""


@dataclass(frozen=True)
class Load:
    agents: int
    memories: int
    strategies: int
    nodes: int
    writes_per_agent_minute: float = 2.0
    searches_per_agent_minute: float = 6.0
    desk_writes_per_s: float = 1.0
    tokens: int = 10
    orders_per_node_minute: float = 1.0
    pages: int = 50

    @property
    def writes_per_s(self) -> float:
        return self.agents * self.writes_per_agent_minute / 60 + self.desk_writes_per_s

    @property
    def claims_per_s(self) -> float:
        return self.nodes * self.orders_per_node_minute / 60

    @property
    def searches_per_s(self) -> float:
        return self.agents * self.searches_per_agent_minute / 60


@dataclass(frozen=True)
class Setup:
    """``qdrant_nodes`` 0: each daemon has an index of its own inside. Every one of the ``shards`` is asked in every
    search. ``is_lean``: int8 and the graph in memory, all else on disk."""

    name: str
    settings: str
    daemons: int = 1
    is_postgresql: bool = False
    qdrant_nodes: int = 0
    shards: int = 1
    replicas: int = 1
    is_lean: bool = False
    threads: int = 1
    claim_s: float = NodesSection().claim_s
    streams_max: int = HttpSection().streams_max

    @property
    def indexes(self) -> int:
        return 1 if self.qdrant_nodes else self.daemons


@dataclass(frozen=True)
class Resource:
    """``used``: 1.0 is all there is. ``grade``: the least sure of what it was made from. ``is_growing``: whether load
    makes it busier while agents wait for it."""

    name: str
    used: float
    grade: str
    remedy: str
    is_growing: bool = True


def head(setup: Setup, costs: Costs) -> Station:
    """Return the head of the journal: one transaction at a time, each of the rows of one daemon."""
    sync_s = costs["sync"].value / 1_000
    if not setup.is_postgresql:
        service = linear(sync_s, costs["write, daemon"].value / 1_000)
    else:
        more = costs["head held, an outbox row more"].value * (setup.indexes - 1)
        each_ms = costs["head held, a row"].value + more
        service = linear(sync_s + costs["head held, a transaction"].value / 1_000, each_ms / 1_000)
    return Station(service, batch_max=JournalSection().batch_rows_max, groups=setup.daemons)


def embedder(setup: Setup, costs: Costs) -> Station:
    """Return what makes a memory findable by its meaning, in one index."""
    each_ms = costs["embedding a memory"].value / setup.threads + costs["point, index worker"].value
    return Station(linear(0.0, each_ms / 1_000), batch_max=RelaySection().batch_len_max)


def searches(load: Load, setup: Setup, costs: Costs) -> Station:
    """Return the search lanes of all daemons."""
    return Station(exponential(_search_ms(load, setup, costs) / 1_000), servers=setup.daemons)


def _search_ms(load: Load, setup: Setup, costs: Costs) -> float:
    """Return what one search takes of the lane of an index worker, in a namespace of an agent's share."""
    query_ms = costs["embedding a query"].value
    if setup.qdrant_nodes:
        return query_ms + QDRANT_SEARCH_MS
    near = costs["search, engine at 2,000"].value
    beyond = max(0, load.memories // load.agents - 2_000)
    return query_ms + near + beyond * costs["search, engine per point"].value


def resources(load: Load, setup: Setup, costs: Costs) -> list[Resource]:
    """Return what the load takes of each resource, the most used first."""
    found = [*_journal(load, setup, costs), *_daemon(load, setup, costs), *_index(load, setup, costs)]
    return sorted(found, key=lambda each: -each.used)


def capacity_per_s(station: Station) -> float:
    """Return how many jobs a second a station of batches carries at most."""
    return station.batch_max / station.service(station.batch_max, Random(0))


def _journal(load: Load, setup: Setup, costs: Costs) -> list[Resource]:
    writes, at_head = load.writes_per_s, capacity_per_s(head(setup, costs))
    bloat = POSTGRES_BLOAT if setup.is_postgresql else 1.0
    claims = load.claims_per_s / capacity_per_s(limits(costs))
    found = [
        Resource("limits' row of the nodes", claims, MEASURED, "fewer, larger child orders"),
        Resource("head of the journal", writes / at_head, MEASURED, "an index on a server: one outbox row a write"),
        Resource(
            "disk of the journal",
            load.memories * costs["journal per memory"].value * bloat / JOURNAL_DISK_B,
            EXTRAPOLATED,
            "retention and thinning by namespace; a larger disk",
        ),
    ]
    if setup.is_postgresql:
        row = costs["server's processor, a row"].value + costs["head held, an outbox row more"].value * (
            setup.indexes - 1
        )
        read_ms = costs["search, daemon"].value
        used_ms = writes * row * 2 + load.searches_per_s * read_ms + _nodes_ms(load, setup, costs)
        remedy = "more cores for the database; a database of its own for the nodes"
        found.append(Resource("PostgreSQL's processor", used_ms / 1_000 / SERVER_CORES, EXTRAPOLATED, remedy))
    return found


def limits(costs: Costs) -> Station:
    """Return the one row that every claim holds which finds work."""
    held_ms = costs["node, an order claimed"].value + costs["sync"].value
    return Station(linear(0.0, held_ms / 1_000))


def looks_per_s(load: Load, setup: Setup) -> float:
    return load.nodes / setup.claim_s


def _nodes_ms(load: Load, setup: Setup, costs: Costs) -> float:
    """Return the processor time that nodes take of their database in a second."""
    return (
        load.nodes / HEARTBEAT_S * costs["node, a heartbeat"].value
        + looks_per_s(load, setup) * costs["node, a look for work"].value
        + load.claims_per_s * (1 + TRANSACTIONS_AN_ORDER) * costs["node, an order claimed"].value
    )


def _daemon(load: Load, setup: Setup, costs: Costs) -> list[Resource]:
    writes, share = load.writes_per_s, 1 / setup.daemons
    streams = (load.agents + load.pages) * share
    told_ms = writes * streams * costs["stream, a row"].value
    used_ms = (
        writes * share * costs["write, daemon"].value
        + load.searches_per_s * share * costs["search, daemon"].value
        + told_ms
        # Each daemon fills its own index, or one of them that of all: about as much again as writing.
        + writes * costs["write, daemon"].value
    )
    remedy = f"more daemons; {told_ms / used_ms:.0%} is telling streams: agents that ask for news need none"
    cycle_ms = costs["strategy and bar, live"].value + load.strategies * costs["strategy and bar, replayed"].value
    return [
        Resource("a daemon's interpreter", used_ms / 1_000, EXTRAPOLATED, remedy),
        Resource(
            "places for streams",
            streams / setup.streams_max,
            MEASURED,
            "http.streams_max, or more daemons",
        ),
        Resource(
            "the trading loop",
            load.tokens * cycle_ms / 60_000,
            EXTRAPOLATED,
            "another memory with a desk of its own",
        ),
        Resource(
            "a page",
            GAUGES_PER_S * costs["page, an update"].value / 1_000,
            COMMITTED,
            "none is needed: bounded",
            is_growing=False,
        ),
    ]


def _index(load: Load, setup: Setup, costs: Costs) -> list[Resource]:
    each_ms = costs["embedding a memory"].value / setup.threads
    fill_days = load.memories * each_ms / 1_000 / 86_400
    threads_grade = MEASURED if setup.threads == 1 else EXTRAPOLATED
    found = [
        Resource(
            "embedding what is new",
            load.writes_per_s * each_ms / 1_000,
            threads_grade,
            "embedding.threads; kinds that are found by words alone",
        ),
        Resource(
            "search lane of an index worker",
            load.searches_per_s / setup.daemons * _search_ms(load, setup, costs) / 1_000,
            GUESSED if setup.qdrant_nodes else EXTRAPOLATED,
            "more daemons; smaller namespaces; an index on a server",
        ),
        Resource(
            f"another model, of {FILL_DAYS_MAX:g} days",
            fill_days / FILL_DAYS_MAX,
            EXTRAPOLATED,
            "embedding.threads; keep the model; a snapshot instead of a new fill",
            is_growing=False,
        ),
    ]
    if not setup.qdrant_nodes:
        ram = costs["resident at first"].value * 1e6 + load.memories * costs["resident per memory"].value
        remedy = "an index on a server"
        return [*found, Resource("memory of an index", ram / DAEMON_RAM_B, EXTRAPOLATED, remedy)]
    nodes, asked = setup.qdrant_nodes, load.searches_per_s * setup.shards
    ram = load.memories * point_b(is_lean=setup.is_lean) * setup.replicas / (nodes * QDRANT_RAM_B)
    busy = asked * QDRANT_SEARCH_MS / 1_000 / nodes / QDRANT_CORES
    reads = asked * READS_A_SEARCH if setup.is_lean else 0.0
    lean = "nodes; quantize_from, on_disk = vectors, words, payload, payload_indexes"
    spread = "nodes; fewer shards, as each is asked every time"
    return [
        *found,
        Resource("memory of the Qdrant nodes", ram, GUESSED, lean),
        Resource("processors of the Qdrant nodes", busy, GUESSED, spread),
        Resource("disks of the Qdrant nodes", reads / nodes / READS_PER_S, GUESSED, spread),
    ]


def point_b(*, is_lean: bool) -> float:
    """Return the memory that a point takes on a server."""
    if is_lean:
        return INT8_B + GRAPH_B + IDS_B
    return VECTOR_B + GRAPH_B + WORDS_B + PAYLOAD_INDEX_B + IDS_B
