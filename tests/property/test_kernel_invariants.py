"""Whatever the market, the strategies and the operator do: the invariants hold, and a checker that looks for breaches
finds them where a reckless desk makes some."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doubles.kernel_bench import KernelBench, catch_up, cycles_of, fingerprint, profile, stored
from tests.doubles.scripted_market import MINT, SOL_USD, ScriptedFeed, bar, merged, script

from trading.engine import checkpoint
from trading.engine.quiet import Quiet
from trading.engine.trader import Trader
from trading.engine.valuation import Valuer
from trading.errors import InvalidInput
from trading.model import commands, events
from trading.model.account import Level, TradingState
from trading.model.market_data import Bar, CycleEnd, MarketEvent, TokenGone
from trading.model.order import Approved, Order, Side, Verdict
from trading.model.profile import Profile
from trading.portfolio.ledger import Ledger
from trading.risk.gate import Gate
from trading.risk.views import AccountView, TokenView

OTHER = "sim:BBB"
BUCKET = "momentum_breakout"
LEDGER = (
    events.CapitalDeposited
    | events.CapitalWithdrawn
    | events.CapitalMoved
    | events.OrderFilled
    | events.OrderRejected
    | events.PositionWrittenOff
)


LEVELS = st.sampled_from(["wallet:main", "bucket:momentum_breakout", "strategy:momentum_breakout", "bucket:manual"])


class RecklessGate(Gate):
    """Approves whatever it is asked."""

    def check(self, order: Order, account: AccountView, token: TokenView) -> Verdict:
        return Approved()


class RecklessValuer(Valuer):
    def gate(self) -> Gate:
        return RecklessGate(self.bounds())


def rules() -> Profile:
    wanted = profile(
        drawdown_reducing_bps=200,
        drawdown_halted_bps=500,
        wallet_drawdown_reducing_bps=180,
        wallet_drawdown_halted_bps=450,
        bucket_drawdown_reducing_bps=150,
        bucket_drawdown_halted_bps=600,
        strategy_drawdown_reducing_bps=120,
        strategy_drawdown_halted_bps=550,
        order_bps_max=4_000,
        token_exposure_bps_max=9_000,
        total_exposure_bps_max=9_500,
        gap_token_bps_max=10_000,
        gap_joint_bps_max=10_000,
        edge_over_cost_bps_min=0,
        slippage_bps_max=10_000,  # orders by hand ask for nothing back, and must get as far as the venue
        reducing_s=1_800,
        cooldown_s=600,
        reentry_s=1_800,
        protections=(),  # held by a property test of their own
        cvar_bps_max=10_000,
    )
    return wanted.model_copy(
        update={"sizing": wanted.sizing.model_copy(update={"probe_bps": 3_500, "volatility_target_bps": 10_000})}
    )


def paths() -> st.SearchStrategy[list[MarketEvent]]:
    """Two tokens with jumps of up to 12 %; one of them may vanish."""
    moves = st.lists(st.integers(-1_200, 1_200), min_size=12, max_size=40)

    def walk(jumps: Sequence[int], gone_at: int | None) -> list[Decimal | None]:
        price, found = Decimal(1), []
        for number, jump in enumerate(jumps):
            price = (price * (10_000 + jump) / 10_000).quantize(Decimal("0.000001"))
            found.append(None if gone_at is not None and number >= gone_at else price)
        return found

    def market(one: Sequence[int], two: Sequence[int], gone_at: int | None) -> list[MarketEvent]:
        gone = list(script(walk(two, gone_at), mint=OTHER))
        first_gone = next((event for event in gone if isinstance(event, TokenGone)), None)
        once = [event for event in gone if not isinstance(event, TokenGone) or event is first_gone]
        return merged(script(walk(one, None)), once)

    return st.builds(market, moves, moves, st.none() | st.integers(3, 30))


def opinions() -> st.SearchStrategy[dict[tuple[str, int], float]]:
    keys = st.tuples(st.sampled_from([MINT, OTHER]), st.integers(1, 40))
    return st.dictionaries(keys, st.sampled_from([1.0, 0.6, -1.0]), min_size=10, max_size=60)


def orders() -> st.SearchStrategy[dict[int, commands.Command]]:
    purchase = st.builds(
        commands.PlaceOrder,
        st.uuids().map(str),
        st.just("o"),
        st.just("by hand"),
        st.just(Side.BUY),
        st.sampled_from([MINT, OTHER]),
        st.sampled_from(["manual", "momentum_breakout"]),
        st.just("manual"),
        st.sampled_from([10**8, 10**9, 2 * 10**9, 4 * 10**9]),
        st.just(0),
    )
    one = st.one_of(
        purchase,
        purchase,
        st.builds(commands.Deposit, st.uuids().map(str), st.just("o"), st.just("in"), st.integers(1, 10**10)),
        st.builds(commands.Withdraw, st.uuids().map(str), st.just("o"), st.just("out"), st.integers(1, 10**10)),
        st.builds(
            commands.PlaceOrder,
            st.uuids().map(str),
            st.just("o"),
            st.just("by hand"),
            st.sampled_from(Side),
            st.sampled_from([MINT, OTHER]),
            st.just("manual"),
            st.just("manual"),
            st.integers(10**7, 4 * 10**9),
            st.just(0),
        ),
        st.builds(
            commands.ClosePosition,
            st.just("c"),
            st.just("o"),
            st.just("close"),
            st.sampled_from([MINT, OTHER]),
            st.integers(1, 100),
        ),
        st.just(commands.StopEntries("s", "o", "stop")),
        st.just(commands.ReduceOnly("r", "o", "reduce")),
        st.just(commands.FlattenAndHalt("f", "o", "halt")),
        st.just(commands.Resume("g", "o", "go on")),
        st.builds(commands.ReduceOnly, st.just("r"), st.just("o"), st.just("reduce"), level=LEVELS),
        st.builds(commands.FlattenAndHalt, st.just("f"), st.just("o"), st.just("halt"), level=LEVELS),
        st.builds(commands.Resume, st.just("g"), st.just("o"), st.just("go on"), level=LEVELS),
    )
    return st.dictionaries(st.integers(1, 30), one, max_size=10)


def run(
    market: list[MarketEvent], said: dict[tuple[str, int], float], hand: dict[int, commands.Command]
) -> KernelBench:
    bench = bench_of(said)
    drive(bench, market, hand)
    return bench


def bench_of(said: dict[tuple[str, int], float]) -> KernelBench:
    counter: dict[str, int] = {}

    def opinion(bar: Bar) -> float | None:
        counter[bar.mint] = counter.get(bar.mint, 0) + 1
        return said.get((bar.mint, counter[bar.mint]))

    return KernelBench(opinion, rules=rules())


def drive(bench: KernelBench, market: list[MarketEvent], hand: dict[int, commands.Command]) -> None:
    for number, cycle in enumerate(cycles_of(market), 1):
        bench.feed(cycle)
        if number in hand:
            try:
                bench.control.take(hand[number])
            except InvalidInput:
                continue
    bench.journal.commit()


def breaches(bench: KernelBench, market: list[MarketEvent]) -> list[str]:
    """Fold the journal's facts anew, apart from the kernel, and say where an invariant is broken."""
    found: list[str] = []
    closes: dict[int, dict[str, Decimal]] = {}
    newest: dict[str, Decimal] = {}
    gone: set[str] = set()
    for event in market:
        if isinstance(event, Bar):
            newest[event.mint] = event.close
        elif not isinstance(event, TokenGone):
            closes[event.ts_ns] = dict(newest)
        else:
            gone.add(event.mint)
    ledger, approved, on_sale = Ledger(), set[str](), set[str]()
    is_active, entries = True, True
    levels: dict[tuple[Level, str], bool] = {}
    for event in bench.events():
        if isinstance(event, LEDGER):
            if isinstance(event, events.OrderFilled) and event.fill.order_id not in approved:
                found.append(f"order {event.fill.order_id} was filled and never approved")
            on_sale.discard(_order_id(event))
            found += _below_average(event, ledger)
            ledger.apply(event)
            ledger.verify()
            found += _of_buckets(event, ledger)
        elif isinstance(event, events.TradingStateChanged):
            is_active, entries = event.after is TradingState.ACTIVE, event.entries_allowed
        elif isinstance(event, events.LevelStateChanged):
            levels[event.level, event.name] = event.after is TradingState.ACTIVE
        elif isinstance(event, events.OrderApproved):
            approved.add(event.order.id)
            if event.order.side is Side.SELL:
                on_sale.add(event.order.id)
            places = (Level.WALLET, "main"), (Level.BUCKET, event.order.bucket), (Level.STRATEGY, event.order.strategy)
            may_enter = is_active and entries and all(levels.get(place, True) for place in places)
            found += _of_order(event.order, ledger, closes, is_active=may_enter)
    return found


