"""From opinions to orders: exits first, then the best entries, each sized, asked of the gate and recorded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from trading.model import commands, events
from trading.model.account import TradingState
from trading.model.forecast import OrderImpact
from trading.model.identifiers import order_id, trajectory_id
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Approved, Denied, Order, Purpose, Side, Signal, SwapQuote, Verdict
from trading.model.position import Position
from trading.model.units import ceil_div, share_lamports, sol_text
from trading.model.wallet import MAIN
from trading.portfolio.buckets import Booking
from trading.ports import Venue
from trading.risk import rug_checks
from trading.risk.correlation import alike_lamports
from trading.risk.exits import ExitView, Watch, decide_exit, watch
from trading.risk.gap import excess_lamports, highest_price_sol
from trading.risk.gate import denied_by
from trading.risk.sizing import SizingView, min_out, size
from trading.risk.views import AccountView, TokenView
from trading.strategies.registry import module_of

from .counsel import Counsellor, Weighed
from .state import DeskState
from .valuation import Place, Valuation, Valuer

MANUAL: Final = "manual"
"""The bucket and the strategy of orders by hand."""
CITES_KEY: Final = "cites"
"""Evidence of a signal by hand: ids of memories, one a line (no id holds a line break)."""

Emit = Callable[[events.Event | commands.Command], Booking | None]
ImpactOf = Callable[[Order, SwapQuote | None], OrderImpact | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """An order as it would be sent now, with its quote and the gate's verdict; nothing has happened yet."""

    order: Order
    quote: SwapQuote | None
    verdict: Verdict


