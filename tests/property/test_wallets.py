"""Random disorder over three wallets: nothing is promised twice, lost or made, to the unit, and rows bring all back."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.doubles.kernel_bench import KernelBench, levels_of, profile, stored
from tests.doubles.scripted_market import MINT, SOL_USD, bar, instrument

from trading.model import commands
from trading.model.intent import SOL_MINT
from trading.model.market_data import CycleEnd, TokenListed
from trading.model.order import Purpose, Side
from trading.model.wallet import MAIN, WalletTerms
from trading.portfolio.wallets import Wallet

OTHER = "sim:BBB"
SOL = 10**9
MINTS = st.sampled_from((MINT, OTHER))
BUCKETS = st.sampled_from(("manual", "momentum_breakout"))
NAMES = (MAIN, "second", "third")
TERMS = (
    WalletTerms(MAIN),
    WalletTerms("second", 30 * SOL, reserve_lamports=2 * SOL),
    WalletTerms("third", 20 * SOL, buckets=("manual",)),
)
LIMITS = {
    "order_bps_max": 9_000,
    "token_exposure_bps_max": 9_000,
    "total_exposure_bps_max": 9_500,
    "gap_token_bps_max": 10_000,
    "gap_joint_bps_max": 10_000,
    "slippage_bps_max": 10_000,
    "drawdown_halted_bps": 9_000,
    "drawdown_reducing_bps": 9_000,
    "day_loss_bps_max": 9_000,
    "turnover_bps_day_max": 10**6,
    "entries_day_max": 1_000,
    "cvar_bps_max": 10_000,
    "cooldown_s": 0,
    "reentry_s": 0,
    "protections": (),
    "wallet_drawdown_reducing_bps": 500,
    "wallet_drawdown_halted_bps": 900,
}


class Disorder(RuleBasedStateMachine):
    """Orders by hand, closes, deposits, withdrawals, moves between wallets and wallets with a problem."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = KernelBench(rules=profile(**LIMITS), equity=30 * SOL, by_reference=False)
        self.cycle, self.count = 0, 0
        self.price = Decimal(1)
        self.move(0)
        self.bench.control.take(commands.UseWallets("w", "operator", "three", TERMS))

    def key(self) -> str:
        self.count += 1
        return f"k{self.count}"

    @rule(step=st.integers(-12, 15))
    def move(self, step: int) -> None:
        """Let a cycle pass at another price."""
        self.cycle += 1
        opened, self.price = self.price, max(Decimal("0.2"), self.price + Decimal(step) / 100)
        bars = [bar(self.cycle, self.price, mint=mint, opens=opened) for mint in (MINT, OTHER)]
        at = bars[0].ts_close_ns
        listed = [TokenListed(at, instrument(mint), "listed") for mint in (MINT, OTHER)] if self.cycle == 1 else []
        self.bench.feed([*listed, *bars, CycleEnd(at, SOL_USD)])

    @rule(mint=MINTS, bucket=BUCKETS, part=st.integers(1, 40))
    def buy(self, mint: str, bucket: str, part: int) -> None:
        routing, book = self.bench.kernel.valuer.routing, self.bench.kernel.state.wallets
        assert book is not None
        wish = commands.PlaceOrder(self.key(), "o", "r", Side.BUY, mint, bucket, "manual", part * SOL // 2, 1)
        for order in self.bench.control.take(wish).orders:
            wallet = book.wallets[order.wallet]
            assert wallet.terms.buys_for(bucket)
            assert not wallet.problem
            left = wallet.lamports - routing.reserved_lamports(order.wallet)
            assert left >= routing.reserve_lamports(order.wallet)
            assert left >= wallet.terms.reserve_lamports

    @rule(mint=MINTS, percent=st.integers(1, 100))
    def close(self, mint: str, percent: int) -> None:
        self.bench.control.take(commands.ClosePosition(self.key(), "o", "r", mint, percent))

    @rule(mint=MINTS, bucket=BUCKETS, percent=st.integers(1, 100))
    def sell(self, mint: str, bucket: str, percent: int) -> None:
        position = self.bench.kernel.state.ledger.position(bucket, mint)
        if position is not None:
            units = max(1, position.base_units * percent // 100)
            wish = commands.PlaceOrder(self.key(), "o", "r", Side.SELL, mint, bucket, "manual", units, 1)
            orders = self.bench.control.take(wish).orders
            assert sum(order.amount_in for order in orders) in (0, units)

    @rule(lamports=st.integers(1, 5 * SOL), is_in=st.booleans())
    def flow(self, lamports: int, is_in: bool) -> None:
        kind = commands.Deposit if is_in else commands.Withdraw
        self.bench.control.take(kind(self.key(), "o", "r", lamports))

    @rule(name=st.sampled_from(NAMES), problem=st.sampled_from(("", "chain and books differ")))
    def hold(self, name: str, problem: str) -> None:
        self.bench.control.take(commands.HoldWallet(self.key(), "chain", "r", name, problem))

    @rule(names=st.permutations(NAMES), percent=st.integers(1, 100))
    def carry(self, names: list[str], percent: int) -> None:
        """A person moves SOL from wallet to wallet that neither an order nor an exit counts on."""
        kernel, (source, target, _) = self.bench.kernel, names
        part = kernel.valuer.routing.spare_lamports(source) * percent // 100
        if part:
            step = commands.FlowStep("carry", "", part, "", SOL_MINT, part, wallet=source, to_wallet=target)
            self.bench.control.take(commands.BookFlow(self.key(), "chain", "r", (step,)))

    @invariant()
    def sums_are_those_of_the_ledger(self) -> None:
        state = self.bench.kernel.state
        if state.wallets is None:
            return
        wallets: list[Wallet] = list(state.wallets.wallets.values())
        assert [each.terms.name for each in wallets] == list(NAMES)
        assert sum(each.lamports for each in wallets) == state.ledger.cash_lamports
        assert sum(sum(each.deposits.values()) for each in wallets) == state.ledger.rent_lamports
        for mint in (MINT, OTHER):
            holding = state.ledger.holding(mint)
            assert state.wallets.total_units(mint) == (0 if holding is None else holding.base_units)
        assert all(units > 0 for each in wallets for units in each.units.values())

    @invariant()
    def nothing_is_on_sale_twice(self) -> None:
        state = self.bench.kernel.state
        for name in NAMES if state.wallets is not None else ():
            assert state.wallets is not None
            for mint in (MINT, OTHER):
                exits = [o for o in state.open_orders.values() if o.purpose is Purpose.EXIT and o.mint == mint]
                on_sale = sum(order.amount_in for order in exits if order.wallet == name)
                assert on_sale <= state.wallets.units(name, mint)

    @invariant()
    def no_wallet_pays_what_it_does_not_have(self) -> None:
        wallets = self.bench.kernel.state.wallets
        assert wallets is None or all(each.lamports >= 0 for each in wallets.wallets.values())

    def teardown(self) -> None:
        """The rows alone give the same wallets."""
        other = KernelBench(rules=self.bench.setup.profile, equity=30 * SOL, begin=False, by_reference=False)
        self.bench.journal.commit()
        other.kernel.restore(stored(self.bench.journal), None)
        assert other.kernel.state.wallets == self.bench.kernel.state.wallets
        assert levels_of(other.kernel) == levels_of(self.bench.kernel)


Disorder.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.requirement("T16")
@pytest.mark.requirement("T10")
class TestDisorder(Disorder.TestCase):
    pass
