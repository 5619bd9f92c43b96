"""Every trial that was ever made: an append-only ledger, so that a good result is judged by how often one was sought.

One SQLite file of a person, shared by all their processes. Rows are chained by hashes and the database refuses to
change or delete one; ``verify`` finds what was altered around it. A trial is counted once by its scope (the inputs that
decide its outcome), however often it is run again; it counts for its family, the strategies that were tried.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import variance
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


_trials = chained_table(sa.MetaData(), "trials", _KEYS)
sa.Index("trials_by_family", _trials.c.family, _trials.c.scope)


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
            known = sa.select(sa.literal(1)).where(_trials.c.family == trial.family, _trials.c.scope == trial.scope)
            if connection.execute(known.limit(1)).first() is None:
                append(connection, _trials, {"family": trial.family, "scope": trial.scope}, _body_of(trial))
            return _standing(connection, trial.family)

    def standing(self, family: str) -> Standing:
        with self._writing() as connection:
            return _standing(connection, family)

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
        (``chained_rows.first_altered``)."""
        with self._writing() as connection:
            return first_altered(connection, _trials, _KEYS)

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


def _standing(connection: sa.Connection, family: str) -> Standing:
    bodies = connection.execute(sa.select(_trials.c.body).where(_trials.c.family == family)).scalars().all()
    told = [parse_json(body)["sharpe"] for body in bodies]
    sharpes = [float(each) for each in told if each is not None]
    spread = variance(sharpes) if len(sharpes) >= SHARPES_MIN else None
    return Standing(len(bodies), spread if spread is None or math.isfinite(spread) else None)
