"""Advice in the kernel: an input like any other, looked at when it is there, never waited for."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.doubles.kernel_bench import KernelBench, fingerprint, profile
from tests.doubles.scripted_market import INTERVAL_NS, MINT, START_NS, ScriptedFeed, script
from tests.support.advice import advised, make_advice, make_exchange

from trading.engine import checkpoint
from trading.engine.inputs import ADVISED, decode_input, encode_input
from trading.errors import DataError
from trading.model import events
from trading.model.advice import AdviceRules
from trading.model.market_data import Advised, Bar, CycleEnd, MarketEvent
from trading.model.profile import Profile
from trading.model.units import NS_PER_S

pytestmark = pytest.mark.requirement("T14")

HEARD = AdviceRules(weight_bps_max=10_000, unproven_bps=2_500, age_s_max=86_400, wait_s_max=3_600)
BUY_AT = 4


def at(cycle: int) -> int:
    return START_NS + cycle * INTERVAL_NS


def buys(bar: Bar) -> float | None:
    return 1.0 if bar.ts_close_ns == at(BUY_AT) else None


def rules(advice: AdviceRules = HEARD) -> Profile:
    return profile().model_copy(update={"advice": advice})


def with_advice(events_of: Sequence[MarketEvent], *said: Advised) -> list[MarketEvent]:
    """Return the events with each piece of advice behind the cycle that ended at its time."""
    found: list[MarketEvent] = []
    for event in events_of:
        found.append(event)
        if type(event) is CycleEnd:
            found += [each for each in said if each.ts_ns == event.ts_ns]
    return found


def run(*said: Advised, advice: AdviceRules = HEARD, prices: int = 30, **more: Any) -> KernelBench:
    bench = KernelBench(buys, rules=rules(advice), **more)
    return bench.feed(with_advice(script(["1"] * prices), *said))


def bought(bench: KernelBench) -> list[int]:
    return [each.order.amount_in for each in bench.events(events.OrderApproved) if each.order.side.value == "buy"]


def test_advice_is_journalled_before_it_is_looked_at_and_makes_an_entry_smaller() -> None:
    plain, [full] = run(), bought(run())
    bench = run(advised(at(2), make_advice(size_scale_bps=0)))
    [less] = bought(bench)
    assert less == full * 7_500 // 10_000
    [weighed] = bench.events(events.AdviceWeighed)
    assert (weighed.scale_bps, weighed.weight_bps, weighed.advice_id) == (7_500, 2_500, "asm_1")
    kinds = bench.kinds()
    assert kinds.index(ADVISED) < kinds.index("advice_weighed") < kinds.index("order_approved")
    assert ADVISED not in plain.kinds()


@pytest.mark.parametrize("scale_bps", [10_000, 1_000_000])
def test_no_advice_makes_an_entry_larger(scale_bps: int) -> None:
    praise = make_advice(size_scale_bps=scale_bps, stance_bps=10_000, probability_bps=10_000, confidence_bps=10_000)
    assert bought(run(advised(at(2), praise))) == bought(run())


def test_advice_alone_makes_no_order() -> None:
    bench = KernelBench(rules=rules()).feed(
        with_advice(script(["1"] * 10), advised(at(2), make_advice(stance_bps=10_000, probability_bps=10_000)))
    )
    assert bench.events(events.OrderApproved, events.OrderDenied, events.AdviceWeighed) == []


def test_an_entry_waits_and_says_why_and_no_longer_than_the_rules_allow() -> None:
    bench = run(advised(at(BUY_AT - 1), make_advice(wait_s=86_400)))
    [passed] = bench.events(events.SignalPassed)
    assert passed.denied.reason == "advice_wait"
    assert bought(bench) == []
    # 3600 s at a quarter of the weight: 900 s after the question the entry is free again.
    assert bought(run(advised(at(BUY_AT - 3), make_advice(wait_s=86_400)))) != []


def test_a_profile_that_hears_no_advice_decides_as_if_there_were_none() -> None:
    off = AdviceRules()
    assert off.weight_bps_max == 0
    heard = run(advised(at(2), make_advice(wait_s=86_400)), advice=off)
    assert bought(heard) == bought(run(advice=off))
    assert heard.events(events.AdviceWeighed) == []


@pytest.mark.parametrize("late", [advised(at(2), make_advice(expires_ns=at(3))), advised(at(2), outcome="timeout")])
def test_expired_advice_and_faults_change_no_order(late: Advised) -> None:
    assert bought(run(late)) == bought(run())


def test_advice_is_scored_at_the_first_cycle_after_its_horizon_and_makes_the_record() -> None:
    said = advised(at(2), make_advice(horizon_s=10 * INTERVAL_NS // NS_PER_S, probability_bps=7_000, high_bps=600))
    prices = ["1"] * 11 + ["1.05"] + ["2"] * 20
    bench = KernelBench(buys, rules=rules()).feed(with_advice(script(prices), said))
    [scored] = bench.events(events.AdviceScored)
    assert (scored.score.ts_ns, scored.score.realised_bps, scored.score.brier_ppm) == (at(12), 500, 90_000)
    assert (scored.score.is_hit, scored.score.is_within) == (True, True)
    record = bench.kernel.state.advice.calibration("a-model", "entry")
    assert (record.count, record.ups, record.hits) == (1, 1, 1)


def test_advice_about_a_token_that_is_gone_came_out_as_a_loss_of_everything() -> None:
    said = advised(at(2), make_advice(horizon_s=4 * INTERVAL_NS // NS_PER_S))
    bench = KernelBench(rules=rules()).feed(with_advice(script(["1"] * 4 + [None] + ["1"] * 0), said))
    bench.feed([CycleEnd(at(number), None) for number in range(6, 30)])
    assert [each.score.realised_bps for each in bench.events(events.AdviceScored)] == [-10_000]


SAID = (
    advised(at(2), make_advice(size_scale_bps=4_000, horizon_s=1_500)),
    advised(at(3), id="asm_2", outcome="http_5xx", detail="the server answered 500"),
    advised(at(BUY_AT), id="asm_4", mint="another"),  # while an order is open
    advised(at(20), id="asm_3", mint="another", strategy=""),
)


@pytest.mark.parametrize("by_reference", [True, False])
def test_a_run_with_advice_comes_back_from_its_rows_alone(by_reference: bool) -> None:
    """A feed gives none of it: a restart and a replay have only what was written down."""
    bench = run(*SAID, by_reference=by_reference)
    feed = ScriptedFeed(script(["1"] * 30)) if by_reference else None
    other = bench.restored(feed)
    assert fingerprint(other.kernel) == fingerprint(bench.kernel)
    assert known(other) == known(bench)
    fresh = KernelBench(buys, rules=rules(), begin=False, by_reference=by_reference)
    bench.kernel.strategies = fresh.kernel.strategies = []  # a script is no state
    taken = checkpoint.taken(bench.kernel)
    checkpoint.put_back(fresh.kernel, taken)
    assert known(fresh) == known(bench)


def known(bench: KernelBench) -> tuple[Any, ...]:
    book = bench.kernel.state.advice
    return (
        book.calibrations,
        book.outcomes_seen,
        book.about(MINT, "momentum_breakout"),
        book.next_due_ns,
        book.newest,
    )


@pytest.mark.parametrize("exchange", [make_exchange(), make_exchange(outcome="timeout", detail="no answer in 8 s")])
def test_an_exchange_comes_back_from_its_row_as_it_was(exchange: Any) -> None:
    kind, body = encode_input(Advised(7, exchange), by_reference=True)
    assert decode_input(kind, 7, body) == Advised(7, exchange)


def test_a_damaged_row_is_named() -> None:
    kind, body = encode_input(Advised(7, make_exchange()), by_reference=True)
    broken: Callable[..., Any] = decode_input
    with pytest.raises(DataError, match="does not fit"):
        broken(kind, 7, {**body, "latency_ms": "soon"})
    with pytest.raises(DataError, match="does not fit"):
        broken(kind, 7, {name: value for name, value in body.items() if name != "outcome"})


def test_advice_moves_no_market_and_settles_no_order() -> None:
    """A restart shows every input to the venue: an order that is open then must still be open."""
    bench = run(prices=BUY_AT)
    [order] = bench.kernel.venue.open_orders()
    market = bench.kernel.venue._markets[MINT]  # type: ignore[attr-defined]
    market.gone_reason = "it is gone"
    assert bench.kernel.venue.on_market(advised(at(BUY_AT))) == ()
    assert list(bench.kernel.venue.open_orders()) == [order]
