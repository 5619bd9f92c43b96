"""All nodes as the store knows them: who lives, what each holds, what became of its work and how long that took."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from trading.adapters.canonical import parse_json
from trading.model.node import Holder, Lease, NodeSeen, NodeState, Spread
from trading.model.units import NS_PER_S

from .opening import Door

NODES_MAX: Final = 500
FORGOTTEN_S: Final = 24 * 3_600
"""A node that said it ended, or of which nothing was heard for so long, is told of no more."""

_NODES: Final = sa.text(
    "SELECT name, epoch, version, state, began_ns, told, (now_ns() - seen_ns) / 1000000 AS silent_ms FROM nodes "
    "WHERE seen_ns > now_ns() - :forgotten_ns ORDER BY name LIMIT :most"
)
_LEASES: Final = sa.text("SELECT wallet, node, epoch, token FROM leases WHERE until_ns >= now_ns() ORDER BY wallet")
# What has ended is counted when it ends, and what has not is little: both stay quick however long this goes on.
_ENDED: Final = sa.text("SELECT node, state, many, fee_lamports, tip_lamports, rent_lamports FROM tallies")
_OPEN: Final = sa.text(
    "SELECT c.node, i.state, count(*) AS many FROM reservations r JOIN children c ON c.id = r.child_id "
    "JOIN intents i ON i.id = r.child_id GROUP BY 1, 2"
)
_EXPIRED: Final = sa.text(
    "SELECT c.node, count(*) AS many FROM attempts a JOIN children c ON c.id = a.intent_id "
    "WHERE a.state = 'expired' GROUP BY 1"
)
# Of the newest thousand steps alone: how it goes now, whatever there was before.
_TOOK: Final = sa.text(
    "WITH steps AS (SELECT r.intent_id, r.kind, r.ts_ns, c.node FROM (SELECT * FROM record "
    "WHERE kind IN ('claimed', 'signed', 'landed', 'settled') ORDER BY seq DESC LIMIT 1000) r "
    "JOIN children c ON c.id = r.intent_id), "
    "each AS (SELECT node, intent_id, min(ts_ns) FILTER (WHERE kind = 'claimed') AS claimed, "
    "min(ts_ns) FILTER (WHERE kind = 'signed') AS signed, max(ts_ns) FILTER (WHERE kind = 'landed') AS landed "
    "FROM steps GROUP BY node, intent_id) "
    "SELECT node, count(signed - claimed) AS sends, avg(signed - claimed) AS send_mean, "
    "percentile_cont(CAST(:shares AS double precision[])) WITHIN GROUP (ORDER BY signed - claimed) AS send, "
    "count(landed - signed) AS lands, avg(landed - signed) AS land_mean, "
    "percentile_cont(CAST(:shares AS double precision[])) WITHIN GROUP (ORDER BY landed - signed) AS land "
    "FROM each GROUP BY node"
).bindparams(shares=[0.5, 0.95, 0.99])


def nodes_seen(door: Door) -> Sequence[NodeSeen]:
    """Return every node of which something was heard lately, by name. Raises: JournalUnavailable."""
    with door.writing() as connection:
        asked = {"forgotten_ns": FORGOTTEN_S * NS_PER_S, "most": NODES_MAX}
        rows = connection.execute(_NODES, asked).all()
        leases = _by_node(connection, _LEASES, lambda row: row)
        ended = _by_node(connection, _ENDED, lambda row: row)
        opened = _by_node(connection, _OPEN, lambda row: (str(row.state), int(row.many)))
        expired = {row.node: int(row.many) for row in connection.execute(_EXPIRED)}
        took = {row.node: row for row in connection.execute(_TOOK)}
    return [
        NodeSeen(
            name=row.name,
            epoch=int(row.epoch),
            version=row.version,
            state=NodeState(row.state),
            began_ns=int(row.began_ns),
            silent_s=max(0, int(row.silent_ms)) / 1_000,
            leases=tuple(
                Lease(each.wallet, Holder(each.node, int(each.epoch)), int(each.token)) for each in leases[row.name]
            ),
            told=parse_json(row.told),
            counts={
                **{str(each.state): int(each.many) for each in ended[row.name]},
                **dict(opened[row.name]),
                "attempts_expired": expired.get(row.name, 0),
            },
            took=_spreads(took.get(row.name)),
            costs=_costs(ended[row.name]),
        )
        for row in rows
    ]


def _by_node(connection: sa.Connection, query: sa.TextClause, made: Callable[[Any], Any]) -> Mapping[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.node].append(made(row))
    return found


def _costs(ended: Sequence[Any]) -> Mapping[str, int]:
    """Return what ended children cost; what reverted ones cost is a cost of its own."""
    went = [each for each in ended if each.state != "reverted"]
    return {
        "fee": sum(int(each.fee_lamports) for each in went),
        "tip": sum(int(each.tip_lamports) for each in ended),
        "rent": sum(int(each.rent_lamports) for each in ended),
        "failed": sum(int(each.fee_lamports) for each in ended if each.state == "reverted"),
    }


def _spreads(row: Any) -> Mapping[str, Spread]:
    if row is None:
        return {}
    found = {"send": (row.sends, row.send_mean, row.send), "confirm": (row.lands, row.land_mean, row.land)}
    return {
        name: Spread(int(count), float(mean) / NS_PER_S, *(float(each) / NS_PER_S for each in shares))
        for name, (count, mean, shares) in found.items()
        if count
    }