def _order_id(event: Any) -> str:
    return str(getattr(getattr(event, "fill", None) or getattr(event, "rejected", None), "order_id", ""))


def _of_buckets(event: Any, ledger: Ledger) -> list[str]:
    """A purchase is paid by its own bucket, and leaves the wallet what the exits of all tokens need."""
    if not isinstance(event, events.OrderFilled) or event.fill.side is not Side.BUY:
        return []
    found: list[str] = []
    if ledger.bucket_cash_lamports(event.bucket) < 0:
        found.append(f"order {event.fill.order_id} spends what bucket {event.bucket} does not have")
    if ledger.cash_lamports < rules().limits.exit_reserve_lamports * len(ledger.held_mints()):
        found.append(f"order {event.fill.order_id} spends the reserve for exits")
    return found


def _of_order(order: Order, ledger: Ledger, closes: dict[int, dict[str, Decimal]], *, is_active: bool) -> list[str]:
    if order.side is not Side.BUY:
        return []
    found: list[str] = []
    if not is_active:
        found.append(f"order {order.id} adds exposure while the desk only reduces")
    holding = ledger.holding(order.mint)
    price = closes[order.ts_ns][order.mint]
    if holding is not None and holding.value_lamports(price, 6) < holding.cost_lamports:
        found.append(f"order {order.id} adds to a loser")
    loss = ledger.losing_exit(order.mint)
    found += _of_addition(order, ledger, price)
    if loss is not None:
        waited_s, limits = (order.ts_ns - loss.ts_ns) // 10**9, rules().limits
        if waited_s < limits.cooldown_s or (waited_s < limits.reentry_s and loss.is_above(price, 6)):
            found.append(f"order {order.id} enters again {waited_s} s after a loss")
    return found


