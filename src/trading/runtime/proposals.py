"""New candidates as memories: what was proposed, by whom, on what evidence, and how often its family was tried.

Searches and the command line write candidates into a file beside the trials, also while no daemon runs. The daemon
tells memory of each once; a note is keyed by its candidate, so that telling it again changes nothing.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from trading.adapters.candidate_store import STORE_NAME, Candidate, CandidateStore
from trading.adapters.trial_ledger import TrialLedger, family_of
from trading.errors import TradingError
from trading.model.event_codec import encode_record
from trading.ports import Memory, MemoryRecord

from .promoter import LEDGER_NAME
from .promotion_texts import proposal_text

KIND: Final = "candidate"
BATCH_MAX: Final = 20
LOOK_EVERY_S: Final = 30.0

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Proposals:
    """``folder`` holds the candidates and the trials."""

    def __init__(self, folder: Path, memory: Memory) -> None:
        self._folder = folder
        self._memory = memory

    async def keep_telling(self) -> None:
        """Tell until cancelled. What fails is tried again at the next look."""
        while True:
            try:
                while await self.tell():
                    pass
            except TradingError as error:
                logger.warning("new candidates are told to memory later: %s", error)
            await anyio.sleep(LOOK_EVERY_S)

    async def tell(self) -> int:
        """Tell memory of the oldest candidates that it does not know; return how many.

        Raises: CandidateStoreUnavailable, TrialLedgerUnavailable, MemoryUnavailable.
        """
        records = await anyio.to_thread.run_sync(self._records)
        if records:
            await self._memory.write([record for _, record in records])
            await anyio.to_thread.run_sync(self._in_store, lambda store: [store.told(name) for name, _ in records])
        return len(records)

    def _records(self) -> list[tuple[str, MemoryRecord]]:
        if not (self._folder / STORE_NAME).exists():
            return []
        found = self._in_store(lambda store: store.untold(BATCH_MAX))
        if not found:
            return []
        ledger = TrialLedger.at(self._folder / LEDGER_NAME)
        try:
            return [(each.id, _record(each, ledger)) for each in found]
        finally:
            ledger.close()

    def _in_store(self, act: Callable[[CandidateStore], T]) -> T:
        store = CandidateStore.at(self._folder / STORE_NAME)
        try:
            return act(store)
        finally:
            store.close()


def _record(candidate: Candidate, ledger: TrialLedger) -> MemoryRecord:
    of = candidate.proposal
    trials = ledger.standing(family_of([of.strategy])).trials
    figures: dict[str, Any] = {
        "candidate": candidate.id,
        "strategy": of.strategy,
        "parameters": {name: repr(value) for name, value in of.parameters.items()},
        "evidence": encode_record(of.evidence),
        "parent": of.parent,
        "search_id": of.search_id,
        "who": of.who,
        "family_trials": trials,
    }
    return MemoryRecord(
        action="note",
        key=f"{KIND}/{candidate.id}",
        ts_event_ns=of.at_ns,
        namespace=f"strategies/{of.strategy}",
        kind=KIND,
        text=proposal_text(candidate, trials),
        tags=(of.strategy, candidate.id, "proposed"),
        metadata=figures,
        embed=True,
    )
