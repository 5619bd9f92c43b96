"""Every trial that was ever made: an append-only ledger, so that a good result is judged by how often one was sought.

One SQLite file of a person, shared by all their processes. Rows are chained by hashes and the database refuses to
change or delete one; ``verify`` finds what was altered around it. A trial is counted once by its scope (the inputs that
decide its outcome), however often it is run again; it counts for its family, the strategies that were tried.

How a family stands is carried along beside the rows, so that nobody reads them all to know it: the tally of a family
says up to which row it goes, what is newer is added to it when it is asked, and ``verify`` makes it anew.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from trading.errors import TradingError

from .canonical import parse_json
from .chained_rows import append, chained_table, first_altered, open_chained, translating

WHAT: Final = "the trial ledger"
SHARPES_MIN: Final = 10
"""Fewer trials say too little about how much their Sharpe ratios vary."""
_KEYS: Final = ("family", "scope")


class TrialLedgerUnavailable(TradingError):
    """The ledger cannot be opened or written, so no trial may be made."""

    code = "trial_ledger_unavailable"


@dataclass(frozen=True, slots=True)
class Trial:
    """``sharpe`` is per day, None where nothing varied; ``observations`` are its days. ``who``: cli, sweep ..."""

    family: str
    scope: str
    who: str
    at_ns: int
    feed: str
    parameters: Mapping[str, Any]
    sharpe: float | None
    observations: int
    trades: int
    return_bps: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How often a family was tried, and how much the Sharpe ratios (per day) of its trials vary: None for too few."""

    trials: int
    sharpe_variance: float | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A trial as it stands in the ledger."""

    number: int
    hash: str
    body: Mapping[str, Any]


_metadata = sa.MetaData()
_trials = chained_table(_metadata, "trials", _KEYS)
sa.Index("trials_by_family", _trials.c.family, _trials.c.scope)
_tallies = sa.Table(
    "tallies",
    _metadata,
    sa.Column("family", sa.String, primary_key=True),
    sa.Column("through", sa.Integer, nullable=False),
    sa.Column("trials", sa.Integer, nullable=False),
    sa.Column("sharpes", sa.Integer, nullable=False),
    sa.Column("mean", sa.Float, nullable=False),
    sa.Column("squares", sa.Float, nullable=False),
)


@dataclass(frozen=True, slots=True)
class _Tally:
    """What a family's rows up to ``through`` come to: ``squares`` are those of the ratios' deviations from their mean,
    carried along as Welford does (1962, Technometrics 4(3))."""

    family: str
    through: int = 0
    trials: int = 0
    sharpes: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def after(self, number: int, sharpe: float | None) -> "_Tally":
        """Return it with one more row."""
        if sharpe is None:
            return replace(self, through=number, trials=self.trials + 1)
        count = self.sharpes + 1
        apart = sharpe - self.mean
        mean = self.mean + apart / count
        squares = self.squares + apart * (sharpe - mean)
        return _Tally(self.family, number, self.trials + 1, count, mean, squares)

    @property
    def standing(self) -> Standing:
        spread = self.squares / (self.sharpes - 1) if self.sharpes >= SHARPES_MIN else None
        return Standing(self.trials, spread if spread is None or math.isfinite(spread) else None)


class TrialLedger:
    """Made by ``TrialLedger.at(path)``. Raises everywhere: TrialLedgerUnavailable naming the file."""

    def __init__(self, engine: sa.Engine, path: Path) -> None:
        self._engine = engine
        self.path = path

    @classmethod
    def at(cls, path: Path) -> "TrialLedger":
        """Open or make the ledger, and see that it can be written: before a run, not after it."""
        with translating(path, WHAT, TrialLedgerUnavailable):
            engine = open_chained(path, _trials, WHAT)
        return cls(engine, path)

    def add(self, trial: Trial) -> Standing:
        """Write a trial down and return how its family stands with it. One whose scope is known adds nothing."""
        with self._writing() as connection:
            _add(connection, trial)
            return _tally(connection, trial.family).standing

    def add_all(self, trials: Sequence[Trial]) -> int:
        """Write trials down in one go (one sync of the disk), all or none, and return how many were new."""
        with self._writing() as connection:
            added = sum(_add(connection, trial) for trial in trials)
            for family in sorted({trial.family for trial in trials}):
                _tally(connection, family)
            return added

    def standing(self, family: str) -> Standing:
        with self._writing() as connection:
            return _tally(connection, family).standing

    def entries(self, family: str | None = None) -> list[Entry]:
        """Return the trials, oldest first."""
        query = sa.select(_trials).order_by(_trials.c.number)
        if family is not None:
            query = query.where(_trials.c.family == family)
        with self._writing() as connection:
            rows = connection.execute(query).all()
        return [Entry(row.number, row.hash, parse_json(row.body)) for row in rows]

    def verify(self) -> int | None:
        """Return the number of the first trial that is not what was written down, None when all are
        (``chained_rows.first_altered``). A tally that is not what its rows come to is told by the newest of them, and
        made anew."""
        with self._writing() as connection:
            altered = first_altered(connection, _trials, _KEYS)
            if altered is not None:
                return altered
            kept = connection.execute(sa.select(_tallies)).all()
            connection.execute(sa.delete(_tallies))
            wrong = []
            for row in kept:
                made = _folded(connection, _Tally(row.family), row.through)
                if made != _Tally(**row._mapping):
                    wrong.append(made.through)
            return min(wrong, default=None)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with translating(self.path, WHAT, TrialLedgerUnavailable), self._engine.begin() as connection:
            yield connection


def family_of(strategies: Sequence[str]) -> str:
    """Return the hypothesis that a run tries: these strategies, whatever the data and parameters."""
    return ",".join(sorted(strategies))


def _body_of(trial: Trial) -> dict[str, Any]:
    return {
        "family": trial.family,
        "scope": trial.scope,
        "who": trial.who,
        "at_ns": trial.at_ns,
        "feed": trial.feed,
        "parameters": {name: repr(value) for name, value in trial.parameters.items()},
        "sharpe": None if trial.sharpe is None else repr(trial.sharpe),
        "observations": trial.observations,
        "trades": trial.trades,
        "return_bps": trial.return_bps,
    }


def _add(connection: sa.Connection, trial: Trial) -> bool:
    """Write a trial down unless its scope is known; say whether it was new."""
    known = sa.select(sa.literal(1)).where(_trials.c.family == trial.family, _trials.c.scope == trial.scope)
    if connection.execute(known.limit(1)).first() is not None:
        return False
    append(connection, _trials, {"family": trial.family, "scope": trial.scope}, _body_of(trial))
    return True


def _tally(connection: sa.Connection, family: str) -> _Tally:
    """Return how a family stands, after what is newer than its tally was added to it."""
    row = connection.execute(sa.select(_tallies).where(_tallies.c.family == family)).first()
    kept = _Tally(family) if row is None else _Tally(**row._mapping)
    found = _folded(connection, kept, None)
    if found != kept:
        connection.execute(sa.delete(_tallies).where(_tallies.c.family == family))
        connection.execute(sa.insert(_tallies), asdict(found))
    return found


def _folded(connection: sa.Connection, tally: _Tally, through: int | None) -> _Tally:
    """Return a tally with the rows after it, up to that one."""
    rows = sa.select(_trials.c.number, _trials.c.body).order_by(_trials.c.number)
    rows = rows.where(_trials.c.family == tally.family, _trials.c.number > tally.through)
    if through is not None:
        rows = rows.where(_trials.c.number <= through)
    for number, body in connection.execute(rows):
        told = parse_json(body)["sharpe"]
        tally = tally.after(number, None if told is None else float(told))
    return tally
