"""Several daemons on one server: which sinks there are, whose they are, and who does now what only one may do.

A daemon is a node, known by a name that it made once and keeps in its data directory. What each daemon has of its own
(the index inside of it) is a sink of that node alone, stored as ``NAME@NODE``; every commit, whoever makes it, queues
for all of them. A sink that no daemon has served for long is retired with what waits for it: a node that comes back
after that registers anew, and everything is queued for it again.
"""

import json
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, delete, func, insert, select, text, update

from memmcp_server.domain.outbox import SinkSpec
from memmcp_server.errors import DataDirectoryError

from . import outbox_rows
from .engines import make_private_file
from .schema import cursors, head, leases, memories, outbox, sinks
from .translate import of_os

NODE_FILE = "node"
NODE = re.compile(r"[0-9a-f]{12}")
MARK = "@"
REGISTERED = "SELECT name, spec FROM sinks WHERE spec IS NOT NULL ORDER BY name"
NS_PER_S = 1_000_000_000
FILL_ROWS = 20_000
"""So many entries are queued at once for a daemon that is new: a tenth of a second, for which commits wait."""

FILLED, TO_FILL = "filled:", "to fill:"
"""Cursors, with the sink's stored name: how far a new sink has been given what was there, and how far it has to be."""


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Names:
    """How this daemon's own sinks are called in the tables. ``node`` is empty where the journal is its alone."""

    node: str = ""
    own: frozenset[str] = frozenset()

    def stored(self, name: str) -> str:
        return f"{name}{MARK}{self.node}" if name in self.own else name

    def shown(self, stored: str) -> str:
        """Return the name by which this daemon knows a sink; that of another node keeps the node in it."""
        name, _, node = stored.partition(MARK)
        return name if node and node == self.node and name in self.own else stored


def names_of(specs: Sequence[SinkSpec], node: str) -> Names:
    return Names(node, frozenset(spec.name for spec in specs if spec.is_own)) if node else Names()


def read_node(data_dir: Path) -> str:
    """Return the name of the daemon of this data directory, made at the first call.

    Raises: DataDirectoryError (a damaged file), StorageFull.
    """
    path = data_dir / NODE_FILE
    try:
        make_private_file(path)
        node = path.read_text(encoding="ascii").strip()
        if not node:
            node = secrets.token_hex(6)
            path.write_text(f"{node}\n", encoding="ascii")
    except OSError as error:
        raise of_os(error, str(path)) from error
    except ValueError:
        node = ""
    if NODE.fullmatch(node) is None:
        msg = f"{path} does not hold the name of a node, twelve hexadecimal digits"
        raise DataDirectoryError(msg, hint="remove the file: the daemon makes a new name and fills its index again")
    return node


def register(
    connection: Connection, specs: Sequence[SinkSpec], names: Names, now_ns: int, *, fills: bool = True
) -> None:
    """Make the sinks known to all daemons. A new one of this node alone is given everything that there is: here, or
    (``fills`` false) by ``fill`` afterwards.

    The first node to come adopts a sink that was there before there were nodes, with what waits for it.
    """
    connection.execute(select(head.c.seq).with_for_update())
    now_ns = _now_ns(connection, now_ns)
    rows = connection.execute(select(sinks.c.name, sinks.c.spec))
    known: dict[str, str | None] = {row[0]: row[1] for row in rows}
    for spec in specs:
        name = names.stored(spec.name)
        is_own = name != spec.name
        if name not in known and is_own and spec.name in known and known[spec.name] is None:
            _rename(connection, spec.name, name)
        elif name not in known:
            connection.execute(insert(sinks).values(name=name, delivered=0))
            if is_own and fills:
                outbox_rows.refill(connection, name, now_ns)
            elif is_own:
                end = connection.execute(select(head.c.seq)).scalar_one()
                _keep(connection, {f"{FILLED}{name}": 0, f"{TO_FILL}{name}": end}, now_ns)
        values = {"spec": _document(spec), "node": names.node if is_own else None, "seen_at_ns": now_ns}
        connection.execute(update(sinks).where(sinks.c.name == name).values(values))


def fill(connection: Connection, specs: Sequence[SinkSpec], names: Names, now_ns: int) -> bool:
    """Queue the next piece of what this node's new sinks have still to be given; return whether that was all of it.

    A piece is a transaction, for which everybody's commits wait; whoever dies between two goes on with the next.
    """
    for name in sorted(names.stored(spec.name) for spec in specs):
        marks = [f"{FILLED}{name}", f"{TO_FILL}{name}"]
        query = select(cursors.c.name, cursors.c.seq).where(cursors.c.name.in_(marks))
        known = {row.name: int(row.seq) for row in connection.execute(query)}
        if len(known) < len(marks):
            continue
        reached, end = (known[each] for each in marks)
        following = select(memories.c.seq).where(memories.c.seq > reached, memories.c.seq <= end)
        last = connection.execute(following.order_by(memories.c.seq).offset(FILL_ROWS - 1).limit(1)).scalar()
        outbox_rows.add(connection, name, now_ns, after=reached, until=end if last is None else int(last))
        if last is not None:
            _keep(connection, {marks[0]: int(last)}, now_ns)
            return False
        connection.execute(delete(cursors).where(cursors.c.name.in_(marks)))
    return True


