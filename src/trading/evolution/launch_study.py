"""The launch study: what the scanner makes of tokens that had no part in the choice of its parameters.

Tokens are split beforehand, each by a hash of the seed and its own mint. On the first part the parameters are chosen,
the second judges them. Every token is a run of its own in the full engine, with the same capital, so that no trade
takes the place of another; at most one trade comes of each. The measure of all trades is the trimmed mean (of launches
one in a hundred decides a plain mean), beside it the median; intervals are bootstraps over tokens.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from trading.adapters.canonical import canonical_json, parse_json
from trading.adapters.memory_journal import MemoryJournal
from trading.engine.closings import NOT_FILLED
from trading.errors import InvalidInput
from trading.execution.bonding_curve import curve_at
from trading.feeds.replay import ReplayFeed
from trading.model import events
from trading.model.event_codec import decode
from trading.model.instrument import LaunchCurve
from trading.model.market_data import Bar, CycleEnd, FeedGap, MarketEvent, TokenListed
from trading.model.profile import BASELINE, Profile, StrategyChoice
from trading.model.units import BPS_ONE, LAMPORTS_PER_SOL
from trading.runtime.assembly import RunPlan, begin, make_kernel
from trading.strategies.launch_scanner import LaunchScanner
from trading.strategies.parameters import Value

TRADES_MIN: Final = 30
"""With fewer trades on the second part nothing is said."""
TRIM: Final = 0.1
"""The share of trades that is left out at either end."""
RESAMPLES: Final = 2_000
CONFIDENCE: Final = 0.95
EQUITY_LAMPORTS: Final = 3 * LAMPORTS_PER_SOL // 2
"""Of which the profile buys a tenth."""
CURVE: Final = LaunchCurve()
"""Declared for every token, because no reserves are recorded: its price tells whether it is still on the curve, and how
deep the pool is that the curve became."""
EVERY_LAUNCH: Final[Mapping[str, Value]] = {"wait_bars": 1, "window_bars": 1, "entry_rise": -1.0, "entry_flow": -1.0}
"""What makes the scanner buy every launch one bar late."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Returns are shares per trade, after all costs; each interval is (low, high)."""

    trades: int
    median: float
    median_interval: tuple[float, float]
    trimmed: float
    trimmed_interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Study:
    """``parameters`` None: no candidate traded enough on the first part. ``margin``: trimmed mean of the scanner less
    that of buying every launch, with its interval over the same tokens."""

    first_tokens: int
    second_tokens: int
    candidates: int
    parameters: Mapping[str, Value] | None
    first: Figures | None
    scanner: Figures | None
    every: Figures | None
    margin: float
    margin_interval: tuple[float, float]

    @property
    def is_proven(self) -> bool:
        """Whether the scanner is above zero, and above buying every launch, by the lower ends of its intervals."""
        enough = self.scanner is not None and self.scanner.trades >= TRADES_MIN
        return (
            enough and self.scanner is not None and min(self.scanner.trimmed_interval[0], self.margin_interval[0]) > 0
        )


