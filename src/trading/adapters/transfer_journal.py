"""Transfers between venues on disk, each event written down before what it leads to is done."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from trading.adapters.sqlite import FencedFile, Step
from trading.arbitrage.transfer_ports import Asset, TransferEvent, TransferKept
from trading.arbitrage.transfers import Happening, Transfer, TransferState, holdings, moved
from trading.errors import InvalidInput

PAGE_MAX: Final = 200
WATCHED_MAX: Final = 2_000
_NAMES_MAX: Final = 500
_CHANGES: Final = ("state", "has_left", "received", "events", "sent_ns", "at_ns")
_OVER: Final = tuple(each.value for each in TransferState if each.is_over)

_metadata = sa.MetaData()
_transfers = sa.Table(
    "transfers",
    _metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("pair", sa.String, nullable=False, index=True),
    sa.Column("asset", sa.String, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("target", sa.String, nullable=False),
    sa.Column("amount", sa.LargeBinary, nullable=False),
    sa.Column("planned_ns", sa.BigInteger, nullable=False),
    sa.Column("late_ns", sa.BigInteger, nullable=False),
    # The fold of its events, written with each of them.
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("has_left", sa.Boolean, nullable=False),
    sa.Column("received", sa.LargeBinary, nullable=False),
    sa.Column("events", sa.Integer, nullable=False),
    sa.Column("sent_ns", sa.BigInteger, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("told", sa.Integer, nullable=False),  # events that memory knows of
)
_events = sa.Table(
    "transfer_events",
    _metadata,
    sa.Column("transfer_id", sa.String, sa.ForeignKey("transfers.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("happening", sa.String, nullable=False),
    sa.Column("received", sa.LargeBinary, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
)
_state = sa.Table("transfer_state", _metadata, sa.Column("epoch", sa.BigInteger, nullable=False))
_answers = sa.Table(
    "transfer_answers",  # who said that one is lost, and why
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("transfer_id", sa.String, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
)


def _first(connection: sa.Connection) -> None:
    _metadata.create_all(connection)
    connection.execute(sa.insert(_state).values(epoch=0))


_STEPS: Final[tuple[Step, ...]] = (_first,)


class SqlTransferJournal:
    """Made by ``SqlTransferJournal.at(path)``; whoever opens the file last is the only one who may write."""

    def __init__(self, file: FencedFile) -> None:
        self._file = file

    @classmethod
    def at(cls, path: Path) -> "SqlTransferJournal":
        """Open or make the journal. Raises: JournalUnavailable."""
        return cls(FencedFile(path, _STEPS, _state.c.epoch, "and the transfers are made by that one"))

    @property
    def path(self) -> Path:
        return self._file.path

    def close(self) -> None:
        self._file.close()

    def plan(self, wished: Sequence[TransferKept]) -> int:
        with self._file.writing() as connection:
            return sum(_plan(connection, each) for each in wished)

    def happened(self, events: Sequence[TransferEvent]) -> None:
        if not events:
            return
        with self._file.writing() as connection:
            _happen(connection, events)

    def watched(self, since_ns: int) -> Sequence[TransferKept]:
        is_open = sa.or_(_transfers.c.state.not_in(_OVER), _transfers.c.at_ns >= since_ns)
        return self._found(sa.select(_transfers).where(is_open).order_by(_transfers.c.number).limit(WATCHED_MAX))

    def page(self, limit: int, before: int | None = None) -> Sequence[TransferKept]:
        query = sa.select(_transfers).order_by(_transfers.c.number.desc()).limit(max(1, min(limit, PAGE_MAX)))
        return self._found(query if before is None else query.where(_transfers.c.number < before))

    def moved(self, asset: Asset) -> dict[str, int]:
        query = sa.select(_transfers).where(_transfers.c.asset == asset, _transfers.c.has_left.is_(True))
        with self._file.reading() as connection:
            return holdings({}, (_kept(each).transfer for each in connection.execute(query)))

    def untold(self, limit: int) -> Sequence[TransferKept]:
        """Return transfers of whose newest event memory does not know, oldest first."""
        query = sa.select(_transfers).where(_transfers.c.told < _transfers.c.events)
        return self._found(query.order_by(_transfers.c.number).limit(min(limit, PAGE_MAX)))

    def told(self, known: Sequence[TransferKept]) -> None:
        with self._file.writing() as connection:
            for each in known:
                is_it = _transfers.c.id == each.transfer.id
                connection.execute(sa.update(_transfers).where(is_it).values(told=each.events))

    def strand(self) -> None:
        """Take what is only planned as handed in when it was planned: it may have been since, so it is asked about."""
        is_planned = _transfers.c.state == TransferState.PLANNED.value
        with self._file.writing() as connection:
            found = [_kept(each) for each in connection.execute(sa.select(_transfers).where(is_planned)).all()]
            events = [
                TransferEvent(each.transfer.id, each.events, Happening.HANDED_IN, 0, each.planned_ns) for each in found
            ]
            if events:
                _happen(connection, events)

    def give_up(self, transfer_id: str, actor: str, reason: str, now_ns: int) -> None:
        """Book a transfer that is late as lost, as a person says. Raises: InvalidInput."""
        if not reason.strip():
            msg = "reason is empty: say what was looked at"
            raise InvalidInput(msg, field="reason")
        with self._file.writing() as connection:
            row = connection.execute(sa.select(_transfers).where(_transfers.c.id == transfer_id)).one_or_none()
            if row is None or TransferState(row.state) is not TransferState.LATE:
                stands = "not known" if row is None else row.state
                msg = f"transfer {transfer_id[:60]!r} is {stands}; only one that is late can be given up"
                raise InvalidInput(msg, field="transfer")
            _happen(connection, [TransferEvent(transfer_id, row.events, Happening.GIVEN_UP, 0, now_ns)])
            answer = {"transfer_id": transfer_id, "actor": actor[:100], "reason": reason[:500]}
            connection.execute(sa.insert(_answers), answer)

    def _found(self, query: sa.Select[Any]) -> Sequence[TransferKept]:
        with self._file.reading() as connection:
            return [_kept(each) for each in connection.execute(query)]


def _plan(connection: sa.Connection, kept: TransferKept) -> bool:
    of = kept.transfer
    is_open = _transfers.c.state.not_in(_OVER)
    same = sa.and_(_transfers.c.pair == kept.pair, _transfers.c.asset == kept.asset, is_open)
    known = sa.select(_transfers.c.id).where(sa.or_(_transfers.c.id == of.id, same)).limit(1)
    if connection.execute(known).scalar_one_or_none() is not None:
        return False
    highest = connection.execute(sa.select(sa.func.coalesce(sa.func.max(_transfers.c.number), 0))).scalar_one()
    row = {
        "id": of.id,
        "number": highest + 1,
        "pair": kept.pair,
        "asset": kept.asset,
        "source": of.source,
        "target": of.target,
        "amount": str(of.amount).encode(),
        "planned_ns": kept.planned_ns,
        "late_ns": kept.late_ns,
        "events": 0,
        "sent_ns": 0,
        "at_ns": kept.planned_ns,
        "told": -1,
    }
    connection.execute(sa.insert(_transfers), row | _stood(of))
    return True


def _happen(connection: sa.Connection, events: Sequence[TransferEvent]) -> None:
    known: dict[str, TransferKept] = {}
    names = list({each.transfer_id for each in events})
    for at in range(0, len(names), _NAMES_MAX):
        query = sa.select(_transfers).where(_transfers.c.id.in_(names[at : at + _NAMES_MAX]))
        known |= {row.id: _kept(row) for row in connection.execute(query)}
    rows = []
    for each in events:
        kept = known[each.transfer_id]
        after = moved(kept.transfer, each.happening, each.received)
        sent_ns = each.at_ns if each.happening is Happening.HANDED_IN else kept.sent_ns
        changed = replace(kept, transfer=after, events=each.number + 1, sent_ns=sent_ns, at_ns=each.at_ns)
        known[each.transfer_id] = changed
        rows.append(
            {
                "transfer_id": each.transfer_id,
                "number": each.number,
                "happening": each.happening.value,
                "received": str(each.received).encode(),
                "at_ns": each.at_ns,
            }
        )
    connection.execute(sa.insert(_events), rows)
    update = (
        sa.update(_transfers)
        .where(_transfers.c.id == sa.bindparam("is_it"))
        .values({name: sa.bindparam(f"new_{name}") for name in _CHANGES})
    )
    values = [
        {"is_it": name} | {f"new_{key}": value for key, value in _changed(each).items()} for name, each in known.items()
    ]
    connection.execute(update, values)


def _changed(kept: TransferKept) -> dict[str, Any]:
    return _stood(kept.transfer) | {"events": kept.events, "sent_ns": kept.sent_ns, "at_ns": kept.at_ns}


def _stood(of: Transfer) -> dict[str, Any]:
    return {"state": of.state.value, "has_left": of.has_left, "received": str(of.received).encode()}


def _kept(row: Any) -> TransferKept:
    of = Transfer(
        id=row.id,
        source=row.source,
        target=row.target,
        amount=int(row.amount),
        state=TransferState(row.state),
        received=int(row.received),
        has_left=row.has_left,
    )
    return TransferKept(
        transfer=of,
        pair=row.pair,
        asset=row.asset,
        planned_ns=row.planned_ns,
        late_ns=row.late_ns,
        number=row.number,
        events=row.events,
        sent_ns=row.sent_ns,
        at_ns=row.at_ns,
    )
