"""What kernels read: the bars of several tokens as arrays, and the terms on which they are traded.

Everything that goes through a logarithm or a power is worked out here, once, by the same functions of the same library
that the strategies call, so that a kernel's figures are theirs to the last bit.
"""

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from trading.errors import InvalidInput
from trading.execution.conditions import IDEAL
from trading.model.market_data import Bar
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.profile import ExitRules, Profile
from trading.model.units import BPS_ONE, LAMPORTS_PER_SOL, NS_PER_S
from trading.strategies.sma_cross import VARIANCE_WEIGHT

from .arrays import Floats, Ints
from .leaders import NOTHING, Priced, btc_leads, sol_leads

DAY_NS: Final = 86_400 * NS_PER_S
BARS_MAX: Final = 10_000_000
TICKS_MAX: Final = 2**62 // 5_000
"""So that the sum of the longest window's closes stays within 64 bits."""
NO_LIMIT: Final = float("inf")
FOREVER_NS: Final = 2**62


OPEN, GAP, CYCLE, VARIANCE, INTERVAL = range(5)
"""Columns of the tape."""


class Columns(NamedTuple):
    """A row for each bar, token after token, each token's in time order.

    Prices are SOL per token. ``ticks`` are closes as whole numbers of one unit a token, at most ``ticks_max``. ``logs``
    are log closes, ``changes`` the log of a close over the one before, ``squares`` the squared difference of the two
    log closes, ``ranges`` true ranges as a share (``indicators.oscillators.AverageTrueRange``), ``cycles`` the place of
    a bar's close among ``Cycles``. ``tape`` has what is read only where something happens, side by side, so that it
    comes with one access to memory: the open, the time between it and the close before (``GAP``, in ns), the cycle,
    the average of squared returns that ``strategies.sma_cross`` has, from the token's first bar on, and the bar's
    length in ns. ``sol_logs`` and ``btc_logs`` are log prices in USD of what the token may follow, NaN for none.
    """

    tape: Floats
    highs: Floats
    lows: Floats
    closes: Floats
    volumes: Floats
    ticks: Ints
    logs: Floats
    changes: Floats
    squares: Floats
    ranges: Floats
    sol_logs: Floats
    btc_logs: Floats
    cycles: Ints
    ticks_max: int


class Cycles(NamedTuple):
    """A row for each time at which a bar closes: when, and on which day of UTC (days since 1970; a close at midnight
    belongs to the day before)."""

    closes_ns: Ints
    days: Ints


class Span(NamedTuple):
    """Which part is traded: token i has the bars ``starts[i]`` to ``stops[i]``, and the cycles go from ``first`` to
    ``last``, both without their ends."""

    starts: Ints
    stops: Ints
    first: int
    last: int


class Rules(NamedTuple):
    """``Terms`` as kernels take them: factors and shares, ``NO_LIMIT`` or ``FOREVER_NS`` where a rule is off."""

    buys: float
    sells: float
    thinness: float
    """What a SOL moves the price by, as a share: one over the depth of the pool."""
    stake_share: float
    units: float
    equity: float
    stop: float
    trailing: float
    arm: float
    take: float
    holding_ns: int
    edge_bps_min: float
    positions_max: int
    interval_ns: int
    wait_ns: int


