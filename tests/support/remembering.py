"""A market of two tokens in which a scripted strategy speaks often, and a desk that remembers what came of it."""

import math
import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

from tests.doubles.kernel_bench import KernelBench, profile
from tests.doubles.scripted_market import INTERVAL_NS, MINT, START_NS, merged, script
from trading.model.market_data import Bar, MarketEvent
from trading.model.profile import Profile
from trading.model.recall import RecallRules

OTHER = "sim:BBB"
STRETCH = 6
"""A bar is half an hour instead of five minutes, so that a short run is of several days."""
HORIZON = 12 // STRETCH
"""Bars until a scripted opinion is due."""
Said = dict[tuple[str, int], float]

ALWAYS = RecallRules(is_on=True, neighbours=10, neighbours_min=5, scores_min=0)
PROVEN = ALWAYS.model_copy(update={"scores_min": 5})


def rules(recall: RecallRules = ALWAYS, **sizing: Any) -> Profile:
    """Return rules under which the desk may enter again and again."""
    limits = {"cooldown_s": 0, "reentry_s": 0, "protections": (), "edge_over_cost_bps_min": -10_000}
    drops = dict.fromkeys(("day_loss_bps_max", "drawdown_reducing_bps", "drawdown_halted_bps"), 10000)
    levels = {
        f"{level}_drawdown_{state}_bps": 10_000
        for level in ("wallet", "bucket", "strategy")
        for state in ("reducing", "halted")
    }
    wanted = profile(**limits, **drops, **levels)
    return wanted.model_copy(update={"recall": recall, "sizing": wanted.sizing.model_copy(update=sizing)})


def journey(seed: int, cycles: int = 400, drift: float = 0.0) -> tuple[list[MarketEvent], Said]:
    """Return two random walks with a drift a bar, and opinions about them: up, and down some bars later."""
    chance = random.Random(seed)
    walks: list[list[str | Decimal | None]] = []
    said: Said = {}
    for mint in (MINT, OTHER):
        price, walked = 1.0, []
        for _ in range(cycles):
            price *= math.exp(chance.gauss(drift, 0.004))
            walked.append(f"{price:.6f}")
        walks.append([*walked])
        number = 25
        while number < cycles:
            said[mint, number] = 1.0
            said[mint, number + chance.randrange(1, HORIZON + 2)] = -1.0
            number += HORIZON + chance.randrange(2, 5)
    return [stretched(each) for each in merged(script(walks[0]), script(walks[1], mint=OTHER))], said


def stretched(event: MarketEvent) -> MarketEvent:
    """Return the event as one of a slower market."""

    def at(ts_ns: int) -> int:
        return START_NS + (ts_ns - START_NS) * STRETCH

    if isinstance(event, Bar):
        return replace(event, ts_open_ns=at(event.ts_open_ns), ts_close_ns=at(event.ts_close_ns))
    return replace(event, ts_ns=at(event.ts_ns))


def bench_of(said: Said, wanted: Profile | None = None, **kinds: Any) -> KernelBench:
    def opinion(bar: Bar) -> float | None:
        return said.get((bar.mint, (bar.ts_close_ns - START_NS) // (INTERVAL_NS * STRETCH)))

    return KernelBench(opinion, rules=wanted or rules(), **kinds)
