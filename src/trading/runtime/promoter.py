"""Promotions as a person asks for them: the candidate is looked up, its gates are read, and the desk is commanded.

The gates to paper are read from the candidate's evidence and the number of trials that its family has by now. Those to
real money are read on the desk that trades on paper, from its own journal and from a replay of its run; a desk with
real money takes on what such a desk has released. What the desk then did is copied from its journal into the store.
"""

import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread

from trading.adapters.candidate_store import (
    STORE_NAME,
    Candidate,
    CandidateStore,
    CandidateStoreUnavailable,
    Report,
    Step,
    altered,
)
from trading.adapters.canonical import canonical_json, parse_json
from trading.adapters.trial_ledger import TrialLedger, family_of
from trading.config import PromotionSection
from trading.engine.promoting import proven
from trading.errors import InvalidInput
from trading.model import commands, events
from trading.model.event_codec import decode, encode_record
from trading.model.promotion import GateReading, PromotionTerms, Stage
from trading.portfolio.gates import Drifted, Proven, failed, gate_text, live_gates, paper_gates, terms_of
from trading.ports import Journal

from .documents import Document, iso
from .session import Session

LEDGER_NAME: Final = "trials.db"
PROMOTE, DEMOTE = "promote", "demote"
ACTIONS: Final = frozenset({PROMOTE, DEMOTE})
STEPS: Final = ("strategy_promoted", "strategy_demoted")
REPLAY_TIMEOUT_S: Final = 600.0
REPLAY: Final = "import os; hasattr(os, 'nice') and os.nice(19); from trading.__main__ import main; main()"
"""``memmcp-trade`` in a process of its own that takes no time from the loop."""
COPY_EVERY_S: Final = 30.0

