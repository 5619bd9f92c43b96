"""Buy and hold: own every token once and never sell by itself. A baseline: it expects nothing, and says so."""

import math
from collections.abc import Mapping
from typing import ClassVar, Final

from trading.indicators.oscillators import EwmaVolatility
from trading.model.market_data import Bar
from trading.model.order import Signal

from .parameters import Declared, Parameter, Value
from .tokens import TOKENS_MAX, VOLATILITY_KEY, PerToken, day_bps, figure, horizon_s


class _State:
    __slots__ = ("last_ns", "volatility")

    def __init__(self, bars: int) -> None:
        self.volatility = EwmaVolatility(bars)
        self.last_ns = 0


class BuyAndHold(Declared):
    """Body of ``ports.Strategy``. Its expected move is 0, so only rules that ask for no edge let it trade (the profile
    ``baseline`` of backtests)."""

    NAME: ClassVar[str] = "buy_and_hold"
    KIND: ClassVar[str] = "baseline"
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        Parameter("wait_bars", 48, 2, 5_000, "bars", "how long a token is watched before it is bought"),
    )

    def __init__(self, parameters: Mapping[str, Value] | None = None) -> None:
        super().__init__(parameters)
        self._wait_bars: Final = int(self._values["wait_bars"])
        self._tokens: Final = PerToken(lambda: _State(self._wait_bars), self.warmup_bars)
        self._bought: dict[str, None] = {}

    @property
    def warmup_bars(self) -> int:
        return self._wait_bars + 1

    def on_bar(self, bar: Bar) -> Signal | None:
        """Take one closed bar of one token; return an opinion once a token."""
        state = self._tokens.of(bar)
        state.volatility.update(math.log(float(bar.close)))
        if not state.volatility.is_full or bar.mint in self._bought or len(self._bought) >= TOKENS_MAX:
            return None
        self._bought[bar.mint] = None
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=1.0,
            edge_bps=0,
            horizon_s=horizon_s(bar, self._wait_bars),
            reason=f"was seen for {self._wait_bars} bars",
            evidence={"close_sol": figure(bar.close), VOLATILITY_KEY: day_bps(state.volatility.per_bar, bar)},
        )