def _of_addition(order: Order, ledger: Ledger, price: Decimal) -> list[str]:
    """A strategy adds to its own position only above its cost by the step, less each time, and not too often."""
    position, limits = ledger.position(order.bucket, order.mint), rules().limits
    if position is None or order.reason.startswith("o: "):  # by hand
        return []
    found: list[str] = []
    if position.buys > limits.adds_max:
        found.append(f"order {order.id} is addition {position.buys} of {limits.adds_max}")
    if position.value_lamports(price, 6) * 10_000 < position.cost_lamports * (10_000 + limits.add_step_bps):
        found.append(f"order {order.id} is less than a step above the cost")
    if order.amount_in * 10_000 > position.last_buy_lamports * limits.add_size_bps_max:
        found.append(f"order {order.id} is not smaller than the purchase before it")
    return found


def _below_average(event: object, ledger: Ledger) -> list[str]:
    """Name a buy that filled, fees included, below the average cost of what was held."""
    if not isinstance(event, events.OrderFilled) or event.fill.side is Side.SELL:
        return []
    fill, held = event.fill, ledger.holding(event.fill.mint)
    paid = fill.lamports + fill.network_fee_lamports + fill.priority_fee_lamports
    if held is None or paid * held.base_units >= held.cost_lamports * fill.base_units:
        return []
    return [f"order {fill.order_id} was filled below the average cost"]


SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.requirement("T5")
@pytest.mark.requirement("T7")
@pytest.mark.requirement("T8")
@SETTINGS
@given(paths(), opinions(), orders())
def test_no_market_no_strategy_and_no_operator_breaks_an_invariant(
    market: list[MarketEvent], said: dict[tuple[str, int], float], hand: dict[int, commands.Command]
) -> None:
    bench = run(market, said, hand)
    assert breaches(bench, market) == []
    state = bench.kernel.state
    assert sum(bucket.cash_lamports for bucket in state.ledger.buckets.values()) == state.ledger.cash_lamports >= 0


@SETTINGS
@given(paths(), opinions(), orders(), st.data())
def test_a_desk_killed_at_any_row_comes_back_as_it_was(
    market: list[MarketEvent],
    said: dict[tuple[str, int], float],
    hand: dict[int, commands.Command],
    data: st.DataObject,
) -> None:
    whole = run(market, said, hand)
    cycles = cycles_of(market)
    stop = data.draw(st.integers(1, len(cycles)))
    first = bench_of(said)
    drive(first, [event for cycle in cycles[:stop] for event in cycle], hand)
    again = bench_of(said)
    resumed = again.__class__(again.opinion, rules=rules(), journal=first.journal, begin=False)
    resumed.kernel.restore(_stored(first), ScriptedFeed(market).events())
    catch_up(resumed.kernel, ScriptedFeed(market), stop)
    assert fingerprint(resumed.kernel) == fingerprint(first.kernel)
    later = {number - stop: command for number, command in hand.items() if number > stop}
    drive(resumed, [event for cycle in cycles[stop:] for event in cycle], later)
    assert resumed.journal.sha256() == whole.journal.sha256()


def gentle() -> st.SearchStrategy[list[MarketEvent]]:
    """One token that moves little, so that most cycles are quiet, past every exit rule's bound now and then."""
    moves = st.lists(st.integers(-60, 60) | st.integers(-700, 900), min_size=30, max_size=120)

    def market(jumps: Sequence[int]) -> list[MarketEvent]:
        price, found = Decimal(1), []
        for jump in jumps:
            price = (price * (10_000 + jump) / 10_000).quantize(Decimal("0.000001"))
            found.append(price)
        return script(found)

    return st.builds(market, moves)


@pytest.mark.requirement("T1")
@SETTINGS
@given(gentle(), opinions(), orders())
def test_a_quiet_cycle_is_one_in_which_a_whole_decision_would_have_done_nothing(
    market: list[MarketEvent], said: dict[tuple[str, int], float], hand: dict[int, commands.Command]
) -> None:
    quick, whole = bench_of(said), bench_of(said)
    whole.kernel.quiet.holds = lambda _cycle: False  # type: ignore[method-assign]
    for bench in (quick, whole):
        drive(bench, market, hand)
    assert quick.journal.sha256() == whole.journal.sha256()
    memento = checkpoint._memento()
    for bench in (quick, whole):
        bench.kernel.levels.refresh()
    assert memento.encode(quick.kernel.state) == memento.encode(whole.kernel.state)


def _stored(bench: KernelBench) -> Any:
    bench.journal.commit()
    return list(stored(bench.journal))


