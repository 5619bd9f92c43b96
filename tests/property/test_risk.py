"""The gate and the guard under any market: no exposure past a crossed limit, no buy below cost, exits always free."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.support.trading import MINT, SOL, T0, deposit, make_bounds, make_exit, make_fill, make_order

from trading.execution.simulated_venue import SimulatedVenue
from trading.model.account import TradingState
from trading.model.events import OrderFilled, OrderRejected
from trading.model.instrument import Instrument
from trading.model.market_data import Bar, CycleEnd, TokenListed
from trading.model.order import Approved, Denied, Fill, Order, Side, Verdict
from trading.model.position import token_value_lamports
from trading.model.trading_day import TradingDay
from trading.portfolio.ledger import Ledger
from trading.risk.drawdown import DrawdownGuard
from trading.risk.gate import Gate
from trading.risk.sizing import min_out
from trading.risk.views import AccountView, TokenView

EXAMPLES = settings(max_examples=150, deadline=None)
# A control needs one example, not the smallest one.
CONTROL = settings(max_examples=600, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
STEP = 300 * 10**9
BUCKETS = ("a", "b")
MOVES = st.lists(
    st.tuples(
        st.integers(-2_500, 2_500),  # move of the price, bps
        st.sampled_from(["buy", "buy", "buy_big", "sell", "hold"]),
        st.sampled_from(BUCKETS),
        st.sampled_from([1, 1, 1, 20, 100]),  # bars that pass: cooldowns end
    ),
    min_size=1,
    max_size=60,
)
Check = Callable[[Order, AccountView, TokenView], Verdict]


@dataclass
class Desk:
    """A small desk over the real venue, ledger, guard and gate: it buys whatever the gate lets it."""

    check: Check
    guard: DrawdownGuard
    venue: SimulatedVenue
    ledger: Ledger
    price: Decimal = Decimal("0.001")
    n: int = 0
    orders: int = 0

    @property
    def now_ns(self) -> int:
        return T0 + self.n * STEP

    def equity(self) -> int:
        holding = self.ledger.holding(MINT)
        value = self.venue.liquidation_lamports(MINT, holding.base_units) if holding else 0
        return self.ledger.cash_lamports + self.ledger.rent_lamports + value

    def advance(self, move_bps: int, bars: int) -> None:
        self.price = max(Decimal("0.000001"), self.price * (10_000 + move_bps) / 10_000).quantize(Decimal("1e-9"))
        self.n += bars
        # The bar opens where the last one closed: an order fills at the price at which it was decided.
        before = self.venue.mark(MINT)
        opened = before.close if before else self.price
        start = self.now_ns - STEP * bars
        bar = Bar(MINT, start, self.now_ns, opened, max(opened, self.price), min(opened, self.price), self.price,
                  Decimal(1), None, None, f"t:{self.n}")  # fmt: skip
        for report in [*self.venue.on_market(bar), *self.venue.on_market(CycleEnd(self.now_ns, None))]:
            bucket = report.order_id.split("/")[0]
            if isinstance(report, Fill):
                self.ledger.apply(OrderFilled("t", "s", bucket, report))
            else:
                self.ledger.apply(OrderRejected("t", "s", bucket, report))
        self.guard.mark(self.now_ns, self.equity())

    def views(self, order: Order) -> tuple[AccountView, TokenView]:
        holding = self.ledger.holding(MINT)
        value = self.venue.liquidation_lamports(MINT, holding.base_units) if holding else 0
        position = self.ledger.position(order.bucket, MINT)
        account = AccountView(
            self.now_ns, self.guard.state, True, self.equity(), self.ledger.cash_lamports, value,
            int(holding is not None), self.guard.drawdown_bps, self.guard.total_drawdown_bps, self.guard.day_loss_bps,
        )  # fmt: skip
        quote = self.venue.quote(MINT, order.side, order.amount_in)
        token = TokenView(
            MINT, 5, self.price, 0, quote, self.venue.pool_lamports(MINT), value, holding,
            self.ledger.losing_exit(MINT), len(self.venue.open_orders()),
            self.ledger.bucket_cash_lamports(order.bucket),
            position.base_units if position else 0, quote.rent_lamports if quote else 0, None,
        )  # fmt: skip
        return account, token

    def try_buy(self, bucket: str, lamports: int) -> tuple[Verdict, AccountView, TokenView]:
        self.orders += 1
        order = make_order(id=f"{bucket}/{self.orders}", bucket=bucket, ts_ns=self.now_ns, amount_in=lamports)
        quote = self.venue.quote(MINT, Side.BUY, lamports)
        order = replace(order, min_out=min_out(quote.amount_out, 100) if quote else 0)
        account, token = self.views(order)
        verdict = self.check(order, account, token)
        if isinstance(verdict, Approved):
            self.venue.submit(order)
        return verdict, account, token

    def try_sell(self, bucket: str) -> Verdict | None:
        position = self.ledger.position(bucket, MINT)
        if position is None or self.venue.open_orders():
            return None
        self.orders += 1
        order = make_exit(id=f"{bucket}/{self.orders}", bucket=bucket, ts_ns=self.now_ns, amount_in=position.base_units)
        account, token = self.views(order)
        verdict = self.check(order, account, token)
        if isinstance(verdict, Approved):
            self.venue.submit(order)
        return verdict


def _desk(check: Check | None = None) -> Desk:
    bounds = make_bounds()
    ledger = Ledger.folded([deposit(SOL, "a", "1"), deposit(SOL, "b", "2")])
    desk = Desk(
        check or Gate(bounds).check, DrawdownGuard(bounds.limits.drawdown, TradingDay()), SimulatedVenue(), ledger
    )
    desk.guard.flow(2 * SOL)
    desk.venue.on_market(TokenListed(T0, Instrument(MINT, "BONK", 5, pool_lamports_default=500 * SOL), "t"))
    desk.advance(0, 1)
    return desk


Moves = list[tuple[int, str, str, int]]


def _holds_everywhere(check: Check | None, examples: settings) -> None:
    """Trade through the moves and watch every promise at every step."""

    @examples
    @given(MOVES)
    def trade(moves: Moves) -> None:
        desk = _desk(check)
        for move_bps, action, bucket, bars in moves:
            desk.advance(move_bps, bars)
            if action in ("buy", "buy_big"):
                lamports = SOL // 5 if action == "buy" else SOL
                verdict, account, token = desk.try_buy(bucket, lamports)
                if isinstance(verdict, Approved):
                    _assert_may_have_bought(desk, account, token, lamports)
            elif action == "sell":
                verdict_out = desk.try_sell(bucket)
                assert verdict_out is None or isinstance(verdict_out, Approved)

    trade()


def _assert_may_have_bought(desk: Desk, account: AccountView, token: TokenView, lamports: int) -> None:
    limits = make_bounds().limits
    assert account.state is TradingState.ACTIVE
    assert account.drawdown_bps <= limits.drawdown_reducing_bps
    assert account.total_drawdown_bps <= limits.drawdown_halted_bps
    assert token.exposure_lamports + lamports <= account.equity_lamports * limits.token_exposure_bps_max // 10_000
    if token.holding is not None:
        assert token_value_lamports(token.holding.base_units, desk.price, 5) >= token.holding.cost_lamports
    loss = token.losing_exit
    if loss is not None:
        waited_ns = desk.now_ns - loss.ts_ns
        assert waited_ns >= limits.cooldown_s * 10**9
        exit_price = Decimal(loss.lamports) / loss.base_units * 10**5 / SOL
        assert desk.price >= exit_price or waited_ns >= limits.reentry_s * 10**9
    left = desk.ledger.cash_lamports - lamports - 25_000 - token.rent_lamports
    assert left >= limits.exit_reserve_lamports


@pytest.mark.requirement("T5")
def test_no_approved_order_adds_to_a_loser_or_adds_exposure_past_a_crossed_limit() -> None:
    _holds_everywhere(None, EXAMPLES)


def _without(*names: str) -> Check:
    """A control: a gate that lost these limits."""
    gate = Gate(make_bounds())

    def check(order: Order, account: AccountView, token: TokenView) -> Verdict:
        if "state" in names:
            account = replace(account, state=TradingState.ACTIVE)
        verdict = gate.check(order, account, token)
        if isinstance(verdict, Denied) and verdict.reason in names:
            broken = [measure.name for measure in gate.measures(order, account, token) if measure.is_broken]
            if set(broken) <= set(names):
                return Approved()
        return verdict

    return check


@pytest.mark.parametrize(
    "lost",
    [
        ("average_cost",),
        ("cooldown_s", "reentry_s"),
        ("state", "drawdown_bps", "total_drawdown_bps", "day_loss_bps", "average_cost", "cooldown_s", "reentry_s"),
        (
            *("order_lamports", "token_exposure_lamports", "total_exposure_lamports"),
            *("gap_token_lamports", "gap_joint_lamports"),
        ),
    ],
)
def test_control_a_gate_that_lost_a_limit_is_caught(lost: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError):
        _holds_everywhere(_without(*lost), CONTROL)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4 * SOL), st.integers(0, 90_000), st.integers(-SOL, SOL)), min_size=1, max_size=40
    )
)
def test_the_state_never_softens_by_itself_past_a_halt_and_flows_trip_nothing(
    marks: list[tuple[int, int, int]],
) -> None:
    guard = DrawdownGuard(make_bounds().limits.drawdown, TradingDay())
    guard.flow(2 * SOL)
    ts_ns, halted = T0, False
    for equity, seconds, flow in marks:
        ts_ns += seconds * 10**9
        state = guard.mark(ts_ns, equity)
        assert not halted or state is TradingState.HALTED
        halted = state is TradingState.HALTED
        assert halted or guard.total_drawdown_bps <= 2_500
        if equity > 0 and equity + flow > 0:
            before = (guard.total_drawdown_bps, guard.drawdown_bps, guard.day_loss_bps)
            guard.flow(flow)
            after = (guard.total_drawdown_bps, guard.drawdown_bps, guard.day_loss_bps)
            assert all(now <= was for was, now in zip(before, after, strict=True))
            assert guard.mark(ts_ns, equity + flow) is state


def test_a_fill_used_by_these_tests_is_one_that_the_ledger_books() -> None:
    assert Ledger.folded([deposit(SOL), OrderFilled("t", "s", "a", make_fill())]).holding(MINT) is not None
