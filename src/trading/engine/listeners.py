"""Strategies that hear of more than bars: other people's swaps, new tokens and what becomes known about them."""

from collections.abc import Callable, Sequence

from trading.model.market_data import FactsKnown, MarketEvent, Swap, TokenGone, TokenListed
from trading.ports import LaunchListener, Strategy, SwapListener

from .trader import Trader
from .valuation import Valuer


class Listeners:
    """Asks strategies once whether they listen, and then tells those that do. What is listed and known is kept with the
    tokens, whoever listens."""

    def __init__(self, valuer: Valuer, trader: Trader) -> None:
        self._valuer = valuer
        self._trader = trader
        self.on_swap: list[Callable[[Swap], None]] = []
        self._on_launch: list[LaunchListener] = []

    def use(self, strategies: Sequence[Strategy]) -> None:
        self.on_swap = [strategy.on_swap for strategy in strategies if isinstance(strategy, SwapListener)]
        launch = [strategy for strategy in strategies if isinstance(strategy, LaunchListener)]
        self._trader.facts_needed_by = frozenset(each.name for each in launch if each.needs_facts)
        self._on_launch = list(launch)

    def tell(self, event: MarketEvent) -> None:
        """Take a token that was listed, or facts about one; the rest is nothing to them."""
        if type(event) is TokenListed:
            self._valuer.take_in(event)
            for listener in self._on_launch:
                listener.on_listed(event)
        elif type(event) is FactsKnown:
            self._valuer.facts[event.facts.mint] = event.facts
            for listener in self._on_launch:
                listener.on_facts(event)
        elif type(event) is TokenGone:
            self._valuer.facts.pop(event.mint, None)  # nobody can buy it any more