def test_the_checker_catches_a_desk_that_adds_to_losers_and_buys_while_it_must_reduce() -> None:
    prices = [
        Decimal(1),
        Decimal(1),
        Decimal("0.97"),
        Decimal("0.96"),
        Decimal("0.90"),
        Decimal("0.80"),
        Decimal("0.7"),
    ]
    market = script(prices)
    bench = bench_of({(MINT, number): 1.0 for number in range(1, 8)})
    kernel = bench.kernel
    kernel.valuer = RecklessValuer(kernel.state, kernel.venue)
    kernel.trader = Trader("scope", kernel.state, kernel.venue, kernel.valuer, kernel.emit)
    kernel.quiet = Quiet(kernel.state, kernel.valuer, kernel.trader, kernel.levels, by_reference=True)
    for event in market:
        kernel.on_event(event)
    for number in range(3):
        kernel.trader.place(
            commands.PlaceOrder(f"{number}", "o", "reckless", Side.BUY, MINT, BUCKET, BUCKET, 10**8, 0),
            kernel.valuer.value(),
        )
    found = breaches(bench, market)
    assert any("adds to a loser" in each for each in found)
    assert any("only reduces" in each for each in found)


def gapped() -> st.SearchStrategy[list[MarketEvent]]:
    """One token that opens elsewhere than it closed, by up to 5 %, and mostly rises, so that strategies add to it."""
    moves = st.lists(st.tuples(st.integers(-100, 300), st.integers(-500, 200)), min_size=8, max_size=30)

    def market(jumps: Sequence[tuple[int, int]]) -> list[MarketEvent]:
        close, found = Decimal(1), list[MarketEvent](script([Decimal(1)]))
        for number, (jump, gap) in enumerate(jumps, 2):
            opens = (close * (10_000 + gap) / 10_000).quantize(Decimal("0.000001"))
            close = (close * (10_000 + jump) / 10_000).quantize(Decimal("0.000001"))
            seen = bar(number, close, opens=opens)
            found += [seen, CycleEnd(seen.ts_close_ns, SOL_USD)]
        return found

    return st.builds(market, moves)


ADDING = {(MINT, number): 0.6 for number in range(1, 40)}


@pytest.mark.requirement("T5")
@SETTINGS
@given(gapped(), orders())
def test_no_buy_fills_below_the_average_cost_of_what_is_held(
    market: list[MarketEvent], hand: dict[int, commands.Command]
) -> None:
    assert breaches(run(market, ADDING, hand), market) == []


