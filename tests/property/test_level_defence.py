"""Past a drawdown limit of any level nothing is bought there, and what is held is on its way out within the same event.

The checker keeps peaks of its own for the account, each wallet and each bucket: it reads the ledger, the venue and the
rows, and asks no guard.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doubles.kernel_bench import KernelBench, catch_up, cycles_of, fingerprint, profile, stored
from tests.doubles.scripted_market import MINT, ScriptedFeed, merged, script

from trading.engine.kernel import Kernel
from trading.engine.level_keeper import LevelKeeper
from trading.errors import InvalidInput
from trading.model import commands, events
from trading.model.account import Level, TradingState
from trading.model.event_codec import KINDS, decode
from trading.model.market_data import Bar, CycleEnd, MarketEvent
from trading.model.order import Order, Side
from trading.model.profile import Profile
from trading.risk.levels import WALLET, LevelBook

OTHER = "sim:BBB"
OWN, MANUAL = "momentum_breakout", "manual"
HALTED_BPS = {"account": 900, "wallet": 800, "bucket": 500, "strategy": 400}
SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
Place = tuple[str, str]


def rules() -> Profile:
    drawdowns = {f"{level}_drawdown_halted_bps": HALTED_BPS[level] for level in Level}
    drawdowns |= {f"{level}_drawdown_reducing_bps": HALTED_BPS[level] // 2 for level in Level}
    wanted = profile(
        **drawdowns,
        drawdown_reducing_bps=HALTED_BPS["account"] // 2,
        drawdown_halted_bps=HALTED_BPS["account"],
        day_loss_bps_max=10_000,
        order_bps_max=4_000,
        token_exposure_bps_max=9_000,
        total_exposure_bps_max=9_500,
        gap_token_bps_max=10_000,
        gap_joint_bps_max=10_000,
        edge_over_cost_bps_min=0,
        slippage_bps_max=10_000,
        reducing_s=1_800,
        cooldown_s=0,
        reentry_s=0,
        cvar_bps_max=10_000,
        protections=(),
    )
    exits = wanted.exits.model_copy(update={"stop_loss_bps": 0, "trailing_stop_bps": 0, "take_profit_bps": 0})
    sizing = wanted.sizing.model_copy(update={"probe_bps": 3_500, "volatility_target_bps": 10_000})
    return wanted.model_copy(update={"exits": exits, "sizing": sizing})


def markets() -> st.SearchStrategy[list[MarketEvent]]:
    moves = st.lists(st.integers(-600, 450), min_size=15, max_size=35)

    def walk(jumps: list[int]) -> list[Decimal | None]:
        price, found = Decimal(1), list[Decimal | None]()
        for jump in jumps:
            price = (price * (10_000 + jump) / 10_000).quantize(Decimal("0.000001"))
            found.append(price)
        return found

    return st.builds(lambda one, two: merged(script(walk(one)), script(walk(two), mint=OTHER)), moves, moves)


def hands() -> st.SearchStrategy[dict[int, commands.Command]]:
    """Somebody buys in both buckets, moves money in, out and between them, and resumes what was halted."""
    keys, amounts = st.uuids().map(str), st.integers(10**8, 3 * 10**9)
    buys = st.builds(
        commands.PlaceOrder, keys, st.just("o"), st.just("by hand"), st.just(Side.BUY), st.sampled_from([MINT, OTHER]),
        st.sampled_from([OWN, MANUAL]), st.just(MANUAL), amounts, st.just(0),
    )  # fmt: skip
    one = st.one_of(
        buys,
        buys,
        st.builds(commands.Deposit, keys, st.just("o"), st.just("in"), amounts),
        st.builds(commands.Withdraw, keys, st.just("o"), st.just("out"), amounts),
        st.builds(commands.MoveCapital, keys, st.just("o"), st.just("over"), st.just(OWN), st.just(MANUAL), amounts),
        st.builds(commands.Resume, keys, st.just("o"), st.just("go on")),
        st.builds(commands.Resume, keys, st.just("o"), st.just("go on"), st.just(f"bucket:{OWN}")),
    )
    return st.dictionaries(st.integers(1, 30), one, max_size=10)


def talkative(bar: Bar) -> float | None:
    return 1.0 if int(bar.close * 10**6) % 3 else None


@dataclass
class Checker:
    """Follows a run cycle by cycle."""

    worth: dict[Place, int] = field(default_factory=dict)
    peaks: dict[Place, int] = field(default_factory=dict)
    states: dict[Place, TradingState] = field(default_factory=dict)
    read: int = 0
    found: list[str] = field(default_factory=list)

    def look(self, bench: KernelBench) -> None:
        """Take what was written since; called after every end of a cycle, and after every command."""
        bench.journal.commit()
        rows = [row for row in stored(bench.journal) if row.kind in KINDS]
        for row in rows[self.read :]:
            self._take(decode(row.kind, row.body))
        self.read = len(rows)

    def _take(self, event: Any) -> None:
        if isinstance(event, events.CapitalDeposited | events.CapitalWithdrawn):
            sign = 1 if isinstance(event, events.CapitalDeposited) else -1
            for place in (("account", ""), ("wallet", WALLET), ("bucket", event.bucket)):
                self._flow(place, sign * event.lamports)
        elif isinstance(event, events.CapitalMoved):
            self._flow(("bucket", event.from_bucket), -event.lamports)
            self._flow(("bucket", event.to_bucket), event.lamports)
        elif isinstance(event, events.LevelStateChanged):
            self.states[event.level.value, event.name] = event.after
        elif isinstance(event, events.TradingStateChanged):
            self.states["account", ""] = event.after
        elif isinstance(event, commands.Resume):
            for place in self.worth:
                if not event.level or event.level == ":".join(place):
                    self.peaks[place] = self.worth[place]
        elif isinstance(event, events.OrderApproved) and event.order.side is Side.BUY:
            shut = [place for place in places(event.order) if self.state(place) is not TradingState.ACTIVE]
            self.found += [f"{event.order.id} buys where {place} is {self.state(place)}" for place in shut]

    def state(self, place: Place) -> TradingState:
        return self.states.get(place, TradingState.ACTIVE)

    def mark(self, kernel: Kernel) -> None:
        """Take what everything is worth at the end of a cycle, and say what the desk should have done by now."""
        ledger, valuer = kernel.state.ledger, kernel.valuer
        valuation = valuer.value()
        worth = {("account", ""): valuation.equity_lamports, ("wallet", WALLET): valuation.equity_lamports}
        for bucket in ledger.buckets.values():
            held = sum(valuer.position_lamports(each, valuation) for each in bucket.positions.values())
            worth["bucket", bucket.name] = bucket.cash_lamports + bucket.rent_lamports + held
        for place, lamports in worth.items():
            peak = self.peaks[place] = max(self.peaks.get(place, 0), lamports)
            is_past = (peak - lamports) * 10_000 > HALTED_BPS[place[0]] * peak
            if is_past and self.state(place) is not TradingState.HALTED:
                self.found.append(f"{place} is worth {lamports} of {peak} and {self.state(place)}")
        self.worth = worth
        for position in ledger.positions():
            left = position.base_units - kernel.state.units_on_sale(position.bucket, position.mint)
            quote = kernel.venue.quote(position.mint, Side.SELL, left) if left else None
            if quote is None or quote.amount_out == 0:
                continue
            for place in places(position):
                if self.state(place) is not TradingState.ACTIVE:
                    self.found.append(f"{position.mint} stays in {place}, which is {self.state(place)}")

    def _flow(self, place: Place, lamports: int) -> None:
        before = self.worth.get(place, 0)
        after, peak = before + lamports, self.peaks.get(place, 0)
        self.peaks[place] = peak * after // before if before > 0 and after > 0 else max(0, after)
        self.worth[place] = after


def places(what: Any) -> list[Place]:
    return [("account", ""), ("wallet", WALLET), ("bucket", what.bucket), ("strategy", what.strategy)]


def drive(
    bench: KernelBench, checker: Checker, market: list[MarketEvent], hand: dict[int, commands.Command], first: int = 1
) -> list[str]:
    checker.look(bench)
    for number, cycle in enumerate(cycles_of(market), first):
        for event in cycle:
            bench.feed([event])
            if isinstance(event, CycleEnd):
                checker.look(bench)
                checker.mark(bench.kernel)
        if number in hand:
            try:
                bench.control.take(hand[number])
            except InvalidInput:
                continue
            checker.look(bench)
    return checker.found


def fresh(**given: Any) -> KernelBench:
    return KernelBench(talkative, rules=rules(), **given)


@pytest.mark.requirement("T7")
@SETTINGS
@given(markets(), hands())
def test_past_a_limit_of_any_level_nothing_is_bought_there_and_all_of_it_is_sold_in_that_event(
    market: list[MarketEvent], hand: dict[int, commands.Command]
) -> None:
    assert drive(fresh(), Checker(), market, hand) == []


@pytest.mark.requirement("T7")
@SETTINGS
@given(markets(), hands(), st.data())
def test_it_is_the_same_after_a_restore_and_the_rows_are_the_same_bytes(
    market: list[MarketEvent], hand: dict[int, commands.Command], data: st.DataObject
) -> None:
    whole, checker = fresh(), Checker()
    drive(whole, Checker(), market, hand)
    cycles = cycles_of(market)
    stop = data.draw(st.integers(1, len(cycles)))
    first = fresh()
    drive(first, checker, [event for cycle in cycles[:stop] for event in cycle], hand)
    again = fresh(journal=first.journal, begin=False)
    again.kernel.restore(stored(first.journal), ScriptedFeed(market).events())
    catch_up(again.kernel, ScriptedFeed(market), stop)
    assert fingerprint(again.kernel) == fingerprint(first.kernel)
    rest = [event for cycle in cycles[stop:] for event in cycle]
    assert drive(again, checker, rest, hand, stop + 1) == []
    assert again.journal.sha256() == whole.journal.sha256()


def crash() -> list[MarketEvent]:
    """Two tokens rise a little and then fall, so that strategies buy and every level crosses its limits."""
    prices = [Decimal(1000 + number) / 1000 for number in range(6)]
    prices += [Decimal(1005 - 25 * number) / 1000 for number in range(1, 14)]
    return merged(script(prices), script(prices, mint=OTHER))


def test_a_crash_takes_every_level_past_its_limits() -> None:
    checker = Checker()
    assert drive(fresh(), checker, crash(), {}) == []
    changed = {place[0] for place, state in checker.states.items()}
    assert changed >= {"bucket", "strategy"}


LOST = {
    "stays in": (LevelBook, "selling", lambda *_: None),
    "buys where": (LevelBook, "held", lambda *_: None),
    "is worth": (LevelKeeper, "tell", lambda *_: None),
}


@pytest.mark.parametrize("said", LOST)
def test_the_checker_catches_a_desk_that_lost_a_part_of_the_defence(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, lost = LOST[said]
    monkeypatch.setattr(owner, name, lost)
    order = commands.PlaceOrder("k", "o", "by hand", Side.BUY, OTHER, OWN, OWN, 10**8, 0)
    hand: dict[int, commands.Command] = dict.fromkeys(range(8, 18), order)
    found = drive(fresh(), Checker(), crash(), hand)
    assert any(said in each for each in found)


def test_orders_name_the_levels_that_they_belong_to() -> None:
    bench = fresh().feed(crash())
    order: Order = bench.events(events.OrderApproved)[0].order
    assert places(order) == [("account", ""), ("wallet", WALLET), ("bucket", OWN), ("strategy", OWN)]