def _keep(connection: Connection, places: dict[str, int], now_ns: int) -> None:
    """Write the cursors down, wherever they were: a sink that was retired and comes anew begins from the front."""
    connection.execute(delete(cursors).where(cursors.c.name.in_(places)))
    rows = [{"name": name, "seq": seq, "updated_at_ns": now_ns} for name, seq in places.items()]
    connection.execute(insert(cursors), rows)


def present(specs: Sequence[SinkSpec], names: Names, now_ns: int, absent_ns: int, connection: Connection) -> None:
    """Say that these sinks are served, and retire those that nobody has served for ``absent_ns``.

    On a server its clock counts: one daemon whose clock is wrong must not give up all the others.
    """
    register(connection, specs, names, now_ns)
    for name in retire_absent(connection, before_ns=_now_ns(connection, now_ns) - absent_ns):
        _log.warning("nobody serves the sink %s any more; what waited for it is dropped", name)


def retire_absent(connection: Connection, *, before_ns: int) -> list[str]:
    """Drop the sinks that nobody has served since then, with what waits for them; return their stored names."""
    connection.execute(select(head.c.seq).with_for_update())
    gone = list(connection.execute(select(sinks.c.name).where(sinks.c.seen_at_ns < before_ns)).scalars())
    if gone:
        connection.execute(delete(outbox).where(outbox.c.sink.in_(gone)))
        connection.execute(delete(sinks).where(sinks.c.name.in_(gone)))
    return gone


def drop_unregistered(connection: Connection) -> None:
    """Drop sinks of before there were nodes that no daemon has registered since."""
    unknown = select(sinks.c.name).where(sinks.c.spec.is_(None))
    connection.execute(delete(outbox).where(outbox.c.sink.in_(unknown)))
    connection.execute(delete(sinks).where(sinks.c.spec.is_(None)))


@lru_cache(maxsize=256)
def spec_of(name: str, document: str) -> SinkSpec:
    """Return what a registered sink is given."""
    found = json.loads(document)
    kinds = found["kinds"]
    return SinkSpec(name, None if kinds is None else frozenset(kinds), found["reads_threads"])


def take_lease(connection: Connection, name: str, holder: str, ttl_s: float, now_ns: int) -> int | None:
    """Give the lease to the holder, or renew it, for so long; return its token, None while another has it.

    The token grows each time that the lease comes to a holder who had not got it: a fence against one who slept over
    its end. On a server its clock counts, so that the daemons' clocks may differ.
    """
    now_ns = _now_ns(connection, now_ns)
    until_ns = now_ns + round(ttl_s * NS_PER_S)
    token = connection.execute(TAKE, {"name": name, "holder": holder, "until": until_ns, "now": now_ns}).scalar()
    return None if token is None else int(token)


def lease_holder(connection: Connection, name: str, now_ns: int) -> str | None:
    is_held = (leases.c.name == name, leases.c.until_ns >= _now_ns(connection, now_ns))
    return connection.execute(select(leases.c.holder).where(*is_held)).scalar()


def release_lease(connection: Connection, name: str, holder: str) -> None:
    """End the holder's lease, so that another need not wait for its end."""
    is_held = (leases.c.name == name, leases.c.holder == holder)
    connection.execute(update(leases).where(*is_held).values(until_ns=0))


TAKE = text(
    "INSERT INTO leases (name, holder, token, until_ns) VALUES (:name, :holder, 1, :until) "
    "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ns = excluded.until_ns, "
    "token = leases.token + CASE WHEN leases.holder = excluded.holder AND leases.until_ns >= :now THEN 0 ELSE 1 END "
    "WHERE leases.holder = excluded.holder OR leases.until_ns < :now RETURNING token"
)


def _now_ns(connection: Connection, now_ns: int) -> int:
    """Return the server's time, that of this machine where there is no server."""
    if connection.dialect.name != "postgresql":
        return now_ns
    return int(connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one() * NS_PER_S)


def _rename(connection: Connection, before: str, after: str) -> None:
    connection.execute(update(outbox).where(outbox.c.sink == before).values(sink=after))
    connection.execute(update(sinks).where(sinks.c.name == before).values(name=after))


def _document(spec: SinkSpec) -> str:
    kinds = None if spec.kinds is None else sorted(spec.kinds)
    return json.dumps({"kinds": kinds, "reads_threads": spec.reads_threads}, sort_keys=True)
