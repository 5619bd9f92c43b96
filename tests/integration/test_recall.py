"""Memory that spans runs, is replayed byte for byte, and listens to no memory that anybody writes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.desk_memory import ListMemory
from tests.doubles.kernel_bench import cycles_of
from tests.support.remembering import ALWAYS, bench_of, journey, rules

from trading.adapters.canonical import parse_json
from trading.adapters.sql_journal import JournalStore
from trading.config import RelaySection
from trading.errors import InvalidInput
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model.profile import Profile, StrategyChoice
from trading.model.recall import RecallRules
from trading.ports import Journal, Memory, MemoryRecord
from trading.runtime.backtest import BacktestResult, BacktestSpec, run_backtest
from trading.runtime.recorded_runs import JOURNAL_NAME, recorded_run
from trading.runtime.relay import MemoryRelay
from trading.runtime.replaying import ReplaySpec, measure
from trading.runtime.situations import digest_of, past_situations

pytestmark = pytest.mark.requirement("T13")

STRATEGY = "sma_cross"


def profile(recall: RecallRules = ALWAYS) -> Profile:
    crossings = StrategyChoice(name=STRATEGY, weight_bps=10_000, parameters={"fast_bars": 4, "slow_bars": 12})
    return rules(recall).model_copy(update={"strategies": (crossings,)})


def backtest(cycles: int, run_dir: Path | None = None, situations: str = "", **kinds: Any) -> BacktestResult:
    feed = SyntheticFeed(SyntheticMarket(seed=3, interval_s=1_800, cycles=cycles))
    return run_backtest(BacktestSpec(feed, rules=profile(**kinds), run_dir=run_dir, situations=situations))


def answers(journal: Journal) -> list[dict[str, Any]]:
    return [parse_json(row.body) for row in journal.rows(kinds=("situation_recalled",))]


def test_a_run_recalls_what_an_earlier_one_knew_and_nothing_before_it_knew_it(tmp_path: Path) -> None:
    backtest(420, tmp_path / "one")
    with recorded_run(str(tmp_path / "one")) as run:
        past = past_situations(run.journal)
    later = backtest(300, situations=str(tmp_path / "one"))
    known_ns = {each.situation.id: each.outcome.known_ns for each in past}
    told = [each for each in answers(later.journal) if each["recollection"] is not None]
    named = [(name, each["ts_ns"]) for each in told for name in each["recollection"]["nearest"]]
    assert any(name in known_ns for name, _ in named)
    assert all(known_ns.get(name, 0) <= ts_ns for name, ts_ns in named)
    alone = backtest(300)
    first = next(each for each in answers(later.journal) if each["known"])
    first_alone = next(each for each in answers(alone.journal) if each["known"])
    assert first["ts_ns"] <= first_alone["ts_ns"]
    assert later.document["journal_sha256"] != alone.document["journal_sha256"]
    assert later.document["run_id"] != alone.document["run_id"]


def test_memory_is_handed_on_from_run_to_run(tmp_path: Path) -> None:
    backtest(200, tmp_path / "one")
    backtest(300, tmp_path / "two", str(tmp_path / "one"))
    found = []
    for name in ("one", "two"):
        with recorded_run(str(tmp_path / name)) as run:
            found.append(past_situations(run.journal))
    one, two = found
    assert {each.situation.id for each in one} < {each.situation.id for each in two}
    assert digest_of(one) != digest_of(two)
    assert [each.outcome.known_ns for each in two] == sorted(each.outcome.known_ns for each in two)


@pytest.mark.parametrize("given", [False, True])
def test_a_run_that_remembers_is_replayed_byte_for_byte(tmp_path: Path, given: bool) -> None:
    backtest(200, tmp_path / "one")
    backtest(300, tmp_path / "two", str(tmp_path / "one") if given else "")
    with recorded_run(str(tmp_path / "two")) as run:
        assert answers(run.journal)
        assert bool(list(run.journal.rows(kinds=("give_situations",)))) is given
        feed = SyntheticFeed(SyntheticMarket(seed=3, interval_s=1_800, cycles=300))
        drift = measure(run, ReplaySpec(feed=feed))
    assert (drift.first_row, drift.is_drifting) == (None, False)


def test_a_profile_that_recalls_nothing_takes_no_situations(tmp_path: Path) -> None:
    backtest(60, tmp_path / "one")
    with pytest.raises(InvalidInput, match="recalls nothing"):
        backtest(60, situations=str(tmp_path / "one"), recall=RecallRules())
    with pytest.raises(InvalidInput, match="neither a directory"):
        backtest(60, situations=str(tmp_path / "nowhere"))


def test_the_first_of_a_trajectory_has_the_return_of_its_trade(tmp_path: Path) -> None:
    backtest(420, tmp_path / "one")
    store = JournalStore.at(tmp_path / "one" / JOURNAL_NAME)
    try:
        journal = store.open_run(1)
        closed = {parse_json(row.body)["trajectory_id"]: row for row in journal.rows(kinds=("position_closed",))}
        past = past_situations(journal)
    finally:
        store.close()
    traded = [each for each in past if each.situation.trajectory_id in closed]
    assert traded
    for each in traded:
        row = closed[each.situation.trajectory_id]
        assert each.outcome.net_bps == parse_json(row.body)["return_bps"]
        assert each.outcome.known_ns >= row.ts_ns
    others = [each for each in past if each.situation.trajectory_id not in closed]
    assert all(each.outcome.net_bps == each.outcome.move_bps - each.situation.cost_bps for each in others)


class OpenMemory(ListMemory):
    """A shared memory into which an agent writes, between the desk's own records, situations that paid splendidly."""

    async def write(self, records: Sequence[MemoryRecord]) -> None:
        await super().write(records)
        for record in records:
            if record.kind == "situation":
                body = {**record.metadata, "move_bps": 90_000, "agent": "a-friend"}
                forged = replace(record, key=f"forged/{record.key}", metadata=body, text="It paid: 900 %.")
                await super().write([forged])


@pytest.mark.anyio
async def test_a_memory_that_an_agent_writes_moves_nothing(tmp_path: Path) -> None:
    market, said = journey(1, 80, -0.0015)
    hashes = []
    for memory in (ListMemory(), OpenMemory()):
        store = JournalStore.at(tmp_path / type(memory).__name__ / JOURNAL_NAME)
        journal = store.start_run("run", "identity", 0)
        bench = bench_of(said, journal=journal)
        carrier = MemoryRelay(store, journal, "run", memory, RelaySection(batch_len_max=10))
        for cycle in cycles_of(market):
            bench.feed(cycle)
            while await carrier.carry():
                pass
        hashes.append(journal.sha256())
        store.close()
    assert hashes[0] == hashes[1]
    kinds = [record.key.startswith("forged/") for record in memory.records if record.kind == "situation"]
    assert len(kinds) > 10
    assert sum(kinds) * 2 == len(kinds)


def test_the_desk_can_write_to_memory_and_cannot_read_it() -> None:
    assert [name for name in vars(Memory) if not name.startswith("_")] == ["write"]
