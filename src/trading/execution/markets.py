"""What a simulated venue knows about one token: its newest bar, its depth, and the pool that these make."""

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

from trading.model.instrument import Instrument, LaunchCurve
from trading.model.market_data import Bar
from trading.model.memento import DERIVED
from trading.model.units import BPS_ONE, LAMPORTS_PER_SOL

from . import pools
from .bonding_curve import curve_at, graduated_depth
from .conditions import Conditions
from .pools import Pool


@dataclass(slots=True)
class Market:
    """``volumes`` are the SOL volumes of past bars, where the depth is taken from them. ``has_graduated``: the token
    has left its launch curve, whatever its price is since. ``learns``: there is more to a bar than that it is newest.
    """

    instrument: Instrument
    learns: bool
    bar: Bar | None = None
    pool: Pool | None = field(default=None, metadata=DERIVED)
    gone_reason: str | None = None
    has_graduated: bool = False
    volumes: deque[int] = field(default_factory=deque)
    volume_sum: int = 0

    @classmethod
    def of(cls, instrument: Instrument, conditions: Conditions) -> "Market":
        """Return the market of a token that was never seen."""
        return cls(instrument, isinstance(instrument.pool, LaunchCurve) or conditions.liquidity == "volume")

    def learn(self, bar: Bar, conditions: Conditions) -> None:
        """Take what a closed bar says about depth and graduation."""
        terms = self.instrument.pool
        if isinstance(terms, LaunchCurve) and not self.has_graduated and bar.high > 0:
            self.has_graduated = curve_at(terms, bar.high, self.instrument.decimals) is None
        if conditions.liquidity == "volume":
            lamports = int(bar.volume * bar.close * LAMPORTS_PER_SOL)
            self.volumes.append(lamports)
            self.volume_sum += lamports
            if len(self.volumes) > conditions.depth_bars:
                self.volume_sum -= self.volumes.popleft()

    def listed_again(self, instrument: Instrument, conditions: Conditions) -> "Market":
        """Return the market of a token that is listed anew: what was seen of it stays true."""
        again = Market.of(instrument, conditions)
        again.bar, again.volumes, again.volume_sum = self.bar, self.volumes, self.volume_sum
        again.has_graduated = self.has_graduated and instrument.pool == self.instrument.pool
        return again

    def depth_lamports(self, price_sol: Decimal, conditions: Conditions) -> int:
        """Return the newest known depth on the SOL side of a constant product."""
        recorded = self.bar.pool_lamports if self.bar is not None else None
        if recorded is not None:
            return recorded
        terms = self.instrument.pool
        if isinstance(terms, LaunchCurve):
            return graduated_depth(terms, price_sol, self.instrument.decimals)
        if conditions.liquidity == "volume":
            bars = max(1, len(self.volumes))
            depth = self.volume_sum * conditions.depth_volume_bps // (bars * BPS_ONE)
            return min(conditions.depth_lamports_max, max(conditions.depth_lamports_min, depth))
        return self.instrument.pool_lamports_default

    def pool_at(self, price_sol: Decimal, conditions: Conditions) -> Pool | None:
        """Return the pool at a price, None where there is none."""
        depth = self.depth_lamports(price_sol, conditions)
        return pools.pool_at(self.instrument, price_sol, depth, has_graduated=self.has_graduated)

    def pool_now(self, conditions: Conditions) -> Pool | None:
        """Return the pool at the newest close, None when the token cannot be traded."""
        if self.gone_reason is not None or self.bar is None:
            return None
        if self.pool is None:
            self.pool = self.pool_at(self.bar.close, conditions)
        return self.pool
