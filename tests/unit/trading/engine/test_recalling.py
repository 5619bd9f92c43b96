"""What came of situations like this one moves the desk's estimates, within bounds, and only from its own journal."""

from dataclasses import replace

import pytest
from tests.doubles.kernel_bench import KernelBench
from tests.doubles.scripted_market import MINT
from tests.support.remembering import ALWAYS, PROVEN, bench_of, journey, rules

from trading.engine.counsel import Weighed
from trading.engine.recalling import Recaller
from trading.errors import InvalidInput
from trading.model import commands, events
from trading.model.account import TrackRecord
from trading.model.forecast import Direction
from trading.model.market_data import Bar, History, ts_of
from trading.model.order import Denied, Signal
from trading.model.recall import Outcome, PastSituation, RecallRules, Recollection, Situation
from trading.recall.situations import DIMENSIONS, VERSION
from trading.risk.sizing import position_fraction
from trading.runtime.views import strategies

pytestmark = pytest.mark.requirement("T13")

KINDS = ("situation_met", "situation_recalled", "recall_judged")
S = "momentum_breakout"
FALLING = -0.0015


def ran(recall: RecallRules = ALWAYS, seed: int = 1, drift: float = FALLING, cycles: int = 400) -> KernelBench:
    market, said = journey(seed, cycles, drift)
    return bench_of(said, rules(recall)).feed(market)


def test_switched_off_it_writes_nothing_and_remembers_nothing() -> None:
    bench = ran(RecallRules())
    assert not set(KINDS) & set(bench.kinds())
    assert bench.kernel.state.situations.is_empty
    assert not bench.kernel.recaller.histories.bars("sim:AAA")


def test_every_forecast_of_a_rise_leaves_its_situation_acted_on_or_not() -> None:
    bench = ran()
    made = [each.forecast for each in bench.events(events.ForecastMade) if each.forecast.direction is Direction.UP]
    met = [each.situation for each in bench.events(events.SituationMet)]
    assert [each.id for each in met] == [each.id for each in made]
    assert [each.ts_ns for each in met] == [each.ts_ns for each in made]
    assert {each.version for each in met} == {VERSION}
    kinds = bench.kinds()
    assert all(kinds[place - 1] == "forecast_made" for place, kind in enumerate(kinds) if kind == "situation_met")
    passed = bench.events(events.SignalPassed)
    assert passed


def test_an_answer_names_what_it_rests_on_and_all_of_it_was_known_before() -> None:
    bench = ran()
    known_ns = {each.score.forecast_id: each.score.ts_ns for each in bench.events(events.ForecastScored)}
    answers = [each for each in bench.events(events.SituationRecalled) if each.recollection is not None]
    assert len(answers) > 20
    for each in answers:
        assert each.recollection.nearest
        assert all(known_ns[name] <= each.ts_ns for name in each.recollection.nearest)
        assert each.situation_id not in each.recollection.nearest
        assert each.recollection.neighbours <= each.known


def test_with_too_few_outcomes_nothing_is_shifted() -> None:
    bench = ran(cycles=32)
    answers = bench.events(events.SituationRecalled)
    assert answers
    assert all(each.recollection is None and not each.is_used for each in answers)


def test_situations_that_came_to_losses_are_not_entered_again() -> None:
    bench = ran()
    passed = [each for each in bench.events(events.SignalPassed) if each.denied.reason == "recalled_losses"]
    assert len(passed) > 5
    answers = {each.trajectory_id: each.recollection for each in bench.events(events.SituationRecalled)}
    for each in passed:
        said = answers[each.trajectory_id]
        assert said is not None
        assert (each.denied.limit, each.denied.used) == (2_000, said.mean_bps)
        assert said.shift_bps == -2_000
        assert "nothing is left of the 2000" in each.denied.message
    orders = {each.order.trajectory_id for each in bench.events(events.OrderApproved)}
    assert not orders & {each.trajectory_id for each in passed}


