"""Arbitrage's own journal, ``arbitrage.db``: trips as events, what was seen, and whether trips may be opened."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from trading.adapters.canonical import canonical_json, parse_json
from trading.adapters.sqlite import FencedFile, Step
from trading.arbitrage.trip_ports import Sighting, Tally, TripKept, TripLimits, TripRow
from trading.arbitrage.trip_story import moves, story
from trading.arbitrage.trips import Began, Dead, Event, LegPlan, Looked, Phase, Settled, TripPlan
from trading.errors import InvalidInput
from trading.model.units import NS_PER_S

JOURNAL_NAME: Final = "arbitrage.db"
SIGHTINGS_MAX: Final = 20_000
_PRUNED_AT_ONCE: Final = 1_000
_DAY_NS: Final = 86_400 * NS_PER_S
_HOUR_NS: Final = 3_600 * NS_PER_S
TALLY_HOURS_MAX: Final = 24 * 31
PAGE_MAX: Final = 200
_OVER: Final = tuple(each.value for each in Phase if each.is_over)
_ENDED: Final = (Phase.DONE.value, Phase.FLAT.value)
_KINDS: Final[Mapping[str, type[Event]]] = {"began": Began, "settled": Settled, "dead": Dead, "looked": Looked}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}

_metadata = sa.MetaData()
_trips = sa.Table(
    "trips",
    _metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("phase", sa.String, nullable=False, index=True),
    sa.Column("plan", sa.LargeBinary, nullable=False),
    sa.Column("loss_max", sa.LargeBinary, nullable=False),
    sa.Column("result", sa.LargeBinary, nullable=False),
    sa.Column("ended_ns", sa.BigInteger, index=True),
)
_events = sa.Table(
    "events",
    _metadata,
    sa.Column("trip_id", sa.String, sa.ForeignKey("trips.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
_sightings = sa.Table(
    "sightings",
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
_state = sa.Table(
    "state",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("halted", sa.String, nullable=False),
)
_answers = sa.Table(
    "answers",  # who let trips be opened again, and why
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("halted", sa.String, nullable=False),
)

_later = sa.MetaData()
_told = sa.Table(
    "told",  # trips whose end memory knows of
    _later,
    sa.Column("trip_id", sa.String, primary_key=True),
)
_tallies = sa.Table(
    "tallies",  # what was seen in an hour, and why it was not taken
    _later,
    sa.Column("hour", sa.BigInteger, primary_key=True),
    sa.Column("first", sa.String, primary_key=True),
    sa.Column("second", sa.String, primary_key=True),
    sa.Column("why_not", sa.String, primary_key=True),
    sa.Column("times", sa.BigInteger, nullable=False),
    sa.Column("net_best", sa.LargeBinary, nullable=False),
)
_holdings = sa.Table(
    "holdings",  # what all trips up to a number, which are over, have moved
    _later,
    sa.Column("venue", sa.String, primary_key=True),
    sa.Column("money", sa.LargeBinary, nullable=False),
    sa.Column("middle", sa.LargeBinary, nullable=False),
)
_holdings_at = sa.Table(
    "holdings_at",
    _later,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("through", sa.Integer, nullable=False),
)


def _first(connection: sa.Connection) -> None:
    _metadata.create_all(connection)
    connection.execute(sa.insert(_state).values(id=1, epoch=0, halted=""))


def _second(connection: sa.Connection) -> None:
    _later.create_all(connection)
    connection.execute(sa.insert(_holdings_at).values(id=1, through=0))


_STEPS: Final[tuple[Step, ...]] = (_first, _second)


class SqlTripJournal:
    """Made by ``SqlTripJournal.at(path)``; whoever opens the file last is the only one who may write. Any thread may
    call it, one at a time gets in. Amounts are kept as text: those of an EVM chain go beyond 64 bits."""

    def __init__(self, file: FencedFile) -> None:
        self._file = file
        self._told_through = 0
        self.counted: Counter[tuple[str, str]] = Counter()
        """Since it was opened: ("seen", why not) and ("ended", phase)."""

    @classmethod
    def at(cls, path: Path) -> "SqlTripJournal":
        """Open or make the journal. Raises: JournalUnavailable."""
        return cls(FencedFile(path, _STEPS, _state.c.epoch, "and the trips are made by that one"))

    @property
    def path(self) -> Path:
        return self._file.path

    def close(self) -> None:
        self._file.close()

    def open(self, plan: TripPlan, loss_max: int, limits: TripLimits, now_ns: int) -> str:
        with self._file.writing() as connection:
            known = sa.select(_trips.c.id).where(_trips.c.id == plan.id)
            if connection.execute(known).scalar_one_or_none() is not None:
                return ""
            halted = str(connection.execute(sa.select(_state.c.halted)).scalar_one())
            # Whoever was killed between a trip's end and the halt that follows from it has not written that down.
            is_stuck = sa.select(_trips.c.id).where(_trips.c.phase == Phase.STUCK.value).limit(1)
            if halted or connection.execute(is_stuck).scalar_one_or_none() is not None:
                return "halted"
            still = _trips.c.phase.not_in(_ENDED)
            losses = connection.execute(sa.select(_trips.c.loss_max).where(still)).scalars().all()
            if len(losses) >= limits.open_max:
                return "open_max"
            if plan.first.amount_in > limits.amount_max:
                return "amount_max"
            worst = _day_result(connection, now_ns) - sum(map(int, losses)) - loss_max
            if worst < -limits.day_loss_max:
                return "day_loss_max"
            highest = connection.execute(sa.select(sa.func.coalesce(sa.func.max(_trips.c.number), 0))).scalar_one()
            row = {"id": plan.id, "number": highest + 1, "phase": Phase.FIRST.value, "plan": _plan_body(plan)}
            amounts = {"loss_max": str(loss_max).encode(), "result": b"0"}
            connection.execute(sa.insert(_trips), row | amounts)
            return ""

    def happened(self, trip_id: str, number: int, event: Event, phase: Phase, result: int) -> None:
        body = canonical_json({name: _text(value) for name, value in asdict(event).items()})
        row = {"trip_id": trip_id, "number": number, "kind": _NAMES[type(event)], "body": body}
        ended = {"ended_ns": event.at_ns} if phase.is_over else {}
        values = {"phase": phase.value, "result": str(result).encode()} | ended
        with self._file.writing() as connection:
            connection.execute(sa.insert(_events), row)
            connection.execute(sa.update(_trips).where(_trips.c.id == trip_id).values(**values))
        if phase.is_over:
            self.counted["ended", phase.value] += 1

    def kept(self, trip_id: str) -> TripKept:
        with self._file.reading() as connection:
            row = connection.execute(sa.select(_trips).where(_trips.c.id == trip_id)).one_or_none()
            if row is None:
                msg = f"trip: {trip_id[:60]!r} is not known"
                raise InvalidInput(msg, field="trip")
            return _kept(connection, row)

    def unfinished(self) -> Sequence[TripKept]:
        query = sa.select(_trips).where(_trips.c.phase.not_in(_OVER)).order_by(_trips.c.number)
        with self._file.reading() as connection:
            return [_kept(connection, row) for row in connection.execute(query).all()]

    def seen(self, sightings: Sequence[Sighting]) -> None:
        rows = [{"body": canonical_json({n: _text(v) for n, v in asdict(each).items()})} for each in sightings]
        found: dict[tuple[int, str, str, str], list[int]] = {}
        if not rows:
            return
        with self._file.writing(syncs_later=True) as connection:
            connection.execute(sa.insert(_sightings), rows)
            highest = connection.execute(sa.select(sa.func.max(_sightings.c.number))).scalar_one()
            oldest = connection.execute(sa.select(sa.func.min(_sightings.c.number))).scalar_one()
            if highest - oldest >= SIGHTINGS_MAX + _PRUNED_AT_ONCE:
                connection.execute(sa.delete(_sightings).where(_sightings.c.number <= highest - SIGHTINGS_MAX))
            for each in sightings:
                found.setdefault((each.at_ns // _HOUR_NS, each.first, each.second, each.why_not), []).append(each.net)
            for key, nets in found.items():
                _tally(connection, key, nets)
        self.counted.update(("seen", each.why_not or "taken") for each in sightings)

    def sightings(self, limit: int = 100) -> Sequence[Sighting]:
        query = sa.select(_sightings.c.body).order_by(_sightings.c.number.desc()).limit(min(limit, SIGHTINGS_MAX))
        with self._file.reading() as connection:
            bodies = [parse_json(each) for each in connection.execute(query).scalars().all()]
        texts = ("first", "second", "why_not")
        return [Sighting(**_values(body, *texts)) for body in bodies]

    def tallies(self, since_ns: int, until_ns: int) -> Sequence[Tally]:
        """Return what was seen in the hours that begin within, oldest first; at most those of a month are kept."""
        within = _tallies.c.hour.between(-(-since_ns // _HOUR_NS), until_ns // _HOUR_NS)
        order = (_tallies.c.hour, _tallies.c.first, _tallies.c.second, _tallies.c.why_not)
        with self._file.reading() as connection:
            rows = connection.execute(sa.select(_tallies).where(within).order_by(*order).limit(20_000)).all()
        return [
            Tally(each.hour * _HOUR_NS, each.first, each.second, each.why_not, each.times, int(each.net_best))
            for each in rows
        ]

    def trips(self, limit: int, before: int | None = None) -> Sequence[TripRow]:
        """Return the newest first; ``before`` is the number of the last one of the page before."""
        query = sa.select(_trips).order_by(_trips.c.number.desc()).limit(max(1, min(limit, PAGE_MAX)))
        if before is not None:
            query = query.where(_trips.c.number < before)
        return self._rows(query)

    def untold(self, limit: int) -> Sequence[TripRow]:
        """Return trips that are over and whose end memory does not know of, oldest first."""
        later = _trips.c.number > self._told_through
        is_new = sa.and_(later, _trips.c.phase.in_(_OVER), _trips.c.id.not_in(sa.select(_told.c.trip_id)))
        query = sa.select(_trips).where(is_new).order_by(_trips.c.number).limit(min(limit, PAGE_MAX))
        is_open = sa.and_(later, _trips.c.phase.not_in(_OVER))
        with self._file.reading() as connection:
            rows = connection.execute(query).all()
            if not rows:
                # Whatever lies below the oldest that is not over is known: it need not be looked through again.
                oldest = connection.execute(sa.select(sa.func.min(_trips.c.number)).where(is_open)).scalar_one()
                newest = connection.execute(sa.select(sa.func.max(_trips.c.number))).scalar_one()
                self._told_through = (newest or 0) if oldest is None else oldest - 1
            return [TripRow(row.number, _kept(connection, row), row.ended_ns or 0) for row in rows]

    def told(self, trip_ids: Sequence[str]) -> None:
        with self._file.writing() as connection:
            for each in trip_ids:
                connection.execute(sa.insert(_told).prefix_with("OR IGNORE").values(trip_id=each))

    def open_count(self) -> int:
        with self._file.reading() as connection:
            query = sa.select(sa.func.count()).select_from(_trips).where(_trips.c.phase.not_in(_ENDED))
            return int(connection.execute(query).scalar_one())

    def moved(self) -> dict[str, tuple[int, int]]:
        """Return what all trips have moved so far by venue: money, and the middle token.

        What trips have moved that are over with all before them is kept, so that a start reads only the later ones.
        """
        with self._file.writing() as connection:
            found = {
                each.venue: (int(each.money), int(each.middle)) for each in connection.execute(sa.select(_holdings))
            }
            through = int(connection.execute(sa.select(_holdings_at.c.through)).scalar_one())
            rows = connection.execute(
                sa.select(_trips).where(_trips.c.number > through).order_by(_trips.c.number)
            ).all()
            kept, is_settled = dict(found), True
            for row in rows:
                trip = _kept(connection, row)
                _add(found, trip)
                is_settled = is_settled and trip.phase.is_over
                if is_settled:
                    _add(kept, trip)
                    through = row.number
            connection.execute(sa.delete(_holdings))
            for venue, (money, middle) in kept.items():
                values = {"venue": venue, "money": str(money).encode(), "middle": str(middle).encode()}
                connection.execute(sa.insert(_holdings).values(**values))
            connection.execute(sa.update(_holdings_at).values(through=through))
        return found

    def _rows(self, query: sa.Select[Any]) -> Sequence[TripRow]:
        with self._file.reading() as connection:
            rows = connection.execute(query).all()
            return [TripRow(row.number, _kept(connection, row), row.ended_ns or 0) for row in rows]

    def day_result(self, now_ns: int) -> int:
        with self._file.reading() as connection:
            return _day_result(connection, now_ns)

    def halt(self, why: str) -> None:
        with self._file.writing() as connection:
            connection.execute(sa.update(_state).where(_state.c.halted == "").values(halted=why[:500] or "halted"))

    def halted(self) -> str:
        with self._file.reading() as connection:
            return str(connection.execute(sa.select(_state.c.halted)).scalar_one())

    def resume(self, actor: str, reason: str) -> None:
        if not reason.strip():
            msg = "reason is empty: say what was looked at"
            raise InvalidInput(msg, field="reason")
        stuck = sa.select(_trips.c.id).where(_trips.c.phase == Phase.STUCK.value).limit(1)
        with self._file.writing() as connection:
            found = connection.execute(stuck).scalar_one_or_none()
            if found is not None:
                msg = f"trip {found} still waits for a person"
                raise InvalidInput(msg, field="trip")
            halted = connection.execute(sa.select(_state.c.halted)).scalar_one()
            row = {"actor": actor[:100], "reason": reason[:500], "halted": halted}
            connection.execute(sa.insert(_answers), row)
            connection.execute(sa.update(_state).values(halted=""))

    def strand(self, why: str, now_ns: int) -> None:
        """Open no trip, and let each that is not over wait for a person: nobody knows what was sent for it since."""
        values = {"phase": Phase.STUCK.value, "ended_ns": now_ns}
        with self._file.writing() as connection:
            connection.execute(sa.update(_trips).where(_trips.c.phase.not_in(_OVER)).values(**values))
            connection.execute(sa.update(_state).where(_state.c.halted == "").values(halted=why[:500]))

    def settle_by_hand(self, trip_id: str, actor: str, reason: str, result: int) -> None:
        """Close a trip that waited for a person, who says what it came to. Raises: InvalidInput."""
        if not reason.strip():
            msg = "reason is empty: say what was looked at"
            raise InvalidInput(msg, field="reason")
        is_it = sa.and_(_trips.c.id == trip_id, _trips.c.phase == Phase.STUCK.value)
        with self._file.writing() as connection:
            values = {"phase": Phase.FLAT.value, "result": str(result).encode()}
            if connection.execute(sa.update(_trips).where(is_it).values(**values)).rowcount != 1:
                msg = f"trip {trip_id[:60]!r} does not wait for a person"
                raise InvalidInput(msg, field="trip")
            row = {"actor": actor[:100], "reason": reason[:500], "halted": f"trip {trip_id}"}
            connection.execute(sa.insert(_answers), row)


def _day_result(connection: sa.Connection, now_ns: int) -> int:
    since = sa.and_(_trips.c.phase.in_(_ENDED), _trips.c.ended_ns >= now_ns // _DAY_NS * _DAY_NS)
    return sum(map(int, connection.execute(sa.select(_trips.c.result).where(since)).scalars().all()))


def _tally(connection: sa.Connection, key: tuple[int, str, str, str], nets: Sequence[int]) -> None:
    names = ("hour", "first", "second", "why_not")
    is_it = sa.and_(*(_tallies.c[name] == value for name, value in zip(names, key, strict=True)))
    known = connection.execute(sa.select(_tallies.c.net_best).where(is_it)).scalar_one_or_none()
    if known is not None:
        best = str(max(int(known), *nets)).encode()
        values = {"times": _tallies.c.times + len(nets), "net_best": best}
        connection.execute(sa.update(_tallies).where(is_it).values(**values))
        return
    connection.execute(sa.delete(_tallies).where(_tallies.c.hour < key[0] - TALLY_HOURS_MAX))
    row = dict(zip(names, key, strict=True))
    connection.execute(sa.insert(_tallies), row | {"times": len(nets), "net_best": str(max(nets)).encode()})


def _add(found: dict[str, tuple[int, int]], trip: TripKept) -> None:
    for each in moves(story(trip.plan, trip.events)[1]):
        money, middle = found.get(each.venue, (0, 0))
        found[each.venue] = (money + each.money, middle + each.middle)


def _kept(connection: sa.Connection, row: Any) -> TripKept:
    query = sa.select(_events).where(_events.c.trip_id == row.id).order_by(_events.c.number)
    events = tuple(_event(each.kind, parse_json(each.body)) for each in connection.execute(query).all())
    return TripKept(_plan(parse_json(row.plan)), Phase(row.phase), events, int(row.result))


def _event(kind: str, body: Mapping[str, Any]) -> Event:
    return _KINDS[kind](**_values(body, "key"))


def _values(body: Mapping[str, Any], *texts: str) -> dict[str, Any]:
    return {name: value if name in texts else int(value) for name, value in body.items()}


def _text(value: int | str) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _plan_body(plan: TripPlan) -> bytes:
    legs = {"first": [plan.first], "second": [plan.second], "unwinds": plan.unwinds}
    rows = {name: [{n: _text(v) for n, v in asdict(leg).items()} for leg in each] for name, each in legs.items()}
    rest = {name: _text(getattr(plan, name)) for name in TripPlan.__slots__ if name not in legs}
    return canonical_json(rows | rest)


def _plan(body: Mapping[str, Any]) -> TripPlan:
    def legs(name: str) -> tuple[LegPlan, ...]:
        return tuple(LegPlan(**_values(each, "venue")) for each in body[name])

    rest = _values({n: v for n, v in body.items() if n not in ("first", "second", "unwinds")}, "id")
    return TripPlan(first=legs("first")[0], second=legs("second")[0], unwinds=legs("unwinds"), **rest)