@dataclass(frozen=True, slots=True)
class Terms:
    """How signals become trades.

    ``fee_bps`` is the pool's fee on the SOL side of each swap, ``cost_bps`` what the network takes a side, and
    ``pool_sol`` the SOL side of a constant product, which says what impact takes (``execution.fill_model``).
    An entry spends ``stake_share`` of equity times the signal's strength, as far as there is cash; with ``units`` above
    0 it buys exactly so many tokens instead. ``exits`` None: only signals sell. ``edge_over_cost_bps_min``: entries
    whose expected move less the round trip is below it are left out, as by the gate; -10000 asks for nothing.
    ``equity`` is what a run starts with, in SOL.
    """

    fee_bps: int
    cost_bps: int = 0
    stake_share: float = 0.1
    exits: ExitRules | None = None
    edge_over_cost_bps_min: int = -BPS_ONE
    positions_max: int = 1_000
    units: float = 0.0
    equity: float = 1.0
    pool_sol: float = NO_LIMIT

    def __post_init__(self) -> None:
        """Raises: InvalidInput."""
        if not (0 <= self.fee_bps < BPS_ONE and 0 <= self.cost_bps < BPS_ONE):
            msg = f"fee_bps and cost_bps: from 0 to {BPS_ONE - 1}, not {self.fee_bps} and {self.cost_bps}"
            raise InvalidInput(msg, field="fee_bps")
        if not (0.0 < self.stake_share <= 1.0 and self.positions_max >= 1):
            msg = f"stake_share: above 0 and at most 1, not {self.stake_share}, of at least one position"
            raise InvalidInput(msg, field="stake_share")
        if not (0.0 <= self.units < NO_LIMIT and 0.0 < self.equity < NO_LIMIT and self.pool_sol > 0.0):
            msg = f"units: at least 0, equity and pool_sol: above 0, not {self.units}, {self.equity}, {self.pool_sol}"
            raise InvalidInput(msg, field="units")

    @classmethod
    def of(cls, profile: Profile, fee_bps: int, equity_lamports: int, pool_lamports: int) -> "Terms":
        """Return the terms of a desk under this profile that trades in pools with so much SOL in them: the size of a
        strategy without a record, and what the network takes of an order of that size."""
        limits = profile.limits
        share_bps = max(1, min(profile.sizing.probe_bps, limits.order_bps_max))
        order_lamports = max(1, equity_lamports * share_bps // BPS_ONE)
        network = SIGNATURE_FEE_LAMPORTS + profile.priority_fee_lamports
        return cls(
            fee_bps=fee_bps,
            cost_bps=min(BPS_ONE - 1, round(network * BPS_ONE / order_lamports)),
            stake_share=share_bps / BPS_ONE,
            exits=profile.exits,
            edge_over_cost_bps_min=limits.edge_over_cost_bps_min,
            positions_max=limits.positions_max,
            equity=equity_lamports / LAMPORTS_PER_SOL,
            pool_sol=pool_lamports / LAMPORTS_PER_SOL,
        )

    def rules(self, interval_ns: int) -> Rules:
        """Return them as factors."""
        fee, cost = self.fee_bps / BPS_ONE, self.cost_bps / BPS_ONE
        exits = self.exits
        is_asking = self.edge_over_cost_bps_min > -BPS_ONE
        return Rules(
            buys=(1.0 + fee) * (1.0 + cost),
            sells=(1.0 - fee) * (1.0 - cost),
            thinness=1.0 / self.pool_sol,
            stake_share=float(self.stake_share),
            units=float(self.units),
            equity=float(self.equity),
            stop=_share(exits.stop_loss_bps) if exits else NO_LIMIT,
            trailing=_share(exits.trailing_stop_bps) if exits else NO_LIMIT,
            arm=exits.trailing_arm_bps / BPS_ONE if exits else 0.0,
            take=_share(exits.take_profit_bps) if exits else NO_LIMIT,
            holding_ns=exits.holding_s_max * NS_PER_S if exits else FOREVER_NS,
            edge_bps_min=self.edge_over_cost_bps_min + 2.0 * (self.fee_bps + self.cost_bps) if is_asking else -NO_LIMIT,
            positions_max=self.positions_max,
            interval_ns=interval_ns,
            wait_ns=IDEAL.expiry_ns,
        )


@dataclass(frozen=True, slots=True)
class Market:
    """Several tokens, by mint in order. Arrays are shared by all cuts of it."""

    mints: tuple[str, ...]
    columns: Columns
    cycles: Cycles
    span: Span
    breaks: Ints
    """The bars that did not open when the one before them closed."""
    interval_ns: int
    terms: Terms

    @classmethod
    def of(cls, bars: Mapping[str, Iterable[Bar]], terms: Terms) -> "Market":
        """Return the bars of each mint as arrays; they are gone over once.

        Raises: InvalidInput for no bars, too many, a price that is not above 0, bars of several lengths or out of
        order.
        """
        found = {mint: _token(mint, bars[mint]) for mint in sorted(bars)}
        parts = {mint: part for mint, part in found.items() if part is not None}
        if not parts:
            msg = "bars: at least one of a token is needed"
            raise InvalidInput(msg, field="bars")
        lengths = {length for _, priced in parts.values() for length in np.unique(priced.closed_ns - priced.opened_ns)}
        if len(lengths) != 1 or min(lengths) <= 0:
            msg = f"bars: all of one length, not of {len(lengths)}"
            raise InvalidInput(msg, field="bars")
        priced = {mint: each for mint, (_, each) in parts.items()}
        times = np.unique(np.concatenate([each.closed_ns for each in priced.values()]))
        places = np.concatenate([np.searchsorted(times, each.closed_ns) for each in priced.values()]).astype(np.int64)
        columns = [each for each, _ in parts.values()]
        # Column by column, so that not all are there twice.
        joined = {name: np.concatenate([each.pop(name) for each in columns]) for name in tuple(columns[0])}
        joined["tape"][:, CYCLE] = places
        joined["btc_logs"] = np.concatenate(btc_leads(priced))
        stops = np.cumsum([each.logs.size for each in priced.values()]).astype(np.int64)
        span = Span(np.concatenate(([0], stops[:-1])).astype(np.int64), stops, 0, len(times))
        breaks = np.flatnonzero(joined["tape"][:, GAP] > 0).astype(np.int64)
        everything = Columns(**joined, cycles=places, ticks_max=int(joined["ticks"].max()))
        calendar = Cycles(times, (times - 1) // DAY_NS)
        return cls(tuple(parts), everything, calendar, span, breaks, int(lengths.pop()), terms)

    @property
    def bars(self) -> int:
        """How many bars are in the part that is traded."""
        return int((self.span.stops - self.span.starts).sum())

    @property
    def days(self) -> Ints:
        """The days of UTC since 1970 that returns are given for, without holes."""
        days = self.cycles.days
        return np.arange(days[self.span.first], days[self.span.last - 1] + 1, dtype=np.int64)

    def cut(self, from_ns: int, to_ns: int) -> "Market":
        """Return the bars that open at ``from_ns`` or later and close by ``to_ns``, without copying any. A strategy
        begins anew there, as in a run over that part: it warms up before it speaks.

        Raises: InvalidInput where no bar is left.
        """
        closes_ns = self.cycles.closes_ns
        first = max(self.span.first, int(np.searchsorted(closes_ns, from_ns + self.interval_ns)))
        last = min(self.span.last, int(np.searchsorted(closes_ns, to_ns, side="right")))
        starts, stops = self.span.starts.copy(), self.span.stops.copy()
        for token in range(len(self.mints)):
            of_token = self.columns.cycles[starts[token] : stops[token]]
            inside = np.searchsorted(of_token, (first, max(first, last)))
            starts[token], stops[token] = starts[token] + inside[0], starts[token] + inside[1]
        if not (stops > starts).any():
            msg = f"no bar opens at {from_ns} ns or later and closes by {to_ns} ns"
            raise InvalidInput(msg, field="from_ns")
        return replace(self, span=Span(starts, stops, first, last))

    def under(self, terms: Terms) -> "Market":
        """Return the same bars on other terms."""
        return replace(self, terms=terms)


def _share(bps: int) -> float:
    return bps / BPS_ONE if bps else NO_LIMIT


def _token(mint: str, bars: Iterable[Bar]) -> tuple[dict[str, Any], Priced] | None:
    """Return the columns of one token and when its bars are, None for no bars. Raises: InvalidInput."""
    numbers, times, exact = array("d"), array("q"), []
    for bar in bars:
        sol_log = NOTHING if bar.sol_usd is None else math.log(float(bar.sol_usd))
        numbers.extend((float(bar.open), float(bar.high), float(bar.low), float(bar.close), float(bar.volume), sol_log))
        times.extend((bar.ts_open_ns, bar.ts_close_ns))
        exact.append(bar.close)
        if len(exact) > BARS_MAX:
            msg = f"bars of {mint}: at most {BARS_MAX}"
            raise InvalidInput(msg, field="bars")
    if not exact:
        return None
    opens, highs, lows, closes, volumes, sol_logs = np.array(numbers).reshape(-1, 6).T.copy()
    opened, closed = np.array(times).reshape(-1, 2).T.copy()
    if (opened[1:] < closed[:-1]).any() or min(map(np.min, (opens, highs, lows, closes))) <= 0.0:
        msg = f"bars of {mint}: in time order and at prices above 0"
        raise InvalidInput(msg, field="bars")
    before = np.concatenate((closes[:1], closes[:-1]))
    logs = np.fromiter(map(math.log, closes), np.float64, closes.size)
    # By Python's power, as the volatility of a strategy has it: the last bit may not be that of a product.
    squares = np.fromiter(((now - then) ** 2 for now, then in pairwise(logs.tolist())), np.float64, closes.size - 1)
    priced = Priced(opened, closed, logs, sol_logs)
    gaps_ns = np.concatenate((np.zeros(1), opened[1:] - closed[:-1]))
    variances = _variances((closes / before - 1.0).tolist())
    return {
        "tape": np.stack((opens, gaps_ns, np.zeros(closes.size), variances, closed - opened), axis=1),
        "highs": highs,
        "lows": lows,
        "closes": closes,
        "volumes": volumes,
        "ticks": _ticks(exact),
        "logs": logs,
        "changes": np.fromiter(map(math.log, closes / before), np.float64, closes.size),
        "squares": np.concatenate((np.zeros(1), squares)),
        "ranges": np.maximum(highs, before) / np.minimum(lows, before) - 1.0,
        "sol_logs": sol_leads(mint, priced),
    }, priced


def _ticks(closes: Sequence[Decimal]) -> Ints:
    """Return closes in whole ticks: exact where their digits fit, else of so fine a tick that the highest takes all the
    bits there are (prices that are quotients have more digits than an average can tell apart)."""
    digits = max(0, -min(int(close.as_tuple().exponent) for close in closes))
    most = max(closes)
    scale = Decimal(10) ** digits
    if most * scale > TICKS_MAX:
        scale = TICKS_MAX / most
    return np.array([round(close * scale) for close in closes], np.int64)


def _variances(changes: Sequence[float]) -> Floats:
    found, variance = [], 0.0
    for place, change in enumerate(changes):
        if place:
            variance += VARIANCE_WEIGHT * (change * change - variance)
        found.append(variance)
    return np.array(found, np.float64)