def test_recall_begins_to_shift_when_its_errors_are_smaller_and_says_so() -> None:
    bench = ran(PROVEN)
    (judged,) = bench.events(events.RecallJudged)
    assert (judged.shifts, judged.strategy) == (True, S)
    assert judged.scored >= PROVEN.scores_min
    assert judged.recalled_error_bps < judged.stated_error_bps
    answers = bench.events(events.SituationRecalled)
    assert [each.is_used for each in answers] == [
        each.recollection is not None and each.ts_ns >= judged.ts_ns for each in answers
    ]


def test_the_strategies_show_how_recall_stands() -> None:
    bench = ran(PROVEN)
    [shown] = strategies(bench.kernel)
    (judged,) = bench.events(events.RecallJudged)
    known = bench.kernel.state.situations.known(S)
    assert shown["recall"]["known"] == known > shown["recall"]["scored"] >= judged.scored
    assert shown["recall"]["shifts"] is True
    assert shown["recall"]["recalled_error_bps"] < shown["recall"]["stated_error_bps"]
    [young] = strategies(bench_of({}, rules(PROVEN)).kernel)
    assert young["recall"] == {
        "known": 0, "scored": 0, "stated_error_bps": None, "recalled_error_bps": None, "shifts": False,
    }  # fmt: skip
    assert strategies(bench_of({}, rules(RecallRules())).kernel)[0]["recall"] is None


def test_recall_stops_when_its_errors_are_not_smaller_and_goes_on_when_they_are() -> None:
    bench = ran(PROVEN)
    kernel, memory = bench.kernel, bench.kernel.state.situations
    situation = bench.events(events.SituationMet)[0].situation
    for rounds, (stated, recalled, move) in enumerate([(50, 900, 40), (900, 40, 50)]):
        for number in range(200):
            name = f"{rounds}/{number}"
            memory.meet(replace(situation, id=name, trajectory_id=name))
            memory.answer(name, stated, recalled)
            memory.settle(kernel.state.now_ns, name, move)
        kernel.recaller.judge()
        kernel.recaller.judge()  # the same again is no news
    told = [(each.shifts, each.stated_error_bps, each.recalled_error_bps) for each in bench.events(events.RecallJudged)]
    assert told[-2:] == [(False, 10, 860), (True, 850, 10)]
    assert "not smaller than" in bench.events(events.RecallJudged)[-2].reason


def said(shift: int, trust: int = 10_000, wins: int = 9_000, win: int = 900, loss: int = 100) -> Recollection:
    return Recollection(50, 3_000, 100 + shift, 5, -50, 100, 300, trust, shift, wins, win, loss, ("fct",))


def shifted(recollection: Recollection, record: TrackRecord, recall: RecallRules = ALWAYS) -> Weighed | Denied:
    kernel = bench_of({}, rules(recall)).kernel
    signal = Signal(S, "m", 0, 1.0, 100, 3_600, "why")
    return Recaller(kernel.state, kernel.valuer, kernel.emit)._shifted(Weighed(signal, record), recollection)


@pytest.mark.parametrize("most", [0, 500, 2_500, 10_000])
def test_no_recollection_raises_a_size_by_more_than_its_share(most: int) -> None:
    recall = ALWAYS.model_copy(update={"raise_bps_max": most})
    record = TrackRecord(trades=60, wins=34, mean_win_bps=300, mean_loss_bps=200)
    weighed = shifted(said(25), record, recall)
    assert isinstance(weighed, Weighed)
    assert weighed.signal.edge_bps == 125
    before, after = position_fraction(record), position_fraction(weighed.record)
    assert after <= before * (1 + most / 10_000) + 1e-6
    assert after >= before
    if most >= 2_500:
        assert after > before


def test_a_recollection_of_losses_lowers_the_size_too() -> None:
    record = TrackRecord(trades=60, wins=34, mean_win_bps=300, mean_loss_bps=200)
    weighed = shifted(said(-40, wins=2_000, win=100, loss=400), record)
    assert isinstance(weighed, Weighed)
    assert weighed.signal.edge_bps == 60
    assert position_fraction(weighed.record) < position_fraction(record)


