"""Memory hears of each candidate once, whoever proposed it and whether or not a daemon ran then."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.doubles.desk_memory import ListMemory
from tests.unit.trading.adapters.test_candidate_store import PROPOSAL

from trading.adapters.candidate_store import STORE_NAME, CandidateStore
from trading.adapters.trial_ledger import Trial, TrialLedger
from trading.errors import MemoryUnavailable
from trading.runtime.promoter import LEDGER_NAME
from trading.runtime.proposals import BATCH_MAX, Proposals

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T11")]


def propose(folder: Path, count: int) -> list[str]:
    store = CandidateStore.at(folder / STORE_NAME)
    try:
        return [store.propose(replace(PROPOSAL, seed=number)).id for number in range(count)]
    finally:
        store.close()


async def test_each_candidate_is_told_once_with_its_evidence_and_the_trials_of_its_family(tmp_path: Path) -> None:
    memory = ListMemory()
    ledger = TrialLedger.at(tmp_path / LEDGER_NAME)
    for number in range(3):
        ledger.add(Trial("sma_cross", f"s{number}", "cli", 1, "feed", {}, 0.1, 9, 2, 5))
    ledger.close()
    assert await Proposals(tmp_path, memory).tell() == 0, "nobody proposed anything, and no file is made"
    assert not (tmp_path / STORE_NAME).exists()
    [name] = propose(tmp_path, 1)
    assert await Proposals(tmp_path, memory).tell() == 1
    assert await Proposals(tmp_path, memory).tell() == 0
    [record] = memory.records
    assert (record.namespace, record.kind, record.embed) == ("strategies/sma_cross", "candidate", True)
    assert (record.metadata["candidate"], record.metadata["family_trials"]) == (name, 3)
    for said in (name, "fast_bars 12", "220 trades", "held back 200 days", "800 bps", "500 trials", "counts 3"):
        assert said in record.text


async def test_what_memory_did_not_take_is_told_later_and_many_are_told_in_batches(tmp_path: Path) -> None:
    memory = ListMemory()
    names = propose(tmp_path, BATCH_MAX + 2)
    proposals = Proposals(tmp_path, memory)
    memory.is_down = True
    with pytest.raises(MemoryUnavailable):
        await proposals.tell()
    memory.is_down = False
    assert [await proposals.tell() for _ in range(3)] == [BATCH_MAX, 2, 0]
    assert [record.metadata["candidate"] for record in memory.records] == names
