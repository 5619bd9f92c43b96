"""The pre-trade gate: no order without its approval. Limits bind entries; an exit is only asked whether it is one."""

from collections.abc import Sequence
from dataclasses import dataclass

from trading.model.account import TradingState
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Approved, Denied, Measure, Order, Purpose, Side, Verdict
from trading.model.units import share_lamports

from . import limits, rug_checks, shortfall
from .gap import joint_loss_lamports, limits_of
from .levels import Held
from .limit_texts import explained
from .shortfall import TailView
from .views import AccountView, Bounds, TokenView


@dataclass(frozen=True, slots=True)
class Gate:
    """Limits of one profile and tier. It holds no state: the same order and views give the same verdict."""

    bounds: Bounds

    def check(self, order: Order, account: AccountView, token: TokenView) -> Verdict:
        """Approve the order, with how far each limit would be used, or deny it with the first limit it breaks."""
        if order.purpose is Purpose.EXIT:
            return _check_exit(order, token)
        denied = self._check_may_enter(order, account, token)
        if denied is not None:
            return denied
        measures = self.measures(order, account, token)
        return self._broken(measures, order, account, token) or Approved(measures)

    def _broken(
        self, measures: Sequence[Measure], order: Order, account: AccountView, token: TokenView
    ) -> Denied | None:
        broken = tuple([measure for measure in measures if measure.is_broken])
        if not broken:
            return None
        first = broken[0]
        text = explained(first, order, account, token, self.bounds)
        return Denied(first.name, text, first.limit, first.used, broken)

    def check_standing(self, order: Order, account: AccountView, token: TokenView) -> Denied | None:
        """Return why an entry that was approved is not to be sent any more, None where it is. What it takes itself is
        counted in the views, so its size is not asked again: only what no smaller order could cure.
        """
        denied = self._check_may_enter(order, account, token)
        if denied is not None:
            return denied
        asked = [limit(order, account, token, self.bounds) for limit in limits.STANDING_LIMITS]
        return self._broken([measure for measure in asked if measure is not None], order, account, token)

    def _check_may_enter(self, order: Order, account: AccountView, token: TokenView) -> Denied | None:
        if order.side is not Side.BUY:
            return Denied("not_an_entry", "an entry buys: this desk holds tokens or does not, it sells none short")
        if (banned := rug_checks.ban(order.mint, self.bounds.rugs)) is not None:
            return banned
        if order.amount_in <= 0:
            return Denied("no_amount", f"amount_in must be above 0, not {order.amount_in}", 1, order.amount_in)
        if account.state is not TradingState.ACTIVE:
            return Denied(f"state_{account.state.value.lower()}", f"the desk is {account.state.value}: it only reduces")
        if not account.entries_allowed:
            return Denied("entries_stopped", "entries are stopped")
        if account.cycles_to_wait:
            message = f"nothing was seen for a while: entries wait for {account.cycles_to_wait} more cycles"
            return Denied("after_gap", message, 0, account.cycles_to_wait)
        if token.level is not None:
            return denied_by(token.level)
        if token.mark_sol is None or token.quote is None:
            return Denied("untradable", f"{order.mint} has no price or cannot be sold")
        if token.crossed is not None:
            other = token.crossed
            message = f"{other.mint} is being sold by {other.strategy} in the wallet {other.wallet!r} ({other.id})"
            return Denied("own_order_crosses", message, 0, token.open_orders)
        if token.open_orders:
            return Denied("own_order_open", f"{order.mint} has an order under way: one at a time", 0, token.open_orders)
        return None

    def measures(self, order: Order, account: AccountView, token: TokenView) -> tuple[Measure, ...]:
        """Return every limit that applies to this entry, in the order in which they are asked."""
        found = [limit(order, account, token, self.bounds) for limit in limits.ENTRY_LIMITS]
        return tuple([measure for measure in found if measure is not None])

    def account_measures(self, account: AccountView, tail: TailView | None = None) -> tuple[Measure, ...]:
        """Return the limits of the account as it stands, for people and snapshots; ``tail`` is of what is held."""
        rules, equity = self.bounds.limits, account.equity_lamports
        exposure_max = share_lamports(equity, rules.total_exposure_bps_max)
        reserve = rules.exit_reserve_lamports * account.tokens_held
        budget = () if tail is None else (shortfall.shortfall_bps(tail, rules, equity),)
        return (
            Measure("total_drawdown_bps", account.total_drawdown_bps, rules.drawdown_halted_bps, "bps", "halts"),
            Measure("drawdown_bps", account.drawdown_bps, rules.drawdown_reducing_bps, "bps", "reduces"),
            Measure("day_loss_bps", account.day_loss_bps, rules.day_loss_bps_max, "bps", "denies entries today"),
            Measure("total_exposure_lamports", account.exposure_lamports, exposure_max, "lamports", "denies entries"),
            Measure(
                "gap_joint_lamports",
                joint_loss_lamports(account.exposure_lamports),
                limits_of(account, rules)[1],
                "lamports",
                "cuts positions back",
            ),
            *(Measure("cvar_bps", used, rules.cvar_bps_max, "bps", "denies entries") for used in budget),
            Measure(
                "turnover_day_lamports",
                account.turnover_day_lamports,
                share_lamports(equity, rules.turnover_bps_day_max),
                "lamports",
                "denies entries today",
            ),
            Measure("entries_day", account.entries_day, rules.entries_day_max, "orders", "denies entries today"),
            Measure("positions", account.tokens_held, rules.positions_max, "tokens", "denies new tokens"),
            Measure("exit_reserve_lamports", account.cash_lamports, reserve, "lamports", "kept for exits", True),
        )

    def headroom_lamports(self, account: AccountView, token: TokenView, priority_fee_lamports: int) -> int:
        """Return the largest ``amount_in`` within the limits on size, exposure, turnover, cash and shortfall.

        At least 0. Impact, fees and edge depend on more than the amount and are not in it.
        """
        rules, equity = self.bounds.limits, account.equity_lamports
        fees = SIGNATURE_FEE_LAMPORTS + priority_fee_lamports + token.rent_lamports
        reserve = rules.exit_reserve_lamports * limits.tokens_after(account, token)
        most = min(
            share_lamports(equity, rules.order_bps_max),
            share_lamports(equity, rules.token_exposure_bps_max) - token.exposure_lamports,
            share_lamports(equity, rules.total_exposure_bps_max) - account.exposure_lamports,
            *(
                share_lamports(equity, rules.exposure_bps_max_of(level)) - held
                for level, held in token.exposures.items()
            ),
            share_lamports(equity, rules.turnover_bps_day_max) - account.turnover_day_lamports,
            account.cash_lamports - fees - reserve,
            token.bucket_cash_lamports - fees,
        )
        if token.wallet_cash_lamports is not None:
            most = min(most, token.wallet_cash_lamports - fees)
        add_max = limits.add_lamports_max(token, rules)
        if add_max is not None:
            most = min(most, add_max)
        if token.tail is not None:
            most = shortfall.headroom_lamports(token.tail, rules, equity, most)
        return max(0, most)


def _check_exit(order: Order, token: TokenView) -> Verdict:
    if order.side is not Side.SELL:
        return Denied("not_an_exit", f"order {order.id} calls itself an exit and buys")
    if not 0 < order.amount_in <= token.sellable_base_units:
        message = f"bucket {order.bucket!r} can sell {token.sellable_base_units} base units of {order.mint}"
        return Denied("nothing_to_sell", message, token.sellable_base_units, order.amount_in)
    return Approved()


def denied_by(held: Held) -> Denied:
    """Return why nothing is bought at a level that is not ACTIVE."""
    reason = f"{held.level.value}_{held.state.value.lower()}"
    return Denied(reason, f"the {held.level.value} {held.name!r} is {held.state.value}: {held.reason}")
