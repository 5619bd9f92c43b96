"""Why nothing happened: stages that add up, the distance over every limit, and the chain of what did happen."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.desk_memory import ListMemory
from tests.doubles.kernel_bench import KernelBench, profile
from tests.doubles.scripted_market import INTERVAL_NS, MINT, START_NS, merged, script

from trading.adapters.canonical import parse_json
from trading.adapters.journal_archive import Range, RunArchive
from trading.adapters.sql_journal import JournalStore, SqlJournal
from trading.config import RelaySection
from trading.model import events
from trading.model.event_codec import decode
from trading.model.order import Purpose, Side
from trading.runtime.documents import iso
from trading.runtime.funnel import FUNNEL_KINDS, funnel, passed_over
from trading.runtime.history import RunView, chain
from trading.runtime.relay import MemoryRelay

pytestmark = pytest.mark.requirement("T19")

OTHER = "sim:BBB"
SHALLOW = "sim:CCC"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JournalStore]:
    opened = JournalStore.at(tmp_path / "journal.db")
    yield opened
    opened.close()


def at(number: int) -> int:
    return START_NS + number * INTERVAL_NS


class Run:
    """A run on disk, and questions to its past."""

    def __init__(self, store: JournalStore, *said: tuple[int, str, float], **limits: Any) -> None:
        self.journal: SqlJournal = store.start_run("run", "t", 0)
        self.archive = RunArchive(store, self.journal.run)
        self.words = {(at(number), mint): strength for number, mint, strength in said}
        self.bench = KernelBench(
            lambda bar: self.words.get((bar.ts_close_ns, bar.mint)), journal=self.journal, rules=profile(**limits)
        )

    def view(self) -> RunView:
        self.journal.commit()
        kernel = self.bench.kernel
        return RunView(
            "run",
            self.journal,
            self.archive,
            dict(kernel.valuer.instruments),
            kernel.state.now_ns,
            passed_over(kernel),
            dict(kernel.seen_ns),
            kernel.state.profile.rugs,
        )


def three_tokens(count: int = 6) -> list[Any]:
    return merged(
        script(["1"] * count),
        script(["1"] * count, mint=OTHER),
        script(["1"] * count, mint=SHALLOW, depth_sol=1),
    )


def test_the_stages_of_the_funnel_add_up(store: JournalStore) -> None:
    run = Run(store, (2, MINT, 1.0), (3, OTHER, 1.0), (4, SHALLOW, 1.0), positions_max=1)
    run.bench.feed(three_tokens())
    shown = funnel(run.view(), mint=None, since_ns=None)["funnel"]
    assert (shown["seen"], shown["eligible"], shown["passed_over"]) == (3, 2, {"pool_lamports": 1})
    assert (shown["signalled"], shown["forecast"], shown["approved"], shown["filled"]) == (3, 3, 1, 1)
    assert sum(shown["denied"].values()) == shown["signalled"] - shown["approved"] == 2
    assert shown["newest_price"]["age_s"] == 0


def test_the_nearest_miss_counts_every_limit_that_is_broken_and_not_the_first_alone(store: JournalStore) -> None:
    run = Run(store, (2, MINT, 1.0), (4, OTHER, 1.0), (5, SHALLOW, 1.0), positions_max=1, edge_over_cost_bps_min=10)
    run.bench.feed(three_tokens())
    answer = funnel(run.view(), mint=SHALLOW, since_ns=None)
    miss = answer["nearest_miss"]
    names = [each["name"] for each in miss["limits"]]
    # The first limit asked is the pool's depth; that of a second token is broken too, and further.
    assert miss["reason"] == "pool_lamports"
    assert {"pool_lamports", "positions"} <= set(names)
    assert miss["distance_bps"] == max(each["distance_bps"] for each in miss["limits"])
    distances = [each["distance_bps"] for each in miss["limits"]]
    assert distances == sorted(distances, reverse=True)
    # Over all tokens the one with a single limit in the way is nearer.
    nearest = funnel(run.view(), mint=None, since_ns=None)["nearest_miss"]
    assert (nearest["mint"], [each["name"] for each in nearest["limits"]]) == (OTHER, ["positions"])
    assert nearest["distance_bps"] == 10_000
    assert "nearest miss" in answer["summary"]


def test_one_token_and_one_cycle_can_be_asked_about(store: JournalStore) -> None:
    run = Run(store, (2, MINT, 1.0), (3, OTHER, 1.0), (5, OTHER, 1.0), positions_max=1)
    run.bench.feed(three_tokens())
    view = run.view()
    assert funnel(view, mint=OTHER, since_ns=None)["funnel"]["signalled"] == 2
    cycle = funnel(view, mint=None, since_ns=at(3), until_ns=at(3))["funnel"]
    assert (cycle["signalled"], cycle["approved"], cycle["denied"]) == (1, 0, {"positions": 1})
    assert funnel(view, mint=SHALLOW, since_ns=None)["funnel"]["eligible"] == 0
    quiet = funnel(view, mint=None, since_ns=at(6), until_ns=at(6))
    assert (quiet["funnel"]["signalled"], quiet["nearest_miss"]) == (0, None)


def naive(run: Run, view: RunView) -> tuple[Counter[str], Counter[str]]:
    """Count as a reader of every row would: by stage, and denials by reason."""
    stages: Counter[str] = Counter()
    denied: Counter[str] = Counter()
    for row in view.journal.rows(kinds=FUNNEL_KINDS):
        match decode(row.kind, parse_json(row.body)):
            case events.ForecastMade():
                stages["forecast"] += 1
            case events.SignalRaised(signal=signal):
                stages["signalled"] += signal.strength > 0
            case events.SignalPassed(denied=refused):
                denied[refused.reason] += 1
            case events.OrderDenied(denied=refused, order=order):
                denied[refused.reason] += 1
                stages["sized"] += order.purpose is Purpose.ENTRY
            case events.OrderApproved(order=order):
                stages["approved" if order.purpose is Purpose.ENTRY else "exits"] += 1
                stages["sized"] += order.purpose is Purpose.ENTRY
            case events.OrderFilled(fill=fill):
                stages["filled"] += fill.side is Side.BUY
            case _:
                pass
    return stages, denied


def test_what_the_database_counts_is_what_a_reader_of_every_row_counts(store: JournalStore) -> None:
    said = [(2, MINT, 1.0), (3, OTHER, 1.0), (5, MINT, -1.0), (6, OTHER, 1.0), (7, SHALLOW, 1.0)]
    run = Run(store, *said, positions_max=1, reentry_s=0, cooldown_s=0)
    run.bench.feed(three_tokens(14))
    view = run.view()
    stages, denied = naive(run, view)
    shown = funnel(view, mint=None, since_ns=0)["funnel"]
    assert {name: shown[name] for name in stages} == stages
    assert shown["denied"] == denied
    assert stages["exits"] == 1
    assert denied.total() >= 2
    assert shown["is_cut"] is False
    # Asked from before it began on, it says when it began; and a time in two parts is the same as in one.
    assert shown["since"] == iso(run.archive.span(Range())[0])
    first = funnel(view, mint=None, since_ns=0, until_ns=at(5))["funnel"]
    second = funnel(view, mint=None, since_ns=at(5) + 1)["funnel"]
    assert {name: first[name] + second[name] for name in stages} == stages
    assert Counter(first["denied"]) + Counter(second["denied"]) == denied
    by_token = [funnel(view, mint=mint, since_ns=0)["funnel"] for mint in (MINT, OTHER, SHALLOW)]
    assert {name: sum(each[name] for each in by_token) for name in stages} == stages


def test_of_a_long_run_the_newest_rows_are_counted_and_it_says_since_when(store: JournalStore) -> None:
    run = Run(store, (2, MINT, 1.0), (3, OTHER, 1.0), (5, OTHER, 1.0), positions_max=1)
    run.bench.feed(three_tokens(14))
    view = run.view()
    whole = view.archive.tally(FUNNEL_KINDS, Range(), mint=None, limit=100)
    cut = view.archive.tally(FUNNEL_KINDS, Range(), mint=None, limit=1)
    assert (whole.is_cut, cut.is_cut) == (False, True)
    assert whole.since_ns < cut.since_ns <= at(5)
    counted = {each.kind: each.number for each in cut.found}
    assert set(counted.values()) == {1}
    # What lies in the asked time is whole: the cut is older than it.
    late = view.archive.tally(FUNNEL_KINDS, Range(at(5), None), mint=None, limit=1)
    assert (late.is_cut, late.since_ns) == (False, at(5))


def test_a_token_without_fresh_bars_is_passed_over_for_its_age(store: JournalStore) -> None:
    run = Run(store)
    run.bench.feed(merged(script(["1"]), script(["1"] * 12, mint=OTHER)))
    view = run.view()
    assert view.passed_over == {MINT: "data_age_s"}
    shown = funnel(view, mint=MINT, since_ns=None)["funnel"]
    assert shown["newest_price"]["age_s"] == 11 * 300


def test_a_token_that_is_gone_is_passed_over_as_untradable(store: JournalStore) -> None:
    run = Run(store)
    run.bench.feed(merged(script(["1", None]), script(["1"] * 3, mint=OTHER)))
    assert run.view().passed_over == {MINT: "untradable"}


@pytest.mark.requirement("T18")
def test_the_chain_of_an_order_begins_with_its_forecast_and_ends_with_its_score(store: JournalStore) -> None:
    run = Run(store, (2, MINT, 1.0), (8, MINT, -1.0))
    run.bench.feed(script(["1"] * 7 + ["1.02"] * 20))
    view = run.view()
    entry = next(event for event in run.bench.events(events.OrderApproved))
    found = chain(view, order_id=entry.order.id, trajectory_id=None)
    assert found is not None
    steps = [each["step"] for each in found["chain"]]
    assert steps[:4] == ["forecast", "signal", "order", "fill"]
    assert steps.count("forecast") == steps.count("forecast_score") == 2
    assert "outcome" in steps
    order = next(each for each in found["chain"] if each["step"] == "order")
    assert order["figures"]["impact"]["forecast_id"] == entry.impact.forecast_id
    assert "Expected:" in order["text"]


@pytest.mark.requirement("T18")
def test_the_chain_holds_a_forecast_that_was_made_in_an_earlier_trajectory(store: JournalStore) -> None:
    run = Run(store, (2, MINT, 1.0), (4, MINT, 1.0), reentry_s=0, cooldown_s=0)
    run.bench.control.take(stop("k1"))
    events_all = script(["1"] * 8)
    for event in events_all:
        run.bench.kernel.on_event(event)
        if run.bench.kernel.cycles == 3 and not run.bench.kernel.state.entries_allowed:
            run.bench.control.take(go("k2"))
    (made,) = run.bench.events(events.ForecastMade)
    (approved,) = [each for each in run.bench.events(events.OrderApproved) if each.order.side.value == "buy"]
    assert made.trajectory_id != approved.order.trajectory_id
    assert approved.impact.forecast_id == made.forecast.id
    found = chain(run.view(), order_id=approved.order.id, trajectory_id=None)
    assert found is not None
    assert found["chain"][0]["step"] == "forecast"


def stop(key: str) -> Any:
    from trading.model import commands

    return commands.StopEntries(key, "operator", "test")


def go(key: str) -> Any:
    from trading.model import commands

    return commands.Resume(key, "operator", "test")


@pytest.mark.anyio
@pytest.mark.requirement("T18")
async def test_memory_is_told_the_forecast_before_the_order_and_its_outcome(store: JournalStore) -> None:
    run = Run(store, (2, MINT, 1.0))
    run.bench.feed(script(["1"] * 7 + ["1.02"] * 20))
    run.journal.commit()
    memory = ListMemory()
    relay = MemoryRelay(store, run.journal, "run", memory, RelaySection())
    while await relay.carry():
        pass
    kinds = [record.kind for record in memory.records]
    assert kinds.index("ranking") < kinds.index("signal")
    assert kinds.index("forecast") < kinds.index("order") < kinds.index("outcome")
    forecast = next(record for record in memory.records if record.kind == "forecast")
    assert forecast.namespace == "trading"
    assert "expects AAA to rise by 20 % until" in forecast.text
    outcome = next(record for record in memory.records if record.kind == "outcome")
    assert "came true: it moved by 2 %" in outcome.text
    assert outcome.tags == ("momentum_breakout", "up", "hit")
    assert len({record.key for record in memory.records}) == len(memory.records)