def test_a_strategy_on_probation_keeps_its_own_record() -> None:
    record = TrackRecord(trades=3, wins=3, mean_win_bps=300, mean_loss_bps=0)
    weighed = shifted(said(25), record)
    assert isinstance(weighed, Weighed)
    assert weighed.record == record


def past(name: str, known_ns: int, seed: int = 0, move: int = -900) -> PastSituation:
    levels = ",".join(str((seed * 7 + place) % 90 - 45) for place in range(DIMENSIONS))
    situation = Situation(name, f"trj_{name}", S, "m", 0, 2_000, 60, VERSION, levels)
    return PastSituation(situation, Outcome(known_ns, move, move))


def test_situations_of_earlier_runs_are_recalled_from_when_they_were_known() -> None:
    market, opinions = journey(3, 200)
    bench = bench_of(opinions)
    bench.feed(market[:1])
    middle_ns = ts_of(market[len(market) // 2])
    given = [past(f"p{number}", middle_ns, number) for number in range(40)]
    bench.control.take(commands.GiveSituations("k", "operator", "an earlier run", tuple(given)))
    bench.feed(market[1:])
    answers = bench.events(events.SituationRecalled)
    before = [each for each in answers if each.ts_ns < middle_ns]
    after = [each for each in answers if each.ts_ns >= middle_ns]
    assert before
    assert after
    assert max(each.known for each in before) < 40 <= min(each.known for each in after)
    own = {each.situation.id for each in bench.events(events.SituationMet)}
    assert all(set(each.recollection.nearest) <= own for each in before if each.recollection)


@pytest.mark.parametrize("vector", ["", "1,2", f"{','.join('9' * (DIMENSIONS - 1))},999"])
def test_given_situations_that_are_none_are_refused_whole(vector: str) -> None:
    bench = bench_of({})
    bad = replace(past("p", 0), situation=replace(past("p", 0).situation, vector=vector))
    with pytest.raises(InvalidInput, match="situation p"):
        bench.control.take(commands.GiveSituations("k", "operator", "r", (past("q", 0), bad)))
    assert "give_situations" not in bench.kinds()
    assert bench.kernel.state.situations.is_empty


def test_the_past_of_a_token_that_the_desk_begins_to_follow_is_looked_back_at() -> None:
    market, _ = journey(1, 40)
    past = [event for event in market if isinstance(event, Bar) and event.mint == MINT]
    rest = [event for event in market if not isinstance(event, Bar) or event.ts_close_ns > past[29].ts_close_ns]
    listed, events_after = rest[:2], rest[2:]
    said = {(MINT, 32): 1.0}
    learned = History(past[29].ts_close_ns, MINT, tuple(past[:30]), "past")
    after = [event for event in events_after if ts_of(event) > learned.ts_ns]
    told, untold = bench_of(said, by_reference=False), bench_of(said, by_reference=False)
    told.feed([*listed, learned, *after])
    untold.feed([*listed, *after])
    assert [each.situation.mint for each in told.events(events.SituationMet)] == [MINT]
    assert untold.events(events.SituationMet) == []
    restored = told.restored(None)
    assert restored.kernel.recaller.histories.document() == told.kernel.recaller.histories.document()


def test_a_profile_without_recall_forgets_the_prices_and_one_with_it_begins_anew() -> None:
    market, opinions = journey(1, 200)
    bench = bench_of(opinions).feed(market[:300])
    recaller = bench.kernel.recaller
    assert recaller.histories.bars("sim:AAA")
    bench.kernel.switch_profile(rules(RecallRules()))
    assert not recaller.is_on
    assert not recaller.histories.bars("sim:AAA")
    weighed = Weighed(Signal(S, "m", 0, 1.0, 100, 3_600, "why"), TrackRecord())
    assert recaller.counsel("trj", weighed) is weighed
