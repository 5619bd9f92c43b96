"""Lead-lag: own a token that has not yet followed a move of SOL or BTC as it usually does."""

import math
from collections import deque
from collections.abc import Mapping
from typing import ClassVar, Final

from trading.indicators.oscillators import EwmaVolatility
from trading.indicators.regression import RollingRegression
from trading.model.market_data import Bar
from trading.model.order import Signal
from trading.model.units import BPS_ONE

from .parameters import Declared, Parameter, Value
from .tokens import VOLATILITY_KEY, PerToken, day_bps, figure, horizon_s, strength_of

BTC_MINTS: Final = frozenset(
    {
        "sim:BTC",
        "3NZ9JMVBmGAqocybic2c7LQCJScmgsAZ6vQqTDzcqmJh",
        "cbbtcf3aa214zXHbiAZQwf4122FBYbraNdFqgw4iMij",
    }
)
"""BTC of exchange files, and the wrapped ones on Solana; where several are in a feed the first one seen leads."""
SOL_LEADS, BTC_LEADS = 0, 1


class _State:
    __slots__ = ("follows", "held_bars", "is_long", "last_ns", "leads", "logs", "volatility")

    def __init__(self, window_bars: int, move_bars: int, hold_bars: int) -> None:
        self.logs: deque[tuple[float, float]] = deque(maxlen=move_bars + hold_bars + 1)
        """(leader, token), both as logs of the price in USD."""
        self.follows = RollingRegression(window_bars, overlap=max(move_bars, hold_bars))
        self.leads = EwmaVolatility(window_bars)
        """Of the leader; ``volatility`` is the token's, in SOL."""
        self.volatility = EwmaVolatility(window_bars)
        self.is_long = False
        self.held_bars = 0
        self.last_ns = 0


class LeadLag(Declared):
    """Body of ``ports.Strategy``. In USD, over the last ``window_bars``: how far does a token move in the
    ``hold_bars`` after the leader moved over ``move_bars``? The slope is shrunken by its own uncertainty, and rests on
    pairs whose both ends are past. The expected move is the slope times the leader's newest move. SOL's price comes
    with each bar; BTC is a token of the feed (``BTC_MINTS``), itself never owned. Without a leader it says nothing."""

    NAME: ClassVar[str] = "lead_lag"
    KIND: ClassVar[str] = "lead-lag"
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        Parameter("leader", SOL_LEADS, SOL_LEADS, BTC_LEADS, "0 SOL, 1 BTC", "whose move the token follows"),
        Parameter("window_bars", 576, 20, 10_000, "bars", "the relation is estimated over this many bars"),
        Parameter("move_bars", 3, 1, 500, "bars", "the leader's move is taken over this many bars"),
        Parameter("hold_bars", 6, 1, 500, "bars", "how long the token is given to follow"),
        Parameter("entry_deviations", 2.0, 0.1, 20.0, "deviations", "how large the leader's move must be"),
        Parameter("t_min", 2.0, 0.0, 50.0, "standard errors", "how sure the relation must be"),
    )

    def __init__(self, parameters: Mapping[str, Value] | None = None) -> None:
        super().__init__(parameters)
        self._leads_btc: Final = self._values["leader"] == BTC_LEADS
        self._window_bars: Final = int(self._values["window_bars"])
        self._move_bars: Final = int(self._values["move_bars"])
        self._hold_bars: Final = int(self._values["hold_bars"])
        self._entry_deviations: Final = self._values["entry_deviations"]
        self._t_min: Final = self._values["t_min"]
        self._tokens: Final = PerToken(self._new_state, self.warmup_bars)
        self._btc_mint: str | None = None
        self._btc_log: float | None = None
        self._btc_ns = 0

    @property
    def warmup_bars(self) -> int:
        return self._window_bars + self._move_bars + self._hold_bars + 1

    def on_bar(self, bar: Bar) -> Signal | None:
        """Take one closed bar of one token; return an opinion when it changed."""
        if bar.sol_usd is None:
            return None
        sol_log = math.log(float(bar.sol_usd))
        token_log = math.log(float(bar.close)) + sol_log
        if bar.mint in BTC_MINTS:
            self._btc_mint = self._btc_mint or bar.mint
            if bar.mint == self._btc_mint:
                self._btc_log, self._btc_ns = token_log, bar.ts_close_ns
            return None
        leader_log = self._leader_log(bar, sol_log)
        if leader_log is None:
            return None
        state = self._tokens.of(bar)
        state.leads.update(leader_log)
        state.volatility.update(token_log - sol_log)
        logs = state.logs
        logs.append((leader_log, token_log))
        if len(logs) < (logs.maxlen or 0):
            return None
        led = logs[self._move_bars][0] - logs[0][0]
        state.follows.update(led, token_log - logs[self._move_bars][1])
        if not state.follows.is_full:
            return None
        if state.is_long:
            return self._ends(bar, state)
        newest = leader_log - logs[-1 - self._move_bars][0]
        usual = state.leads.per_bar * math.sqrt(self._move_bars)
        if newest < self._entry_deviations * usual or usual <= 0.0 or state.follows.t_value < self._t_min:
            return None
        # What the token has gained beyond the leader is no longer to come.
        moved = token_log - logs[-1 - self._move_bars][1]
        move = state.follows.shrunken_slope * newest - max(0.0, moved - newest)
        if move <= 0.0:
            return None
        state.is_long, state.held_bars = True, 0
        return self._up(bar, state, newest, move, usual)

    def _new_state(self) -> _State:
        return _State(self._window_bars, self._move_bars, self._hold_bars)

    def _leader_log(self, bar: Bar, sol_log: float) -> float | None:
        """Return the leader's newest price as a log. BTC's bar of the same time may still be to come: then it is the
        one before, and one that is older than that is none."""
        if not self._leads_btc:
            return sol_log
        if self._btc_log is None or bar.ts_open_ns > self._btc_ns:
            return None
        return self._btc_log

    def _ends(self, bar: Bar, state: _State) -> Signal | None:
        state.held_bars += 1
        if state.held_bars < self._hold_bars:
            return None
        state.is_long = False
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=-1.0,
            edge_bps=0,
            horizon_s=horizon_s(bar, self._hold_bars),
            reason=f"had {state.held_bars} bars to follow",
            evidence={"close_sol": figure(bar.close)},
        )

    def _up(self, bar: Bar, state: _State, newest: float, move: float, usual: float) -> Signal:
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=strength_of(newest / usual / (2.0 * self._entry_deviations)),
            edge_bps=int(move * BPS_ONE),
            horizon_s=horizon_s(bar, self._hold_bars),
            reason=(
                f"{'BTC' if self._leads_btc else 'SOL'} rose by {newest * 100:.2f} % in {self._move_bars} bars, and "
                f"the token follows with a slope of {state.follows.slope:.2f} (t {state.follows.t_value:.1f})"
            ),
            evidence={
                "close_sol": figure(bar.close),
                "leader_move_bps": round(newest * BPS_ONE),
                "slope": f"{state.follows.slope:.3f}",
                "t": f"{state.follows.t_value:.2f}",
                VOLATILITY_KEY: day_bps(state.volatility.per_bar, bar),
            },
        )