def split(mints: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Return two parts of about the same size; where a token belongs rests on nothing but the seed and its mint."""
    parts: tuple[list[str], list[str]] = ([], [])
    for mint in sorted(mints):
        parts[hashlib.sha256(f"{seed}:{mint}".encode()).digest()[0] % 2].append(mint)
    return parts


def token_feeds(feed: ReplayFeed) -> dict[str, ReplayFeed]:
    """Return a feed of each token alone, with the cycles in which it has a bar, on the declared curve."""
    groups: dict[str, dict[int, list[MarketEvent]]] = {}
    cycles: dict[str, list[CycleEnd]] = {}
    together: dict[str, list[MarketEvent]] = {}
    for event in feed.events():
        match event:
            case TokenListed(instrument=instrument):
                declared = replace(instrument, pool=CURVE)
                together.setdefault(instrument.mint, []).append(replace(event, instrument=declared))
            case Bar(mint=mint) | FeedGap(mint=mint):
                together.setdefault(mint, []).append(event)
            case CycleEnd():
                for mint, told in together.items():
                    groups.setdefault(mint, {})[event.ts_ns] = told
                    cycles.setdefault(mint, []).append(event)
                together = {}
            case _:
                msg = f"a launch study is made on bars, not on {type(event).__name__}"
                raise InvalidInput(msg, field="data")
    return {
        mint: ReplayFeed(groups[mint], cycles[mint], replace(feed.description, detail=mint), feed.summary)
        for mint in sorted(groups)
    }


def graduates_at_once(feed: ReplayFeed) -> bool:
    """Say whether the first bar of a token reaches the price at which its curve becomes a pool: from its second bar on
    it trades in that pool."""
    decimals = 0
    for event in feed.events():
        match event:
            case TokenListed(instrument=instrument):
                decimals = instrument.decimals
            case Bar(high=high):
                return curve_at(CURVE, high, decimals) is None
    return False


def traded(feed: ReplayFeed, parameters: Mapping[str, Value]) -> float | None:
    """Return what the scanner's one trade of this token brought as a share of its cost, None where there was none.

    What is held at the end counts at what selling it would bring.
    """
    plan = RunPlan("backtest", feed.description, _rules(parameters), EQUITY_LAMPORTS, 2 * EQUITY_LAMPORTS)
    journal = MemoryJournal()
    kernel = make_kernel(plan, "study", journal)
    begin(kernel)
    for event in feed.events():
        kernel.on_event(event)
    journal.commit()
    held = kernel.state.ledger.positions()
    if held:
        worth = kernel.valuer.position_lamports(held[0], kernel.valuer.value())
        return worth / held[0].cost_lamports - 1.0
    for row in journal.rows(kinds=("position_closed",)):
        closed = decode(row.kind, parse_json(row.body))
        assert isinstance(closed, events.PositionClosed)
        if not closed.reason.startswith(NOT_FILLED):
            return closed.return_bps / BPS_ONE
    return None


def study(feeds: Mapping[str, ReplayFeed], candidates: Sequence[Mapping[str, Value]], seed: int) -> Study:
    """Choose by the trimmed mean on the first part among candidates with ``TRADES_MIN`` trades there, judge on the
    second.

    Facts were not recorded, so no rug check can be made, and none is asked for. Raises: InvalidInput.
    """
    if not candidates:
        msg = "candidates: at least one set of parameters"
        raise InvalidInput(msg, field="candidates")
    first, second = split(list(feeds), seed)
    best: tuple[float, Mapping[str, Value]] | None = None
    for candidate in candidates:
        returns = _returns(feeds, first, candidate)
        if len(returns) >= TRADES_MIN and (best is None or trimmed_mean(list(returns.values())) > best[0]):
            best = (trimmed_mean(list(returns.values())), candidate)
    nothing = Study(len(first), len(second), len(candidates), None, None, None, None, 0.0, (0.0, 0.0))
    if best is None:
        return nothing
    chosen = best[1]
    mine, every = _returns(feeds, second, chosen), _returns(feeds, second, {**chosen, **EVERY_LAUNCH})
    samples = _Samples(second, mine, every, seed)
    return replace(
        nothing,
        parameters=dict(chosen),
        first=_Samples(first, _returns(feeds, first, chosen), {}, seed).figures(),
        scanner=samples.figures(),
        every=_Samples(second, every, {}, seed).figures(),
        margin=samples.margin(),
        margin_interval=samples.margin_interval(),
    )


def trimmed_mean(returns: Sequence[float]) -> float:
    """Return the mean without the lowest and the highest ``TRIM`` of them; 0 of none."""
    if not returns:
        return 0.0
    ordered = np.sort(np.asarray(returns, dtype=np.float64))
    cut = int(ordered.size * TRIM)
    return float(ordered[cut : ordered.size - cut].mean())


def scope_of(feeds: Mapping[str, ReplayFeed], candidate: Mapping[str, Value], seed: int) -> str:
    """Return what names a candidate's trial on the first part: a hash of all that decides its outcome."""
    inputs = next((each.description.inputs for each in feeds.values()), ())
    body = {"inputs": [list(pair) for pair in inputs], "seed": seed, "rules": _rules(candidate).model_dump_json()}
    return hashlib.sha256(canonical_json(body)).hexdigest()[:24]


def _rules(parameters: Mapping[str, Value]) -> Profile:
    choice = StrategyChoice(name=LaunchScanner.NAME, weight_bps=BPS_ONE, parameters={**parameters, "needs_facts": 0})
    return BASELINE.model_copy(update={"strategies": (choice,)})


def _returns(
    feeds: Mapping[str, ReplayFeed], mints: Sequence[str], parameters: Mapping[str, Value]
) -> dict[str, float]:
    found = {mint: traded(feeds[mint], parameters) for mint in mints}
    return {mint: value for mint, value in found.items() if value is not None}


class _Samples:
    """The same tokens drawn again and again, with replacement: what the trades of each draw would have been."""

    def __init__(self, mints: Sequence[str], mine: Mapping[str, float], other: Mapping[str, float], seed: int) -> None:
        self._mine, self._other = mine, other
        chance = np.random.default_rng(seed)
        self._draws = [
            [mints[place] for place in row] for row in chance.integers(0, len(mints), (RESAMPLES, len(mints)))
        ]

    def figures(self) -> Figures:
        returns = list(self._mine.values())
        drawn = [self._of(self._mine, draw) for draw in self._draws]
        return Figures(
            trades=len(returns),
            median=float(np.median(returns)) if returns else 0.0,
            median_interval=_interval([float(np.median(each)) if each else 0.0 for each in drawn]),
            trimmed=trimmed_mean(returns),
            trimmed_interval=_interval([trimmed_mean(each) for each in drawn]),
        )

    def margin(self) -> float:
        return trimmed_mean(list(self._mine.values())) - trimmed_mean(list(self._other.values()))

    def margin_interval(self) -> tuple[float, float]:
        return _interval(
            [
                trimmed_mean(self._of(self._mine, draw)) - trimmed_mean(self._of(self._other, draw))
                for draw in self._draws
            ]
        )

    @staticmethod
    def _of(returns: Mapping[str, float], draw: Sequence[str]) -> list[float]:
        return [returns[mint] for mint in draw if mint in returns]


def _interval(values: Sequence[float]) -> tuple[float, float]:
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(np.asarray(values), [tail, 1.0 - tail])
    return float(low), float(high)
