"""A promotion is a journalled command that the desk may refuse; what was promoted is held by its gates every day."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.doubles.kernel_bench import KernelBench, fingerprint, profile
from tests.doubles.scripted_market import ScriptedFeed, script
from tests.unit.trading.engine import test_treasury as treasury

from trading.engine.promoting import PAPER_GATES, with_promoted
from trading.errors import InvalidInput
from trading.model import commands, events
from trading.model.market_data import Bar, MarketEvent
from trading.model.memento import Memento
from trading.model.profile import FOUNDATION, Profile
from trading.model.profile_content import content_of, document_of, riskier
from trading.model.promotion import GateReading, PromotionTerms, Stage
from trading.portfolio.promotions import PromotionBook

NAME = "momentum_breakout"
TERMS = PromotionTerms(drawdown_bps_max=300, trades_min=5, psr_bps_min=500, drift_bps_min=100, trade_mean_bps=100)
PASSED = GateReading("deflated_sharpe", 9_700, 9_500, "bps", True, True, 900)
PROVEN = tuple(GateReading(name, 1, 1, "days", True, True, 30) for name in sorted(PAPER_GATES))


def promote(**changes: Any) -> commands.PromoteStrategy:
    command = commands.PromoteStrategy(
        "k", "operator:o", "it is good", "cand_1", NAME, Stage.PAPER, '{"channel_bars":"30"}', TERMS, (PASSED,)
    )
    return replace(command, **changes)


def wild() -> Profile:
    """Return rules under which a losing strategy goes on as long as nothing demotes it."""
    wanted = profile(
        edge_over_cost_bps_min=0,
        cooldown_s=0,
        reentry_s=0,
        drawdown_reducing_bps=10_000,
        drawdown_halted_bps=10_000,
        day_loss_bps_max=10_000,
        protections=(),
    )
    exits = wanted.exits.model_copy(update={"stop_loss_bps": 100, "take_profit_bps": 100, "trailing_stop_bps": 0})
    return wanted.model_copy(update={"exits": exits})


def losing(days: int = 4) -> list[MarketEvent]:
    """A price that falls by 3 % whenever somebody may have bought, and comes back."""
    return script([Decimal(1) if number % 2 else Decimal("0.97") for number in range(days * 288)])


def buys_high(bar: Bar) -> float | None:
    return 1.0 if bar.close == 1 else None


def begun(rules: Profile | None = None, opinion: Any = None) -> KernelBench:
    bench = KernelBench(opinion or (lambda _bar: None), rules=rules or profile())
    bench.feed(losing()[:3])
    return bench


@pytest.mark.requirement("T11")
def test_a_promotion_switches_the_parameters_and_their_lineage_and_is_journalled() -> None:
    bench = begun()
    outcome = bench.control.take(promote())
    assert outcome.denied is None
    [choice] = bench.kernel.state.profile.strategies
    assert (choice.parameters, choice.lineage, choice.weight_bps) == ({"channel_bars": 30}, "cand_1", 10_000)
    assert bench.kinds()[-3:] == ["promote_strategy", "profile_switched", "strategy_promoted"]
    [told] = bench.events(events.StrategyPromoted)
    assert (told.before, told.stage, told.capital_lamports) == (Stage.CANDIDATE, Stage.PAPER, 10 * 10**9)
    standing = bench.kernel.state.promotions.of(NAME)
    assert standing is not None
    assert (standing.candidate, standing.stage) == ("cand_1", Stage.PAPER)
    assert fingerprint(bench.restored(ScriptedFeed(losing())).kernel) == fingerprint(bench.kernel)


@pytest.mark.requirement("T11")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"actor": "agent:clever"}, "promotion_by_agent"),
        ({"strategy": "sma_cross", "parameters": "{}"}, "strategy_not_in_profile"),
        ({"gates": (PASSED, replace(PASSED, passed=False))}, "gate_failed"),
        ({"gates": ()}, "gate_failed"),
        ({"stage": Stage.LIVE, "gates": PROVEN}, "not_proven_on_paper"),
    ],
)
def test_what_may_not_be_promoted_is_denied_and_changes_nothing(changes: dict[str, Any], reason: str) -> None:
    bench = begun()
    outcome = bench.control.take(promote(**changes))
    assert outcome.denied is not None
    assert outcome.denied.reason == reason
    assert bench.kernel.state.profile == profile()
    assert bench.events(events.StrategyPromoted) == []


@pytest.mark.requirement("T11")
def test_a_desk_with_real_money_takes_on_only_what_passed_every_gate_of_the_paper_stage() -> None:
    bench = begun()
    bench.kernel.setup = replace(bench.kernel.setup, mode="live")
    for refused in (promote(), promote(stage=Stage.LIVE), promote(stage=Stage.LIVE, gates=PROVEN[1:])):
        outcome = bench.control.take(refused)
        assert outcome.denied is not None
        assert outcome.denied.reason == "not_proven_on_paper"
    assert bench.control.take(promote(stage=Stage.LIVE, gates=PROVEN)).denied is None


def test_from_paper_to_live_the_record_goes_on() -> None:
    bench = begun()
    bench.control.take(promote())
    bench.feed(losing()[3:800])
    before = bench.kernel.state.promotions.of(NAME)
    assert before is not None
    assert bench.control.take(promote(key="l", stage=Stage.LIVE, gates=PROVEN)).denied is None
    after = bench.kernel.state.promotions.of(NAME)
    assert after == replace(before, stage=Stage.LIVE, gates=PROVEN)
    assert len(after.results_lamports) == 2
    assert bench.events(events.StrategyPromoted)[-1].before is Stage.PAPER


@pytest.mark.parametrize(
    "parameters", ["[]", "{", '{"channel_bars":"many"}', '{"channel_bars":"-1"}', '{"nothing":"1"}']
)
def test_parameters_that_the_strategy_refuses_never_reach_the_journal(parameters: str) -> None:
    bench = begun()
    with pytest.raises(InvalidInput):
        bench.control.take(promote(parameters=parameters))
    assert "promote_strategy" not in bench.kinds()


@pytest.mark.requirement("T11")
def test_a_strategy_that_loses_more_than_its_evidence_is_demoted_at_the_end_of_the_day_and_enters_nothing() -> None:
    bench = begun(wild(), buys_high)
    bench.control.take(promote())
    bench.feed(losing()[3:])
    [demoted] = bench.events(events.StrategyDemoted)
    assert demoted.reason.startswith("by the desk: held_drawdown ")
    assert [gate.passed for gate in demoted.gates] == [False] * len(demoted.gates)
    assert bench.kernel.state.denials["strategy_demoted"] > 0
    after = [each for each in bench.events(events.OrderApproved) if each.order.ts_ns > demoted.ts_ns]
    assert after == []
    judged = bench.events(events.StrategyJudged)
    assert len(judged) == 1  # a day later it is demoted already
    assert judged[0].result_lamports < 0
    assert fingerprint(bench.restored(ScriptedFeed(losing())).kernel) == fingerprint(bench.kernel)


def test_a_checkpoint_knows_what_was_promoted_and_demoted() -> None:
    bench = begun(wild(), buys_high)
    bench.control.take(promote())
    bench.feed(losing()[3:])
    book = bench.kernel.state.promotions
    assert book.demoted(NAME) is not None
    again = PromotionBook()
    Memento().fill(again, json.loads(json.dumps(Memento().encode(book))))
    assert again.standings == book.standings


def test_within_its_terms_a_strategy_goes_on() -> None:
    """The control: the same market, and terms that allow what it does."""
    bench = begun(wild(), buys_high)
    bench.control.take(promote(terms=PromotionTerms(10_000, 1_000, 1, 1, 0)))
    bench.feed(losing()[3:])
    assert bench.events(events.StrategyDemoted) == []
    assert len(bench.events(events.StrategyJudged)) == 4
    assert bench.kernel.state.denials["strategy_demoted"] == 0


def test_trades_that_earn_nothing_demote_once_there_are_enough_of_them() -> None:
    bench = begun(wild(), buys_high)
    bench.control.take(promote(terms=replace(TERMS, drawdown_bps_max=10_000)))
    bench.feed(losing()[3:])
    [demoted] = bench.events(events.StrategyDemoted)
    assert {gate.name for gate in demoted.gates} == {"trade_psr", "trade_drift"}
    assert all(gate.sample >= TERMS.trades_min for gate in demoted.gates)


def test_an_operator_or_an_agent_demotes_and_only_a_promotion_ends_it() -> None:
    bench = begun(wild(), buys_high)
    assert bench.control.take(commands.DemoteStrategy("d", "operator:o", "why", NAME)).denied is not None
    bench.control.take(promote())
    assert bench.control.take(commands.DemoteStrategy("e", "agent:a", "it smells", NAME)).denied is None
    bench.feed(losing()[3:100])
    assert bench.events(events.OrderApproved) == []
    assert bench.control.take(promote(key="again")).denied is None
    bench.feed(losing()[100:200])
    assert bench.events(events.OrderApproved) != []


def test_a_demoted_strategys_bucket_gets_no_capital() -> None:
    bench = treasury.begun(treasury.halves(1_000))
    bench.control.take(promote(strategy="mean_reversion", parameters="{}"))
    bench.control.take(commands.DemoteStrategy("d", "operator:o", "why", "mean_reversion"))
    bench.feed(treasury.market()[3:])
    assert len(treasury.moved(bench)) == 1  # that by hand; the test of the treasury sees a second one


def test_an_agent_cannot_take_a_demotion_back_by_switching_the_profile() -> None:
    bench = begun()
    bench.control.take(promote())
    bench.control.take(commands.DemoteStrategy("d", "operator:o", "why", NAME))
    content = content_of(profile())
    switch = commands.SwitchProfile("s", "agent:a", "why", "foundation", content)
    outcome = bench.control.take(switch)
    assert outcome.denied is not None
    assert outcome.denied.reason == "riskier_profile"
    assert bench.control.take(replace(switch, actor="operator:o")).denied is None
    assert bench.kernel.state.promotions.standings == {}


def test_a_start_of_the_desk_takes_no_promotion_back_and_the_shares_stay_those_of_the_profile() -> None:
    promoted = FOUNDATION.strategies[0].model_copy(update={"lineage": "cand_1", "parameters": {"channel_bars": 30}})
    present = FOUNDATION.model_copy(update={"strategies": (promoted, FOUNDATION.strategies[1])})
    wanted = FOUNDATION.model_copy(
        update={"strategies": tuple(each.model_copy(update={"weight_bps": 4_000}) for each in FOUNDATION.strategies)}
    )
    found = with_promoted(wanted, present)
    assert [(each.weight_bps, each.lineage) for each in found.strategies] == [(4_000, "cand_1"), (4_000, "")]
    assert with_promoted(wanted, FOUNDATION) is wanted


def test_a_lineage_is_written_only_where_there_is_one_and_another_one_counts_as_riskier() -> None:
    assert all("lineage" not in each for each in document_of(FOUNDATION)["strategies"])
    promoted = FOUNDATION.strategies[0].model_copy(update={"lineage": "cand_1"})
    after = FOUNDATION.model_copy(update={"strategies": (promoted, FOUNDATION.strategies[1])})
    assert document_of(after)["strategies"][0]["lineage"] == "cand_1"
    fields = [each.field for each in riskier(FOUNDATION, after)]
    assert fields == [each.field for each in riskier(after, FOUNDATION)] == [f"strategies.{NAME}.lineage"]
