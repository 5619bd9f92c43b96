"""Launch scanner: own a new token that rises on inflow soon after its listing, for a while or until it falls back.

One try a launch. Rug checks come before it: while ``needs_facts`` is 1 the desk buys only what passes all of them. No
profile trades it by itself; what it made of recorded launches is in docs/results.md.

Volatility is Parkinson's of the bars since the listing (1980, "The extreme value method for estimating the variance of
the rate of return", Journal of Business 53(1)): there is one from the first bar on. Where no swaps are told, volume is
signed by where the bar closed, after the bulk classification of Easley, Lopez de Prado and O'Hara (2012, "Flow toxicity
and liquidity in a high-frequency world", Review of Financial Studies 25(5)).
"""

import math
from collections.abc import Mapping
from typing import ClassVar, Final

from trading.model.market_data import Bar, FactsKnown, Swap, TokenListed
from trading.model.order import Signal
from trading.model.units import BPS_ONE, NS_PER_S

from .parameters import Declared, Parameter, Value
from .tokens import TOKENS_MAX, VOLATILITY_KEY, day_bps, figure, horizon_s, strength_of

_PARKINSON: Final = 1.0 / (4.0 * math.log(2.0))


class _Launch:
    """One launch that is looked at, or owned. Flow is in lamports while swaps are told, in volume otherwise."""

    __slots__ = ("bars", "best", "entered_ns", "first_open", "hears_swaps", "listed_ns", "net", "total", "variance_sum")

    def __init__(self, listed_ns: int) -> None:
        self.listed_ns = listed_ns
        self.first_open = 0.0
        self.bars = 0
        self.variance_sum = 0.0
        self.hears_swaps = False
        self.net = self.total = 0.0
        self.entered_ns = 0
        self.best = 0.0

    def take(self, bar: Bar) -> None:
        opened, high, low, close = float(bar.open), float(bar.high), float(bar.low), float(bar.close)
        if not self.bars:
            self.first_open = opened
        self.bars += 1
        self.variance_sum += math.log(high / low) ** 2
        if not self.hears_swaps and high > low:
            volume = float(bar.volume) * close
            self.net += volume * (close - opened) / (high - low)
            self.total += volume

    def hear(self, lamports: int) -> None:
        if not self.hears_swaps:
            self.hears_swaps, self.net, self.total = True, 0.0, 0.0
        self.net += lamports
        self.total += abs(lamports)

    @property
    def flow(self) -> float:
        """From -1, others only sold, to 1."""
        return self.net / self.total if self.total > 0.0 else 0.0

    @property
    def volatility(self) -> float:
        """Per bar."""
        return math.sqrt(_PARKINSON * self.variance_sum / max(1, self.bars))


