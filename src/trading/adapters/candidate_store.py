"""Every candidate that was ever proposed, what its gates read, and each step it took: append-only, beside the trials.

A candidate's id is a function of what it is (strategy, parameters, evidence, data, search), so proposing it twice adds
nothing. Its lineage is what its first row says: which candidate it was bred from, by which search, with which seed, on
which data, by whom and when. What a desk trades is in the desk's own journal; this file says why it may.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from trading.errors import InvalidInput, TradingError
from trading.model.event_codec import encode_record
from trading.model.promotion import Evidence, GateReading, Series, Stage, number_of

from .canonical import canonical_json, parse_json
from .chained_rows import append, chained_table, first_altered, open_chained, translating

WHAT: Final = "the candidate store"
STORE_NAME: Final = "candidates.db"
PROPOSED, GATES, STEP, TOLD = "proposed", "gates", "step", "told"
_KEYS: Final = ("candidate", "kind", "key")
Value = int | float


class CandidateStoreUnavailable(TradingError):
    """The store cannot be opened or written, so nothing may be proposed or promoted."""

    code = "candidate_store_unavailable"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A set of parameters with its evidence and where it comes from.

    ``parent``: the candidate that it was bred from, "" for none. ``search_id`` and ``seed`` name the search, "" where
    a person or an agent proposed it. ``data``: the SHA-256 of each file that it rests on. ``who``: search, cli,
    agent:NAME ...
    """

    strategy: str
    parameters: Mapping[str, Value]
    evidence: Evidence
    data: tuple[str, ...]
    who: str
    at_ns: int
    parent: str = ""
    search_id: str = ""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What the gates to a stage read, ``at_ns``, with the number of trials that the family had then."""

    stage: Stage
    gates: tuple[GateReading, ...]
    family_trials: int
    who: str
    at_ns: int

    @property
    def passed(self) -> bool:
        return bool(self.gates) and all(gate.passed for gate in self.gates)


@dataclass(frozen=True, slots=True)
class Step:
    """A desk's step with a candidate: ``run_id`` and ``money`` say which desk; ``key`` makes a repeat harmless."""

    before: Stage
    stage: Stage
    reason: str
    who: str
    at_ns: int
    run_id: str
    money: str
    key: str
    gates: tuple[GateReading, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate as it stands in the store, with all that was written down about it, oldest first."""

    id: str
    proposal: Proposal
    reports: tuple[Report, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def stage(self) -> Stage:
        """Where its newest step left it."""
        return self.steps[-1].stage if self.steps else Stage.CANDIDATE

    @property
    def released(self) -> Step | None:
        """The newest step that released it for real money on a desk that trades on paper, unless it was demoted
        since."""
        for step in reversed(self.steps):
            if step.stage is Stage.DEMOTED:
                return None
            if step.stage is Stage.LIVE and step.money == "paper":
                return step
        return None


_rows = chained_table(sa.MetaData(), "candidates", _KEYS)
sa.Index("candidates_by_candidate", _rows.c.candidate, _rows.c.kind)


class CandidateStore:
    """Made by ``CandidateStore.at(path)``. Raises everywhere: CandidateStoreUnavailable naming the file."""

    def __init__(self, engine: sa.Engine, path: Path) -> None:
        self._engine = engine
        self.path = path

    @classmethod
    def at(cls, path: Path) -> "CandidateStore":
        """Open or make the store, and see that it can be written."""
        with translating(path, WHAT, CandidateStoreUnavailable):
            engine = open_chained(path, _rows, WHAT)
        return cls(engine, path)

    def propose(self, proposal: Proposal) -> Candidate:
        """Write a candidate down and return it; one that is known already adds nothing.

        Raises: InvalidInput where its parent is not in the store.
        """
        name = candidate_id(proposal)
        with self._writing() as connection:
            if proposal.parent and not _has(connection, proposal.parent, PROPOSED):
                msg = f"parent: {proposal.parent!r} is no candidate of {self.path}"
                raise InvalidInput(msg, field="parent")
            if not _has(connection, name, PROPOSED):
                self._add(connection, name, PROPOSED, "", _proposed(proposal))
        return self.candidate(name)

    def report(self, name: str, report: Report) -> None:
        """Write down what the gates to a stage read."""
        with self._writing() as connection:
            self._add(connection, name, GATES, f"{report.stage.value}/{report.at_ns}", _reported(report))

    def step(self, name: str, step: Step) -> None:
        """Write a step down, once per key."""
        with self._writing() as connection:
            if not _has(connection, name, STEP, step.key):
                self._add(connection, name, STEP, step.key, encode_record(step))

    def candidate(self, name: str) -> Candidate:
        """Return one with all that is known of it. Raises: InvalidInput where there is none of that id."""
        for found in self._read(_rows.c.candidate == name):
            return found
        msg = f"candidate: {name[:80]!r} is unknown"
        raise InvalidInput(msg, field="candidate", hint="memmcp-trade lineage lists them")

    def candidates(self, strategy: str | None = None) -> list[Candidate]:
        """Return all, oldest first, or those of one strategy."""
        found = self._read(sa.true())
        return [each for each in found if strategy is None or each.proposal.strategy == strategy]

    def untold(self, limit: int) -> list[Candidate]:
        """Return at most so many candidates that memory has not been told of, the oldest first."""
        told = sa.select(_rows.c.candidate).where(_rows.c.kind == TOLD)
        new = sa.select(_rows.c.candidate).where(_rows.c.kind == PROPOSED, _rows.c.candidate.not_in(told))
        return self._read(_rows.c.candidate.in_(new.order_by(_rows.c.number).limit(limit)))

    def told(self, name: str) -> None:
        """Write down, once, that memory has been told of a candidate."""
        with self._writing() as connection:
            if not _has(connection, name, TOLD):
                self._add(connection, name, TOLD, "", {})

    def verify(self) -> int | None:
        """Return the number of the first row that is not what was written down, None when all are."""
        with self._writing() as connection:
            return first_altered(connection, _rows, _KEYS)

    def close(self) -> None:
        self._engine.dispose()

    def _add(self, connection: sa.Connection, name: str, kind: str, key: str, body: Mapping[str, Any]) -> None:
        columns = {"candidate": name, "kind": kind, "key": key}
        append(connection, _rows, columns, {**columns, "of": body})

    def _read(self, which: sa.ColumnElement[bool]) -> list[Candidate]:
        with self._writing() as connection:
            rows = connection.execute(sa.select(_rows).where(which).order_by(_rows.c.number)).all()
        proposals: dict[str, Proposal] = {}
        reports: dict[str, list[Report]] = {}
        steps: dict[str, list[Step]] = {}
        for row in rows:
            try:
                body = parse_json(row.body)["of"]
                if row.kind == PROPOSED:
                    proposals[row.candidate] = _proposal(body)
                elif row.kind == GATES:
                    reports.setdefault(row.candidate, []).append(_report(body))
                elif row.kind == STEP:
                    steps.setdefault(row.candidate, []).append(_step(body))
            except (ValueError, KeyError, TypeError) as error:  # only what was altered cannot be read
                raise altered(self.path, row.number) from error
        return [
            Candidate(name, proposal, tuple(reports.get(name, ())), tuple(steps.get(name, ())))
            for name, proposal in proposals.items()
        ]

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with translating(self.path, WHAT, CandidateStoreUnavailable), self._engine.begin() as connection:
            yield connection


def altered(path: Path, number: int) -> CandidateStoreUnavailable:
    """Return the error for a file of which a row is not what was written down."""
    msg = f"{path} was altered: row {number} is not what was written down"
    return CandidateStoreUnavailable(msg, hint="bring a copy of before back; see `lineage` and `trials`")


def candidate_id(proposal: Proposal) -> str:
    """Return the id: a function of what the candidate is, not of who proposed it or when."""
    body = _proposed(proposal)
    what = {name: body[name] for name in ("strategy", "parameters", "evidence", "data", "search_id", "seed", "parent")}
    return f"cand_{hashlib.sha256(canonical_json(what)).hexdigest()[:12]}"


def _has(connection: sa.Connection, name: str, kind: str, key: str | None = None) -> bool:
    found = sa.select(sa.literal(1)).where(_rows.c.candidate == name, _rows.c.kind == kind)
    if key is not None:
        found = found.where(_rows.c.key == key)
    return connection.execute(found.limit(1)).first() is not None


def _proposed(proposal: Proposal) -> dict[str, Any]:
    return {
        "strategy": proposal.strategy,
        "parameters": {name: repr(value) for name, value in proposal.parameters.items()},
        "evidence": asdict(proposal.evidence),
        "data": list(proposal.data),
        "who": proposal.who,
        "at_ns": proposal.at_ns,
        "parent": proposal.parent,
        "search_id": proposal.search_id,
        "seed": proposal.seed,
    }


def _proposal(body: Mapping[str, Any]) -> Proposal:
    evidence = dict(body["evidence"])
    evidence["selection"] = Series(**evidence["selection"])
    evidence["holdout"] = None if evidence["holdout"] is None else Series(**evidence["holdout"])
    parameters = {name: number_of(text) for name, text in body["parameters"].items()}
    given = {**body, "evidence": Evidence(**evidence), "parameters": parameters, "data": tuple(body["data"])}
    return Proposal(**given)


def _reported(report: Report) -> dict[str, Any]:
    return encode_record(report)


def _report(body: Mapping[str, Any]) -> Report:
    return Report(**{**body, "stage": Stage(body["stage"]), "gates": _gates(body["gates"])})


def _step(body: Mapping[str, Any]) -> Step:
    stages = {"before": Stage(body["before"]), "stage": Stage(body["stage"])}
    return Step(**{**body, **stages, "gates": _gates(body["gates"])})


def _gates(bodies: Sequence[Mapping[str, Any]]) -> tuple[GateReading, ...]:
    return tuple(GateReading(**body) for body in bodies)
