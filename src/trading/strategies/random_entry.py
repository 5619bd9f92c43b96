"""Random entries: buy and sell by the toss of a coin. A baseline: what the rules around a strategy make of no idea."""

import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import ClassVar, Final

from trading.indicators.oscillators import EwmaVolatility
from trading.model.market_data import Bar
from trading.model.order import Signal

from .parameters import Declared, Parameter, Value
from .tokens import VOLATILITY_KEY, PerToken, day_bps, figure, horizon_s

_ONE: Final = 2**64


class _State:
    __slots__ = ("is_long", "last_ns", "volatility")

    def __init__(self, bars: int) -> None:
        self.volatility = EwmaVolatility(bars)
        self.is_long = False
        self.last_ns = 0


class RandomEntry(Declared):
    """Body of ``ports.Strategy``. The toss at a bar is a hash of seed, token and the bar's time and nothing else: the
    same in every run, and blind to prices. Entries and exits come after a geometric number of bars."""

    NAME: ClassVar[str] = "random_entry"
    KIND: ClassVar[str] = "baseline"
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        Parameter("seed", 1, 0, 1_000_000, "", "another seed is another series of tosses"),
        Parameter("wait_bars", 96, 2, 10_000, "bars", "mean number of bars until a token is bought"),
        Parameter("hold_bars", 48, 2, 10_000, "bars", "mean number of bars for which it is owned"),
    )

    def __init__(self, parameters: Mapping[str, Value] | None = None) -> None:
        super().__init__(parameters)
        self._seed: Final = int(self._values["seed"])
        self._wait_bars: Final = int(self._values["wait_bars"])
        self._hold_bars: Final = int(self._values["hold_bars"])
        self._tokens: Final = PerToken(lambda: _State(self._wait_bars), self.warmup_bars)

    @property
    def warmup_bars(self) -> int:
        return self._wait_bars + 1

    def on_bar(self, bar: Bar) -> Signal | None:
        """Take one closed bar of one token; return an opinion when the toss changes it."""
        state = self._tokens.of(bar)
        state.volatility.update(math.log(float(bar.close)))
        if not state.volatility.is_full:
            return None
        bars = self._hold_bars if state.is_long else self._wait_bars
        if self._toss(bar) * bars >= _ONE:
            return None
        state.is_long = not state.is_long
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=1.0 if state.is_long else -1.0,
            edge_bps=0,
            horizon_s=horizon_s(bar, self._hold_bars),
            reason=f"the toss of seed {self._seed}",
            evidence={"close_sol": figure(bar.close), VOLATILITY_KEY: day_bps(state.volatility.per_bar, bar)},
        )

    def _toss(self, bar: Bar) -> int:
        """Return a number below 2**64."""
        text = f"{self._seed}/{bar.mint}/{bar.ts_close_ns}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