class LaunchScanner(Declared):
    """Body of ``ports.Strategy``, ``ports.SwapListener`` and ``ports.LaunchListener``."""

    NAME: ClassVar[str] = "launch_scanner"
    KIND: ClassVar[str] = "launches"
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        Parameter("wait_bars", 1, 1, 1_000, "bars", "so many bars must have closed since the listing"),
        Parameter("window_bars", 12, 1, 5_000, "bars", "no entry later than so many bars after the listing"),
        Parameter("entry_rise", 0.1, -1.0, 100.0, "x", "the close must be above the first open by this share"),
        Parameter("entry_flow", 0.1, -1.0, 1.0, "x", "bought less sold must be this share of what was swapped"),
        Parameter("hold_bars", 12, 1, 5_000, "bars", "how long the token is owned at most"),
        Parameter("stop_share", 0.25, 0.01, 1.0, "x", "a close below the best one by this share ends the opinion"),
        Parameter("edge_share", 0.5, 0.0, 5.0, "x", "expected move as a share of the volatility over that time"),
        Parameter("needs_facts", 1, 0, 1, "yes or no", "whether facts must be known and pass every rug check", False),
    )

    def __init__(self, parameters: Mapping[str, Value] | None = None) -> None:
        super().__init__(parameters)
        self._wait_bars: Final = int(self._values["wait_bars"])
        self._window_bars: Final = int(self._values["window_bars"])
        self._entry_rise: Final = self._values["entry_rise"]
        self._entry_flow: Final = self._values["entry_flow"]
        self._hold_bars: Final = int(self._values["hold_bars"])
        self._stop_share: Final = self._values["stop_share"]
        self._edge_share: Final = self._values["edge_share"]
        self._launches: dict[str, _Launch] = {}
        self._known: dict[str, None] = {}
        """Tokens that were listed before; one that is listed again is no launch."""

    @property
    def warmup_bars(self) -> int:
        return self._wait_bars

    @property
    def needs_facts(self) -> bool:
        return bool(self._values["needs_facts"])

    def on_listed(self, listed: TokenListed) -> None:
        """Begin to look at a token that was never listed before."""
        mint = listed.instrument.mint
        if mint in self._known:
            return
        for known in (self._known, self._launches):
            if len(known) >= TOKENS_MAX:
                del known[next(iter(known))]
        self._known[mint] = None
        self._launches[mint] = _Launch(listed.ts_ns)

    def on_facts(self, known: FactsKnown) -> None:
        """Take the age of the pool: a token that was listed here today may be there for a year."""
        launch, age_s = self._launches.get(known.facts.mint), known.facts.age_s
        if launch is not None and age_s is not None:
            launch.listed_ns = min(launch.listed_ns, known.ts_ns - age_s * NS_PER_S)

    def on_swap(self, swap: Swap) -> None:
        """Take a swap; what it means is said on the bar that it lies in."""
        launch = self._launches.get(swap.mint)
        if launch is not None:
            launch.hear(swap.flow_lamports)

    def on_bar(self, bar: Bar) -> Signal | None:
        """Take one closed bar of one token; return an opinion when it changed."""
        launch = self._launches.get(bar.mint)
        if launch is None:
            return None
        launch.take(bar)
        close = float(bar.close)
        if launch.entered_ns:
            launch.best = max(launch.best, close)
            held_bars = _bars_between(launch.entered_ns, bar)
            fell = close < launch.best * (1.0 - self._stop_share)
            if not fell and held_bars < self._hold_bars:
                return None
            del self._launches[bar.mint]
            return self._down(bar, launch, held_bars, fell=fell)
        age_bars = _bars_between(launch.listed_ns, bar) + 1
        if age_bars > self._window_bars:
            del self._launches[bar.mint]
            return None
        rise = close / launch.first_open - 1.0
        if age_bars < self._wait_bars or rise < self._entry_rise or launch.flow < self._entry_flow:
            return None
        launch.entered_ns, launch.best = bar.ts_close_ns, close
        return self._up(bar, launch, rise, age_bars)

    def _up(self, bar: Bar, launch: _Launch, rise: float, age_bars: int) -> Signal:
        volatility = launch.volatility
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=strength_of(0.5 + 0.5 * max(0.0, launch.flow)),
            edge_bps=int(self._edge_share * volatility * math.sqrt(self._hold_bars) * BPS_ONE),
            horizon_s=horizon_s(bar, self._hold_bars),
            reason=f"{age_bars} bars after its listing it is {rise:+.1%} from its first price, flow {launch.flow:+.2f}",
            evidence={
                "close_sol": figure(bar.close),
                "first_sol": figure(launch.first_open),
                "age_bars": age_bars,
                "flow": figure(launch.flow, 4),
                "flow_from": "swaps" if launch.hears_swaps else "bars",
                VOLATILITY_KEY: day_bps(volatility, bar),
            },
        )

    def _down(self, bar: Bar, launch: _Launch, held_bars: int, *, fell: bool) -> Signal:
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=-1.0,
            edge_bps=0,
            horizon_s=horizon_s(bar, self._hold_bars),
            reason=(
                f"closed {self._stop_share:.0%} below its best" if fell else f"has been owned for {held_bars} bars"
            ),
            evidence={"close_sol": figure(bar.close), "best_sol": figure(launch.best)},
        )


def _bars_between(since_ns: int, bar: Bar) -> int:
    """Return how many bar lengths have passed, with bars in them or not."""
    return (bar.ts_close_ns - since_ns) // (bar.ts_close_ns - bar.ts_open_ns)