class Trader:
    """Decides at the end of a cycle and on commands. ``emit`` journals and applies; the venue takes the approved."""

    def __init__(self, scope: str, state: DeskState, venue: Venue, valuer: Valuer, emit: Emit) -> None:
        self._scope = scope
        self._state = state
        self._venue = venue
        self._valuer = valuer
        self._emit = emit
        self.impact_of: ImpactOf = _no_impact
        """Says what an order is expected to bring."""
        self.facts_needed_by: frozenset[str] = frozenset()
        """The strategies that buy only what passes every rug check."""
        self.counsellors: list[Counsellor] = []
        """Asked in this order about each signal that may be entered on."""

    # Exits

    def run_exits(self, signals: Sequence[Signal], valuation: Valuation, flatten_reason: str | None) -> None:
        """Send the exits that are due: all positions when flattening, else by rule, else by signal."""
        for signal in signals:
            position = self._state.ledger.position(signal.strategy, signal.mint)
            if position is None:
                trajectory = self.trajectory_of(signal.strategy, signal.strategy, signal.mint)
                self._emit(events.SignalRaised(trajectory, signal))
                self._pass(trajectory, signal, Denied("no_position", "there is nothing to sell"))
        by_position = {(signal.strategy, signal.mint): signal for signal in signals}
        for position in self._state.ledger.positions():
            signal_out = by_position.get((position.bucket, position.mint))
            if signal_out is not None:
                self._emit(events.SignalRaised(position.trajectory_id, signal_out))
            reason = flatten_reason or self._level_reason(position) or self._exit_reason(position, signal_out)
            orders = self._exit(position, position.base_units, reason, valuation) if reason else []
            if signal_out is not None and not orders:
                self._pass(position.trajectory_id, signal_out, self._why_unsold(position))
        for wallet, reason in self._valuer.routing.selling():
            for position in self._state.ledger.positions():
                self._exit(position, position.base_units, reason, valuation, wallet)
        self._cut_back(valuation)

    def _why_unsold(self, position: Position) -> Denied:
        if self._state.units_on_sale(position.bucket, position.mint) > 0:
            return Denied("own_order_open", "it is on sale")
        problem = self._valuer.routing.problem_of(position.mint)
        return Denied("wallet_halted", problem) if problem else Denied("unsellable", "no buyer now")

    def _cut_back(self, valuation: Valuation) -> None:
        """Sell what a gap could cost beyond its limits, in the event in which it grew beyond them."""
        state = self._state
        free: dict[str, int] = {}
        for mint, holding in state.ledger.holdings.items():
            on_sale = sum(state.units_on_sale(name, mint) for name in state.ledger.buckets)
            if on_sale < holding.base_units:
                value = valuation.by_mint.get(mint, 0)
                free[mint] = value * (holding.base_units - on_sale) // holding.base_units
        for mint, excess in excess_lamports(state.profile.limits, valuation.equity_lamports, free).items():
            reason = f"gap: {sol_text(excess)} SOL of {sol_text(free[mint])} are more than a gap may cost"
            for position in state.ledger.positions():
                if position.mint == mint:
                    left = position.base_units - state.units_on_sale(position.bucket, mint)
                    self._exit(position, ceil_div(left * excess, max(1, free[mint])), reason, valuation)

    def _level_reason(self, position: Position) -> str | None:
        """Return why the position's bucket, strategy or only wallet may hold nothing now."""
        held = self._state.levels.selling(position.bucket, position.strategy, self._valuer.routing.scope)
        return None if held is None else f"{held.level.value} {held.state.value.lower()}: {held.reason}"

    def flatten(
        self, reason: str, valuation: Valuation, positions: Sequence[Position] | None = None, wallet: str = ""
    ) -> list[Order]:
        """Send exits for everything that is held (or for these) and not on sale already; return what was sent.
        ``wallet``: only what lies in it."""
        chosen = self._state.ledger.positions() if positions is None else positions
        return [order for held in chosen for order in self._exit(held, held.base_units, reason, valuation, wallet)]

    def close(self, mint: str, percent: int, reason: str, valuation: Valuation) -> list[Order]:
        """Sell that share of every position in a token; return what was sent."""
        return [
            order
            for position in self._state.ledger.positions()
            if position.mint == mint
            for order in self._exit(position, self._share(position, percent), reason, valuation)
        ]

    def _share(self, position: Position, percent: int) -> int:
        """Return that share in base units, and all of it where nobody would sell the rest: dust would hold a place
        among the positions, and its deposit, for ever."""
        units = max(1, position.base_units * percent // 100)
        rest_lamports = self._venue.liquidation_lamports(position.mint, position.base_units - units)
        transaction = SIGNATURE_FEE_LAMPORTS + self._state.profile.priority_fee_lamports
        return units if rest_lamports > transaction else position.base_units

    def _exit_reason(self, position: Position, signal: Signal | None) -> str | None:
        bar = self._venue.mark(position.mint)
        if bar is None:
            return None
        peak = self._state.peaks.observe(position.bucket, position.mint, bar.close)
        after_gap = self._state.gaps.reason(position.bucket, position.mint, bar.close)
        if after_gap is not None:
            return after_gap
        decimals = self._valuer.instruments[position.mint].decimals
        view = ExitView(self._state.now_ns, bar.close, peak, decimals)
        decision = decide_exit(self._state.profile.exits, position, view)
        if decision is not None:
            return f"{decision.rule}: {decision.message}"
        return None if signal is None else f"signal: {signal.reason}"

    def watch(self, position: Position) -> Watch | None:
        """Return the range of closes in which no rule sells the position, None while it closes outside of any."""
        bar = self._venue.mark(position.mint)
        if bar is None:
            return None
        peak = self._state.peaks.observe(position.bucket, position.mint, bar.close)
        decimals = self._valuer.instruments[position.mint].decimals
        found = watch(self._state.profile.exits, position, peak, decimals)
        if not found.low_sol < bar.close <= found.high_sol or self._state.now_ns >= found.until_ns:
            return None
        gaps = self._state.gaps
        if gaps.reason(position.bucket, position.mint, bar.close) is not None:
            return None
        floor = gaps.floor_sol(position.bucket, position.mint)
        found = found if floor <= found.low_sol else replace(found, low_sol=floor)
        ledger = self._state.ledger
        units = ledger.holdings[position.mint].base_units
        highest = highest_price_sol(self._state.profile.limits, ledger.cash_lamports, units, decimals)
        return found if highest is None or highest >= found.high_sol else replace(found, high_sol=highest)

    def _exit(
        self, position: Position, base_units: int, reason: str, valuation: Valuation, wallet: str = ""
    ) -> list[Order]:
        """Send an exit from each wallet that some of it lies in (or from this one); return what was sent."""
        on_sale = self._state.units_on_sale(position.bucket, position.mint)
        parts = self._valuer.routing.sellers(position.mint, min(base_units, position.base_units - on_sale), wallet)
        units = sum(part for _, part in parts)
        quote = self._venue.quote(position.mint, Side.SELL, units) if units > 0 else None
        if quote is None or quote.amount_out == 0:
            return []
        sent = [self._sale(position, part, quote, reason, valuation) for part in parts]
        return [order for order in sent if order is not None]

    def _sale(
        self, position: Position, part: tuple[str, int], whole: SwapQuote, reason: str, valuation: Valuation
    ) -> Order | None:
        """Send one part of an exit; each is to get its share of what the whole would get, because they follow each
        other."""
        wallet, units = part
        quote = whole if units == whole.amount_in else self._venue.quote(position.mint, Side.SELL, units)
        if quote is None:
            return None
        order = Order(
            id=self._order_id(position.trajectory_id),
            trajectory_id=position.trajectory_id,
            ts_ns=self._state.now_ns,
            side=Side.SELL,
            purpose=Purpose.EXIT,
            mint=position.mint,
            strategy=position.strategy,
            bucket=position.bucket,
            amount_in=units,
            min_out=min_out(
                whole.amount_out * units // whole.amount_in, self._state.profile.fees.exit_slippage_bps_max
            ),
            priority_fee_lamports=self._state.profile.priority_fee_lamports,
            reason=reason,
            wallet=wallet,
        )
        place = Place(order.bucket, order.strategy, wallet)
        token = self._valuer.token(order.mint, place, quote, valuation, None)
        verdict = self._valuer.gate().check(order, self._valuer.account(valuation), token)
        return order if self.send(Plan(order, quote, verdict)) else None

    # Entries

    def run_entries(self, signals: Sequence[Signal], valuation: Valuation) -> None:
        """Act on the best opinions first; every one ends in a row: an order, or why not."""
        for signal in sorted(signals, key=_rank):
            bucket = signal.strategy
            trajectory = self.trajectory_of(bucket, signal.strategy, signal.mint)
            self._emit(events.SignalRaised(trajectory, signal))
            found = self._entry(signal, bucket, trajectory, valuation)
            if isinstance(found, Denied):
                self._pass(trajectory, signal, found)
            else:
                self.send(found)

    def _entry(self, signal: Signal, bucket: str, trajectory: str, valuation: Valuation) -> Plan | Denied:
        state, profile = self._state, self._state.profile
        account = self._valuer.account(valuation)
        if account.state is not TradingState.ACTIVE:
            return Denied(f"state_{account.state.value.lower()}", f"the desk is {account.state.value}: it only reduces")
        if not account.entries_allowed:
            return Denied("entries_stopped", "entries are stopped")
        module = module_of(signal.strategy)
        if not state.tier.admits(module):
            text = f"{signal.strategy} is of the module {module}, which does not enter in tier {state.tier.name}"
            return Denied("module_not_in_tier", text)
        demoted = state.promotions.demoted(signal.strategy)
        if demoted is not None:
            return Denied("strategy_demoted", f"{demoted.candidate} was demoted: {demoted.reason}")
        held = state.levels.held(bucket, signal.strategy, self._valuer.routing.scope)
        if held is not None:
            return denied_by(held)
        refused = self._refused_by_facts(signal.mint, signal.strategy)
        if refused is not None:
            return refused
        weighed = self._weighed(trajectory, signal)
        if isinstance(weighed, Denied):
            return weighed
        signal = weighed.signal
        wallet = self._valuer.routing.buyer(bucket, signal.mint, profile.sizing.order_lamports_min)
        if isinstance(wallet, Denied):
            return wallet
        place = Place(bucket, signal.strategy, wallet)
        probe = self._buy(signal, place, trajectory, profile.sizing.order_lamports_min)
        quote = self._venue.quote(signal.mint, Side.BUY, probe.amount_in)
        if quote is None:
            return Denied("untradable", f"{signal.mint} cannot be traded now")
        token = self._valuer.token(signal.mint, place, quote, valuation, signal.edge_bps)
        if profile.sizing.base_units_fixed:
            return self._entry_exact(probe, token, account)
        gate = self._valuer.gate()
        view = self._sizing_view(account, token, valuation)
        sized = size(signal, weighed.record, view, profile.sizing, state.tier, weighed.scale_bps)
        if isinstance(sized, Denied):
            # The gate knows the better reason when not even the smallest order would pass.
            verdict = gate.check(replace(probe, min_out=quote.amount_out), account, token)
            return verdict if isinstance(verdict, Denied) else sized
        quote = self._venue.quote(signal.mint, Side.BUY, sized.lamports)
        if quote is None:
            return Denied("untradable", f"{sized.lamports} lamports of {signal.mint} cannot be bought now")
        order = self._buy(signal, place, trajectory, sized.lamports)
        order = replace(order, min_out=min_out(quote.amount_out, profile.limits.slippage_bps_max))
        rent_lamports = self._valuer.rent_lamports(quote, wallet)
        verdict = gate.check(order, account, replace(token, quote=quote, rent_lamports=rent_lamports))
        return Plan(order, quote, verdict)

    def _weighed(self, trajectory: str, signal: Signal) -> Weighed | Denied:
        weighed = Weighed(signal, self._state.records.of(signal.strategy))
        for counsellor in self.counsellors:
            found = counsellor(trajectory, weighed)
            if isinstance(found, Denied):
                return found
            weighed = found
        return weighed

    def _refused_by_facts(self, mint: str, strategy: str) -> Denied | None:
        facts, rules = self._valuer.facts.get(mint), self._state.profile.rugs
        return rug_checks.ban(mint, rules) or rug_checks.refusal(
            facts, rules, are_needed=strategy in self.facts_needed_by
        )

    def _entry_exact(self, probe: Order, token: TokenView, account: AccountView) -> Plan | Denied:
        """Return the entry of a profile that buys a fixed amount of every token."""
        profile = self._state.profile
        base_units = profile.sizing.base_units_fixed
        quote = self._venue.quote_exact(probe.mint, base_units)
        if quote is None:
            return Denied("untradable", f"{base_units} base units of {probe.mint} cannot be bought now")
        most = quote.amount_in + share_lamports(quote.amount_in, profile.limits.slippage_bps_max)
        order = replace(probe, amount_in=most, min_out=base_units, amount_out=base_units)
        token = replace(token, quote=quote, rent_lamports=self._valuer.rent_lamports(quote, probe.wallet))
        return Plan(order, quote, self._valuer.gate().check(order, account, token))

    def _sizing_view(self, account: AccountView, token: TokenView, valuation: Valuation) -> SizingView:
        bounds = self._valuer.bounds()
        priority = self._state.profile.priority_fee_lamports
        return SizingView(
            equity_lamports=account.equity_lamports,
            headroom_lamports=self._valuer.gate().headroom_lamports(account, token, priority),
            pool_lamports=token.pool_lamports,
            pool_fee_bps=self._valuer.instruments[token.mint].pool_fee_bps,
            fixed_lamports=2 * (SIGNATURE_FEE_LAMPORTS + priority),
            impact_bps_max=bounds.limits.impact_bps_max,
            fee_position_bps_max=bounds.fee_position_bps_max,
            drawdown_bps=account.total_drawdown_bps,
            drawdown_halted_bps=bounds.limits.drawdown_halted_bps,
            alike_lamports=alike_lamports(
                self._state.returns, self._valuer.exposures(valuation), token.mint, self._state.profile.sizing
            ),
        )

    def _buy(self, signal: Signal, place: Place, trajectory: str, lamports: int) -> Order:
        holding = self._state.ledger.holdings.get(signal.mint)
        return Order(
            id=self._order_id(trajectory),
            trajectory_id=trajectory,
            ts_ns=self._state.now_ns,
            side=Side.BUY,
            purpose=Purpose.ENTRY,
            mint=signal.mint,
            strategy=signal.strategy,
            bucket=place.bucket,
            amount_in=lamports,
            min_out=0,
            priority_fee_lamports=self._state.profile.priority_fee_lamports,
            reason=signal.reason,
            held_base_units=0 if holding is None else holding.base_units,
            held_lamports=0 if holding is None else holding.cost_lamports,
            wallet=place.wallet,
        )

    # Orders by hand

    def plan(self, command: commands.PlaceOrder, valuation: Valuation) -> Plan:
        """Return the order of this command as it would be sent now. A sale is an exit and is never larger than held; of
        several wallets it names the one that sells most of it."""
        position = self._state.ledger.position(command.bucket, command.mint)
        is_buy = command.side is Side.BUY
        strategy = position.strategy if position and not is_buy else command.strategy
        holding = self._state.ledger.holdings.get(command.mint) if is_buy else None
        trajectory = self.trajectory_of(command.bucket, command.strategy, command.mint)
        wallet = self._wallet_by_hand(command)
        order = Order(
            id=self._order_id(trajectory),
            trajectory_id=trajectory,
            ts_ns=self._state.now_ns,
            side=command.side,
            purpose=Purpose.ENTRY if is_buy else Purpose.EXIT,
            mint=command.mint,
            strategy=strategy,
            bucket=command.bucket,
            amount_in=command.amount_in,
            min_out=command.min_out,
            priority_fee_lamports=self._state.profile.priority_fee_lamports,
            reason=f"{command.actor}: {command.reason}",
            held_base_units=0 if holding is None else holding.base_units,
            held_lamports=0 if holding is None else holding.cost_lamports,
            wallet=MAIN if isinstance(wallet, Denied) else wallet,
        )
        quote = self._venue.quote(command.mint, command.side, command.amount_in)
        account = self._valuer.account(valuation)
        place = Place(command.bucket, command.strategy, order.wallet)
        token = self._valuer.token(command.mint, place, quote, valuation, None)
        if command.bucket == MANUAL:  # the person's own money: the bucket is filled from the others when it is needed
            token = replace(token, bucket_cash_lamports=account.cash_lamports)
        refused = self._refused_by_facts(command.mint, strategy) if is_buy else None
        if isinstance(wallet, Denied):
            refused = refused or wallet
        return Plan(order, quote, refused or self._valuer.gate().check(order, account, token))

    def _wallet_by_hand(self, command: commands.PlaceOrder) -> str | Denied:
        routing, mint, amount = self._valuer.routing, command.mint, command.amount_in
        if command.side is Side.BUY or not routing.are_several:
            return routing.buyer(command.bucket, mint, amount)
        parts = routing.sellers(mint, amount)
        units = sum(part for _, part in parts)
        if units < amount:
            why = routing.problem_of(mint) or "the rest is on sale already, or not there"
            return Denied("nothing_to_sell", f"the wallets can sell {units} of {mint}: {why}", units, amount)
        return parts[0][0]

    def place(self, command: commands.PlaceOrder, valuation: Valuation) -> list[Plan]:
        """Send the order of this command, if the gate approves it: one for each wallet that a sale is from."""
        plan = self.plan(command, valuation)
        order = plan.order
        strength = 1.0 if order.side is Side.BUY else -1.0
        evidence: dict[str, str | int | float] = {CITES_KEY: "\n".join(command.cites)} if command.cites else {}
        signal = Signal(order.strategy, order.mint, order.ts_ns, strength, 0, 0, order.reason, evidence)
        self._emit(events.SignalRaised(order.trajectory_id, signal))
        if isinstance(plan.verdict, Approved) and order.side is Side.BUY:
            rent = 0 if plan.quote is None else self._valuer.rent_lamports(plan.quote, order.wallet)
            needed = order.amount_in + SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports + rent
            self._fund(order.bucket, needed, order)
        parts = self._valuer.routing.sellers(order.mint, order.amount_in) if order.side is Side.SELL else []
        if len(parts) < 2 or isinstance(plan.verdict, Denied):
            self.send(plan)
            return [plan]
        sent = []
        for wallet, units in parts:
            quote = self._venue.quote(order.mint, Side.SELL, units)
            least = order.min_out * units // order.amount_in
            number = self._order_id(order.trajectory_id)
            part = replace(order, id=number, wallet=wallet, amount_in=units, min_out=least)
            sent.append(Plan(part, quote, plan.verdict))
            self.send(sent[-1])
        return sent

    def _fund(self, bucket: str, needed: int, order: Order) -> None:
        """Move what the bucket lacks from the others, the richest first."""
        ledger = self._state.ledger
        free = self._valuer.free_lamports
        lacking = needed - free(bucket)
        others = sorted((name for name in ledger.buckets if name != bucket), key=lambda name: (-free(name), name))
        for name in others:
            lamports = min(lacking, free(name))
            if lamports <= 0:
                break
            lacking -= lamports
            key = f"{order.id}/{name}"
            reason = f"pays the order {order.id}"
            self._emit(events.CapitalMoved(key, self._state.now_ns, name, bucket, lamports, reason))

    # Both

    def send(self, plan: Plan) -> bool:
        """Record the verdict and, where it is an approval, hand the order to the venue."""
        if isinstance(plan.verdict, Denied):
            self._emit(events.OrderDenied(plan.order, plan.verdict, self.impact_of(plan.order, plan.quote)))
            return False
        impact = self.impact_of(plan.order, plan.quote)
        self._emit(events.OrderApproved(plan.order, plan.verdict.measures, impact))
        self._venue.submit(plan.order)
        return True

    def _order_id(self, trajectory: str) -> str:
        return order_id(self._scope, trajectory, self._state.now_ns, self._state.orders_now(trajectory))

    def trajectory_of(self, bucket: str, strategy: str, mint: str) -> str:
        """Return the trajectory of the bucket's position, or the one that begins now."""
        position = self._state.ledger.position(bucket, mint)
        if position is not None:
            return position.trajectory_id
        return trajectory_id(self._scope, strategy, mint, self._state.now_ns)

    def _pass(self, trajectory: str, signal: Signal, denied: Denied) -> None:
        self._emit(events.SignalPassed(trajectory, signal.strategy, signal.mint, signal.ts_ns, denied))


def _no_impact(_order: Order, _quote: SwapQuote | None) -> OrderImpact | None:
    return None


def cited_by(signal: Signal) -> tuple[str, ...]:
    """Return the memories that the order by hand rested on, as its sender named them."""
    named = signal.evidence.get(CITES_KEY)
    return tuple(named.split("\n")) if isinstance(named, str) and named else ()


def _rank(signal: Signal) -> tuple[float, str, str]:
    """The largest expected gain first; names decide a tie, so that the order never rests on chance."""
    return (-signal.strength * signal.edge_bps, signal.mint, signal.strategy)