@pytest.mark.requirement("T5")
def test_a_winner_is_added_to_as_often_as_allowed_each_time_with_less() -> None:
    market = script([Decimal(100 + 3 * number) / 100 for number in range(6)])
    bench = bench_of(ADDING)
    bench.feed(market)
    assert breaches(bench, market) == []
    bought = [each.order.amount_in for each in bench.events(events.OrderApproved) if each.order.side is Side.BUY]
    assert len(bought) == 1 + rules().limits.adds_max
    assert all(after <= before // 2 for before, after in pairwise(bought))
    denied = {each.denied.reason for each in bench.events(events.OrderDenied)}
    assert "adds" in denied


def test_the_checker_catches_additions_that_are_too_many_too_early_and_too_large() -> None:
    market = script([Decimal(1), Decimal(1)])
    bench = bench_of({(MINT, 1): 1.0})
    drive(bench, market, {})
    ledger = bench.kernel.state.ledger
    [approved] = bench.events(events.OrderApproved)
    [bought] = bench.events(events.OrderFilled)
    parts = (bought.fill.lamports // 4, bought.fill.base_units // 4)
    for number in range(rules().limits.adds_max):
        part = replace(bought.fill, order_id=f"part {number}", lamports=parts[0], base_units=parts[1], rent_lamports=0)
        ledger.apply(replace(bought, fill=part))
    position = ledger.position("momentum_breakout", MINT)
    assert position is not None
    told = " ".join(_of_addition(approved.order, ledger, Decimal("1.01")))
    for word in (f"is addition {position.buys} of 2", "less than a step above", "not smaller than the purchase"):
        assert word in told
    by_hand = replace(approved.order, reason="o: by hand")
    assert _of_addition(by_hand, ledger, Decimal("1.01")) == []


@pytest.mark.requirement("T5")
@SETTINGS
@given(paths(), opinions(), orders(), st.integers(300, 3_000))
def test_no_position_outlives_its_profiles_maximum_holding_time_while_its_pool_can_be_sold(
    market: list[MarketEvent], said: dict[tuple[str, int], float], hand: dict[int, commands.Command], most_s: int
) -> None:
    wanted = rules()
    wanted = wanted.model_copy(update={"exits": wanted.exits.model_copy(update={"holding_s_max": most_s})})
    counter: dict[str, int] = {}

    def opinion(seen: Bar) -> float | None:
        counter[seen.mint] = counter.get(seen.mint, 0) + 1
        return said.get((seen.mint, counter[seen.mint]))

    bench = KernelBench(opinion, rules=wanted)
    assert overdue(bench, market, hand, most_s) == []


def overdue(bench: KernelBench, market: list[MarketEvent], hand: dict[int, commands.Command], most_s: int) -> list[str]:
    """Return the positions that were too old at the end of a cycle and not on sale, though somebody would buy."""
    found: list[str] = []
    state, venue = bench.kernel.state, bench.kernel.venue
    for number, cycle in enumerate(cycles_of(market), 1):
        bench.feed(cycle)
        for position in state.ledger.positions():
            age_s = (state.now_ns - position.opened_ns) // 10**9
            left = position.base_units - state.units_on_sale(position.bucket, position.mint)
            if age_s >= most_s and left and venue.liquidation_lamports(position.mint, left):
                found.append(f"{position.mint} is {age_s} s old at cycle {number}")
        if number in hand:
            with suppress(InvalidInput):
                bench.control.take(hand[number])
    return found


def test_the_checker_catches_a_desk_that_holds_for_too_long() -> None:
    market = script([Decimal(1)] * 12)
    assert overdue(bench_of({(MINT, 1): 1.0}), market, {}, 1_800) != []


def test_a_buy_whose_price_falls_between_decision_and_fill_is_refused_and_pays_its_fees() -> None:
    market = list[MarketEvent](script([Decimal(1), Decimal(1), Decimal("1.03")]))
    seen = bar(4, Decimal("1.03"), opens=Decimal("0.9"))
    market += [seen, CycleEnd(seen.ts_close_ns, SOL_USD)]
    bench = run(market, {(MINT, 1): 0.5, (MINT, 3): 0.5}, {})
    [rejected] = [each.rejected for each in bench.events(events.OrderRejected)]
    assert rejected.reason == "below_average_cost"
    assert rejected.charged_lamports == 5_000 + rules().priority_fee_lamports
    assert bench.kernel.state.ledger.costs.failed_lamports == rejected.charged_lamports


def test_the_checker_catches_a_venue_that_fills_below_the_average_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Order, "is_below_average", lambda *_: False)
    market = list[MarketEvent](script([Decimal(1), Decimal(1), Decimal("1.03")]))
    seen = bar(4, Decimal("1.03"), opens=Decimal("0.9"))
    market += [seen, CycleEnd(seen.ts_close_ns, SOL_USD)]
    bench = run(market, {(MINT, 1): 0.5, (MINT, 3): 0.5}, {})
    assert any("below the average" in each for each in breaches(bench, market))


def test_the_checker_catches_a_fill_that_nobody_approved() -> None:
    market = script([Decimal(1), Decimal(1)])
    bench = bench_of({(MINT, 1): 1.0})
    drive(bench, market, {})
    [filled] = bench.events(events.OrderFilled)
    bench.kernel.emit(events.OrderFilled("t", "s", "momentum_breakout", _renamed(filled)))
    assert any("never approved" in each for each in breaches(bench, market))


def _renamed(filled: events.OrderFilled) -> Any:
    return replace(filled.fill, order_id="ord_of_nobody", rent_lamports=0)