logger = logging.getLogger(__name__)
Ask = Callable[[Callable[[Session], Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class DeskNow:
    """Which run the desk is in. ``path``: its journal's file."""

    run_id: str
    money: str
    journal: Journal
    path: Path


Prepared = tuple[commands.Command | None, Document]
"""What is to be commanded (None: nothing, it was denied or only looked at), and what else is to be said."""


class Promoter:
    """``folder`` holds the candidates and the trials; None for a desk that has none of them."""

    def __init__(self, folder: Path | None, rules: PromotionSection, now: Callable[[], DeskNow], ask: Ask) -> None:
        self._folder = folder
        self._rules = rules
        self._now = now
        self._ask = ask

    async def prepare(self, request: Mapping[str, Any], actor: str, key: str) -> Prepared:
        """Read the gates of a request and return the command that it comes to.

        Raises: InvalidInput, CandidateStoreUnavailable, TrialLedgerUnavailable.
        """
        reason = str(request.get("reason") or "")
        if request["action"] == DEMOTE:
            strategy = str(request["strategy"])
            return commands.DemoteStrategy(key, actor, reason, strategy), {"strategy": strategy}
        stage, name = Stage(str(request.get("stage") or Stage.PAPER.value)), str(request["candidate"])
        candidate, trials = await anyio.to_thread.run_sync(self._looked_up, name)
        gates, terms = await self._gates(candidate, stage, trials)
        report = Report(stage, gates, trials, actor, time.time_ns())
        document = {
            "candidate": candidate.id,
            "strategy": candidate.proposal.strategy,
            "stage": stage.value,
            "before": candidate.stage.value,
            "gates": [encode_record(gate) for gate in gates],
            "family_trials": trials,
            "terms": encode_record(terms),
        }
        lost = "; ".join(map(gate_text, failed(gates))) or ("" if gates else "no gate was read")
        if request.get("dry_run"):
            said = f"It would not be promoted: {lost}" if lost else "Every gate is passed; nothing was done."
            return None, document | {"status": "checked", "message": said}
        await anyio.to_thread.run_sync(self._reported, candidate.id, report)
        if lost:
            return None, document | {"status": "denied", "message": f"It is not promoted: {lost}"}
        parameters = canonical_json({name: repr(value) for name, value in candidate.proposal.parameters.items()})
        where = (candidate.id, candidate.proposal.strategy, stage, parameters.decode())
        return commands.PromoteStrategy(key, actor, reason, *where, terms, gates), document

    async def _gates(
        self, candidate: Candidate, stage: Stage, trials: int
    ) -> tuple[tuple[GateReading, ...], PromotionTerms]:
        evidence, now = candidate.proposal.evidence, self._now()
        terms = terms_of(evidence, self._rules)
        match stage:
            case Stage.PAPER:
                return paper_gates(evidence, trials, self._rules), terms
            case Stage.LIVE if now.money == "real":
                return () if candidate.released is None else candidate.released.gates, terms
            case Stage.LIVE:
                done = await self._proven(candidate)
                return live_gates(done, terms, await self._drift(now), self._rules), terms
        msg = f"stage: paper or live, not {stage.value}"
        raise InvalidInput(msg, field="stage")

    async def _proven(self, candidate: Candidate) -> Proven:
        def read(session: Session) -> Proven | None:
            standing = session.kernel.state.promotions.of(candidate.proposal.strategy)
            is_it = standing is not None and standing.candidate == candidate.id
            return proven(session.kernel.state, candidate.proposal.strategy) if is_it else None

        found: Proven | None = await self._ask(read)
        return Proven(0, (), ()) if found is None else found

    async def _drift(self, now: DeskNow) -> Drifted | None:
        """Replay the desk's run in a process of its own, so that the loop does not wait; None where that fails."""
        drift = [sys.executable, "-c", REPLAY, "drift", f"{now.path.parent}:{now.run_id}", "--json"]
        with anyio.move_on_after(REPLAY_TIMEOUT_S):
            done = await anyio.run_process(drift, check=False)
            try:
                document = json.loads(done.stdout)
                trades = document["trades"]
                whole = max(int(trades["run"]), int(trades["replay"]))
                return Drifted(whole, int(trades["matched"]), int(document["attributed_lamports"]))
            except (ValueError, KeyError, TypeError):
                logger.warning("the run %s could not be replayed: %s", now.run_id, done.stderr[-400:])
        return None

    def _looked_up(self, name: str) -> tuple[Candidate, int]:
        """Return a candidate and how many trials its family has. Raises: CandidateStoreUnavailable where candidates or
        trials are not what was written down: nothing is promoted by what somebody altered."""
        with self._store() as store:
            _require_sound(store.path, store.verify())
            candidate = store.candidate(name)
        assert self._folder is not None
        ledger = TrialLedger.at(self._folder / LEDGER_NAME)
        try:
            _require_sound(ledger.path, ledger.verify())
            return candidate, ledger.standing(family_of([candidate.proposal.strategy])).trials
        finally:
            ledger.close()

    def _reported(self, name: str, report: Report) -> None:
        with self._store() as store:
            store.report(name, report)

    def candidates(self, limit: int) -> Document:
        """Return wire.CandidateList: the newest first. Raises: CandidateStoreUnavailable."""
        if self._folder is None or not (self._folder / STORE_NAME).exists():
            return {"candidates": [], "total": 0}
        with self._store() as store:
            found = store.candidates()
        newest = found[: -limit - 1 : -1]
        return {"candidates": [_shown(each) for each in newest], "total": len(found)}

    def copy_steps(self) -> None:
        """Copy what the desk did with candidates from its journal into the store; what is there already stays. A store
        that cannot be written waits for the next time: the journal has it."""
        try:
            self._copy_steps()
        except CandidateStoreUnavailable as error:
            logger.warning("%s", error)

    def _copy_steps(self) -> None:
        now = self._now()
        rows = list(now.journal.rows(kinds=STEPS)) if self._folder is not None else []
        if not rows:
            return
        with self._store() as store:
            for row in rows:
                event = decode(row.kind, parse_json(row.body))
                assert isinstance(event, events.StrategyPromoted | events.StrategyDemoted)
                stage = event.stage if isinstance(event, events.StrategyPromoted) else Stage.DEMOTED
                who = event.reason.partition(": ")[0]
                where = (now.run_id, now.money, f"{now.run_id}/{row.seq}")
                step = Step(event.before, stage, event.reason, who, row.ts_ns, *where, event.gates)
                store.step(event.candidate, step)

    async def keep_copying(self) -> None:
        """Copy until cancelled."""
        while True:
            await anyio.to_thread.run_sync(self.copy_steps)
            await anyio.sleep(COPY_EVERY_S)

    @contextmanager
    def _store(self) -> Iterator[CandidateStore]:
        if self._folder is None:
            msg = "candidate: this desk has no store of candidates"
            raise InvalidInput(msg, field="candidate", hint="a daemon has one in its data directory")
        store = CandidateStore.at(self._folder / STORE_NAME)
        try:
            yield store
        finally:
            store.close()


def _shown(candidate: Candidate) -> Document:
    """Return wire.CandidateView."""
    proposal, report = candidate.proposal, candidate.reports[-1] if candidate.reports else None
    return {
        "id": candidate.id,
        "strategy": proposal.strategy,
        "stage": candidate.stage.value,
        "proposed_at": iso(proposal.at_ns),
        "who": proposal.who,
        "parent": proposal.parent,
        "parameters": dict(proposal.parameters),
        "released": candidate.released is not None,
        "gates": [] if report is None else [encode_record(gate) for gate in report.gates],
        "gates_stage": "" if report is None else report.stage.value,
        "gates_at": None if report is None else iso(report.at_ns),
    }


def _require_sound(path: Path, row: int | None) -> None:
    if row is not None:
        raise altered(path, row)
