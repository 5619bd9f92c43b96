"""What the account is worth and what the gate must know, taken from the state and the venue at one moment."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from trading.model.account import Level
from trading.model.instrument import Instrument
from trading.model.market_data import Bar, TokenListed
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Order, Side, SwapQuote
from trading.model.position import Position
from trading.model.token_facts import Facts
from trading.model.units import BPS_ONE
from trading.model.wallet import MAIN
from trading.ports import Venue
from trading.risk.gate import Gate
from trading.risk.shortfall import TailView, tail_of
from trading.risk.views import AccountView, Bounds, TokenView

from .routing import Routing
from .state import DeskState


class Place(NamedTuple):
    """Whose an order is, and which wallet carries it out."""

    bucket: str
    strategy: str
    wallet: str = MAIN


@dataclass(frozen=True, slots=True)
class Valuation:
    """``by_mint``: what selling everything of a token now would bring, in lamports."""

    equity_lamports: int
    cash_lamports: int
    exposure_lamports: int
    by_mint: dict[str, int]


class Valuer:
    """Reads; changes nothing."""

    def __init__(self, state: DeskState, venue: Venue) -> None:
        self._state = state
        self._venue = venue
        self.routing = Routing(state)
        self._flat: Valuation | None = None
        self._instruments: dict[str, Instrument] = {}
        self.listed_ns: dict[str, int] = {}
        """When each token was listed first."""
        self.facts: dict[str, Facts] = {}
        """The newest that is known about each token."""

    @property
    def instruments(self) -> dict[str, Instrument]:
        """Every token that was listed, by mint."""
        return self._instruments

    def take_in(self, listed: TokenListed) -> None:
        """Take a token in."""
        self._instruments[listed.instrument.mint] = listed.instrument
        self.listed_ns.setdefault(listed.instrument.mint, listed.ts_ns)

    def gate(self) -> Gate:
        return Gate(self.bounds())

    def bounds(self) -> Bounds:
        profile = self._state.profile
        return Bounds(profile.limits, self._state.tier, profile.rugs)

    def value(self) -> Valuation:
        """Return the account at liquidation value: what is left after every token is sold now, deposits included."""
        ledger = self._state.ledger
        cash = ledger.cash_lamports
        if not ledger.has_positions:
            equity = cash + ledger.rent_lamports
            flat = self._flat
            if flat is None or flat.cash_lamports != cash or flat.equity_lamports != equity:
                flat = self._flat = Valuation(equity, cash, 0, {})
            return flat
        by_mint: dict[str, int] = {}
        for mint in ledger.held_mints():
            holding = ledger.holding(mint)
            assert holding is not None  # it is among the held ones
            by_mint[mint] = self._venue.liquidation_lamports(mint, holding.base_units)
        exposure = sum(by_mint.values())
        return Valuation(cash + ledger.rent_lamports + exposure, cash, exposure, by_mint)

    def exposure_lamports(self, bounds: Mapping[str, tuple[int, int]] | None) -> int | None:
        """Return what selling every token now would bring: the part of ``value`` that moves with the market.

        None where a token is worth less or more than its ``bounds`` (both included).
        """
        bring = self._venue.liquidation_lamports
        exposure = 0
        for mint, holding in self._state.ledger.holdings.items():
            value = bring(mint, holding.base_units)
            if bounds is not None:
                low, high = bounds[mint]
                if not low <= value <= high:
                    return None
            exposure += value
        return exposure

    def position_lamports(self, position: Position, valuation: Valuation) -> int:
        """Return the position's share of what its token would bring over all buckets, rounded down."""
        holding = self._state.ledger.holding(position.mint)
        if holding is None:
            return 0
        return valuation.by_mint.get(position.mint, 0) * position.base_units // holding.base_units

    def account(self, valuation: Valuation) -> AccountView:
        """Return the account as the gate sees it: open entries count as if they were filled."""
        state = self._state
        entries = state.pending_entries()
        fees = sum(self._reserved_lamports(order) for order in entries)
        spent = sum(order.amount_in for order in entries)
        tokens = set(valuation.by_mint) | {order.mint for order in entries}
        day = state.day.number(state.now_ns)
        return AccountView(
            now_ns=state.now_ns,
            state=state.trading_state,
            entries_allowed=state.entries_allowed,
            equity_lamports=valuation.equity_lamports,
            cash_lamports=valuation.cash_lamports - spent - fees,
            exposure_lamports=valuation.exposure_lamports + spent,
            tokens_held=len(tokens),
            drawdown_bps=state.guard.drawdown_bps,
            total_drawdown_bps=state.guard.total_drawdown_bps,
            day_loss_bps=state.guard.day_loss_bps,
            turnover_day_lamports=state.today.turnover_lamports(day) + spent,
            entries_day=state.today.entries(day),
            zone=state.zone,
            cycles_to_wait=state.gaps.cycles_to_wait(state.cycle),
        )

    def token(
        self, mint: str, place: Place, quote: SwapQuote | None, valuation: Valuation, edge_bps: int | None
    ) -> TokenView:
        """Return the token as the gate sees it, for an order of this bucket and strategy with this quote."""
        state, (bucket, strategy, wallet) = self._state, place
        bar = self._venue.mark(mint)
        entries = [order for order in state.pending_entries() if order.mint == mint]
        position = state.ledger.position(bucket, mint)
        held = 0 if position is None else position.base_units
        return TokenView(
            mint=mint,
            decimals=self._instruments[mint].decimals,
            mark_sol=None if bar is None or not self._venue.is_tradable(mint) else bar.close,
            data_age_ns=0 if bar is None else state.now_ns - bar.ts_close_ns,
            quote=quote,
            pool_lamports=self._venue.pool_lamports(mint),
            exposure_lamports=valuation.by_mint.get(mint, 0) + sum(order.amount_in for order in entries),
            holding=state.ledger.holding(mint),
            losing_exit=state.ledger.losing_exit(mint),
            open_orders=sum(order.mint == mint for order in state.open_orders.values()),
            bucket_cash_lamports=self.free_lamports(bucket),
            level=state.levels.held(bucket, strategy, wallet),
            position=position,
            sellable_base_units=held - state.units_on_sale(bucket, mint),
            rent_lamports=0 if quote is None else self.rent_lamports(quote, wallet),
            wallet_cash_lamports=self.routing.room_lamports(wallet, mint) if self.routing.are_several else None,
            crossed=self.routing.crossed(mint) if self.routing.are_several else None,
            edge_bps=edge_bps,
            tail=self.tail(valuation, mint) if self._may_buy(mint, quote) else None,
            locks=tuple(state.protections.locks(state.now_ns, mint)),
            exposures=dict(self._level_exposures(place, valuation)),
        )

    def rent_lamports(self, quote: SwapQuote, wallet: str) -> int:
        """Return the deposit that comes on top of a quote in this wallet."""
        if quote.side is Side.SELL:
            return 0
        return self.routing.rent_lamports(wallet, quote.mint, quote.rent_lamports)

    def _level_exposures(self, place: Place, valuation: Valuation) -> Iterator[tuple[Level, int]]:
        """Yield what the wallet, the bucket and the strategy of an order hold, where a limit asks for it."""
        state, (bucket, strategy, wallet) = self._state, place
        several = self.routing.are_several
        inside: dict[Level, Callable[[Position | Order], bool]] = {
            Level.WALLET: lambda each: not several or not isinstance(each, Order) or each.wallet == wallet,
            Level.BUCKET: lambda each: each.bucket == bucket,
            Level.STRATEGY: lambda each: each.strategy == strategy,
        }
        for level, is_inside in inside.items():
            if state.profile.limits.exposure_bps_max_of(level) < BPS_ONE:
                held = sum(
                    self.position_lamports(each, valuation) for each in state.ledger.positions() if is_inside(each)
                )
                if level is Level.WALLET and several:
                    held = self.wallet_tokens_lamports(wallet, valuation)
                yield level, held + sum(each.amount_in for each in state.pending_entries() if is_inside(each))

    def wallet_tokens_lamports(self, wallet: str, valuation: Valuation) -> int:
        """Return what the tokens in a wallet would bring."""
        return sum(self.routing.share_lamports(wallet, mint, value) for mint, value in valuation.by_mint.items())

    def tail(self, valuation: Valuation, mint: str | None = None) -> TailView | None:
        """Return the cases of the risk budget for all that is held and on order, and for more of ``mint``; None where
        the profile asks for none."""
        limits = self._state.profile.limits
        if limits.cvar_bps_max >= BPS_ONE:
            return None
        return tail_of(self._state.returns, self.exposures(valuation), mint, limits)

    def newest_bars(self) -> list[Bar | None]:
        """Return the newest bar of every token that was listed."""
        mark = self._venue.mark
        return [mark(mint) for mint in self._instruments]

    def exposures(self, valuation: Valuation) -> dict[str, int]:
        """Return what is held and on order of each token, in lamports."""
        found = dict(valuation.by_mint)
        for order in self._state.pending_entries():
            found[order.mint] = found.get(order.mint, 0) + order.amount_in
        return found

    def _may_buy(self, mint: str, quote: SwapQuote | None) -> bool:
        """Tell whether the gate would look at figures of an entry at all."""
        is_buy = quote is not None and quote.side is Side.BUY
        return is_buy and not any(order.mint == mint for order in self._state.open_orders.values())

    def free_lamports(self, bucket: str) -> int:
        """Return the bucket's cash less what its open entries will take; below 0 where those take more."""
        in_bucket = [order for order in self._state.pending_entries() if order.bucket == bucket]
        reserved = sum(order.amount_in + self._reserved_lamports(order) for order in in_bucket)
        return self._state.ledger.bucket_cash_lamports(bucket) - reserved

    def _reserved_lamports(self, order: Order) -> int:
        """Return what an open entry will cost besides its amount, the most it can be."""
        quote = self._venue.quote(order.mint, Side.BUY, order.amount_in)
        rent = 0 if quote is None else self.rent_lamports(quote, order.wallet)
        return SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports + rent
