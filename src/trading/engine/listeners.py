"""Strategies that hear of more than bars: other people's swaps, new tokens and what becomes known about them."""

from collections.abc import Callable, Sequence

from trading.model.market_data import FactsKnown, MarketEvent, Swap, TokenGone, TokenListed
from trading.ports import LaunchListener, Strategy, SwapListener

from .valuation import Valuer


class Listeners:
    """Asks strategies once whether they listen, and then tells those that do."""

    def __init__(self) -> None:
        self.on_swap: list[Callable[[Swap], None]] = []
        self._on_launch: list[LaunchListener] = []

    def use(self, strategies: Sequence[Strategy]) -> frozenset[str]:
        """Tell these from now on; return which of them buy only what passes every rug check."""
        self.on_swap = [strategy.on_swap for strategy in strategies if isinstance(strategy, SwapListener)]
        launch = [strategy for strategy in strategies if isinstance(strategy, LaunchListener)]
        self._on_launch = list(launch)
        return frozenset(each.name for each in launch if each.needs_facts)

    def tell(self, event: MarketEvent, valuer: Valuer) -> None:
        """Take a token that was listed, or facts about one, which the valuer keeps; the rest is nothing to them."""
        if type(event) is TokenListed:
            valuer.take_in(event)
            for listener in self._on_launch:
                listener.on_listed(event)
        elif type(event) is FactsKnown:
            valuer.facts[event.facts.mint] = event.facts
            for listener in self._on_launch:
                listener.on_facts(event)
        elif type(event) is TokenGone:
            valuer.facts.pop(event.mint, None)  # nobody can buy it any more
