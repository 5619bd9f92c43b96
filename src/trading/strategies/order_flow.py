"""Order-flow imbalance: own a token while others buy it on balance, in proportion to the depth of its pool.

Cont, Kukanov and Stoikov (2014), "The price impact of order book events", Journal of Financial Econometrics 12(1):
over short intervals the price change is linear in the order-flow imbalance, with a slope inverse to the depth. Adapted
to pools: the imbalance is the signed volume of swaps, and a net inflow x into a pool with S SOL on its side moves the
log price by 2 ln(1 + x / S). What has moved has moved; the bet is that the flow goes on for a share of itself.
"""

import math
from collections import deque
from collections.abc import Mapping
from typing import ClassVar, Final

from trading.indicators.rolling import RollingMoments
from trading.model.market_data import Bar, Swap
from trading.model.order import Side, Signal
from trading.model.units import BPS_ONE, LAMPORTS_PER_SOL, sol_text

from .parameters import Declared, Parameter, Value
from .tokens import TOKENS_MAX, VOLATILITY_KEY, PerToken, day_bps, figure, horizon_s, strength_of


class _State:
    __slots__ = ("bought", "flows", "held_bars", "is_long", "last_ns", "previous", "returns", "sold")

    def __init__(self, volatility_bars: int) -> None:
        self.flows: deque[tuple[int, int]] = deque()
        """Lamports bought and sold, bar by bar."""
        self.bought = self.sold = 0
        self.returns = RollingMoments(volatility_bars)
        self.previous: float | None = None
        self.is_long = False
        self.held_bars = 0
        self.last_ns = 0

    @property
    def imbalance(self) -> float:
        """From -1, all were sales, to 1."""
        swapped = self.bought + self.sold
        return (self.bought - self.sold) / swapped if swapped else 0.0


class OrderFlow(Declared):
    """Body of ``ports.Strategy`` and ``ports.SwapListener``. It speaks when its opinion changes: once up, once down; on
    bars without swaps it has none."""

    NAME: ClassVar[str] = "order_flow"
    KIND: ClassVar[str] = "order flow"
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        Parameter("flow_bars", 6, 1, 1_000, "bars", "the flow is summed over this many bars"),
        Parameter("entry_share", 0.1, 0.0, 5.0, "of depth", "the net inflow must be this share of the pool's depth"),
        Parameter("entry_imbalance", 0.3, 0.0, 1.0, "x", "bought less sold must be this share of what was swapped"),
        Parameter("exit_imbalance", -0.1, -1.0, 1.0, "x", "an imbalance below this ends the opinion"),
        Parameter("hold_bars", 12, 1, 5_000, "bars", "how long the flow is expected to go on after it was last seen"),
        Parameter("volatility_bars", 12, 2, 5_000, "bars", "the volatility is taken over this many bars"),
        Parameter("depth_sol", 85.0, 0.1, 1e6, "SOL", "the depth of a pool of which no reserves are recorded"),
        Parameter("edge_share", 0.5, 0.0, 5.0, "x", "expected move as a share of the one that the flow has made"),
    )

    def __init__(self, parameters: Mapping[str, Value] | None = None) -> None:
        super().__init__(parameters)
        self._flow_bars: Final = int(self._values["flow_bars"])
        self._entry_share: Final = self._values["entry_share"]
        self._entry_imbalance: Final = self._values["entry_imbalance"]
        self._exit_imbalance: Final = self._values["exit_imbalance"]
        self._hold_bars: Final = int(self._values["hold_bars"])
        self._volatility_bars: Final = int(self._values["volatility_bars"])
        self._depth_lamports: Final = int(self._values["depth_sol"] * LAMPORTS_PER_SOL)
        self._edge_share: Final = self._values["edge_share"]
        self._tokens: Final = PerToken(self._new_state, self.warmup_bars)
        self._since_bar: dict[str, tuple[int, int]] = {}
        """Lamports bought and sold since each token's last bar."""

    @property
    def warmup_bars(self) -> int:
        return max(self._flow_bars, self._volatility_bars) + 1

    def on_swap(self, swap: Swap) -> None:
        """Take a swap; what it means is said on the bar that it lies in."""
        bought, sold = self._since_bar.get(swap.mint, (0, 0))
        if swap.side is Side.BUY:
            bought += swap.lamports
        else:
            sold += swap.lamports
        if len(self._since_bar) >= TOKENS_MAX and swap.mint not in self._since_bar:
            del self._since_bar[next(iter(self._since_bar))]
        self._since_bar[swap.mint] = (bought, sold)

    def on_bar(self, bar: Bar) -> Signal | None:
        """Take one closed bar of one token; return an opinion when it changed."""
        state = self._tokens.of(bar)
        close = float(bar.close)
        self._add_flow(state, self._since_bar.pop(bar.mint, (0, 0)))
        if state.previous is not None:
            state.returns.update(math.log(close / state.previous))
        state.previous = close
        if len(state.flows) < self._flow_bars or not state.returns.is_full:
            return None
        share = (state.bought - state.sold) / (bar.pool_lamports or self._depth_lamports)
        flows_in = state.bought > state.sold and share >= self._entry_share and state.imbalance >= self._entry_imbalance
        if not state.is_long:
            if not flows_in:
                return None
            state.is_long, state.held_bars = True, 0
            return self._up(bar, state, share)
        state.held_bars = 0 if flows_in else state.held_bars + 1
        if state.imbalance >= self._exit_imbalance and state.held_bars < self._hold_bars:
            return None
        state.is_long = False
        return self._down(bar, state)

    def _new_state(self) -> _State:
        return _State(self._volatility_bars)

    def _add_flow(self, state: _State, flow: tuple[int, int]) -> None:
        state.flows.append(flow)
        state.bought += flow[0]
        state.sold += flow[1]
        if len(state.flows) > self._flow_bars:
            bought, sold = state.flows.popleft()
            state.bought -= bought
            state.sold -= sold

    def _up(self, bar: Bar, state: _State, share: float) -> Signal:
        moved = 2.0 * math.log1p(share)
        net = state.bought - state.sold
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=strength_of(0.4 + 0.6 * state.imbalance),
            edge_bps=int(self._edge_share * moved * BPS_ONE),
            horizon_s=horizon_s(bar, self._hold_bars),
            reason=(
                f"{sol_text(net)} SOL more were bought than sold in {self._flow_bars} bars, "
                f"{share:.1%} of the pool's depth"
            ),
            evidence={
                **self._figures(bar, state),
                "flow_share_of_depth": figure(share, 4),
                VOLATILITY_KEY: day_bps(state.returns.deviation, bar),
            },
        )

    def _down(self, bar: Bar, state: _State) -> Signal:
        turned = state.imbalance < self._exit_imbalance
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=-1.0,
            edge_bps=0,
            horizon_s=horizon_s(bar, self._hold_bars),
            reason="others sell on balance" if turned else f"no inflow for {state.held_bars} bars",
            evidence=self._figures(bar, state),
        )

    def _figures(self, bar: Bar, state: _State) -> dict[str, str | int | float]:
        return {
            "close_sol": figure(bar.close),
            "bought_sol": sol_text(state.bought),
            "sold_sol": sol_text(state.sold),
            "imbalance": figure(state.imbalance, 4),
        }
