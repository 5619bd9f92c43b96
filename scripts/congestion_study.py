"""How long positions take to be left while the chain is congested: ``python -m scripts.congestion_study``.

The real executor, router client, checks and chain client against the rehearsal chain, whose time runs faster. The table
goes between its markers in docs/results.md, each figure in seconds of a chain with a slot of 400 ms.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import anyio
from scripts.results_file import commit, splice
from tests.support.congestion import BASE_PRICE, LIVE, PRIORITY_LAMPORTS, WEATHERS, Weather, congestion

from trading.execution.preparing import EXIT_PRICE_TIMES
from trading.model.intent import IntentRecord, IntentState

EXITS, WAVE, SEED, TIMES = 56, 14, 1, 4


@dataclass(frozen=True, slots=True)
class Seen:
    """What one weather did: seconds of each exit, shortest first, and every intent that was made for them."""

    weather: Weather
    spans_s: Sequence[float]
    intents: Sequence[IntentRecord]
    waiting: int


async def seen_in(weather: Weather, exits: int, times: float) -> Seen:
    """Leave so many positions in that weather, a wave of them at a time."""
    async with congestion(times) as found:
        with tempfile.TemporaryDirectory() as folder:
            for wave, start in enumerate(range(0, exits, WAVE)):
                await found.leave(weather, min(WAVE, exits - start), SEED + wave, Path(folder))
        return Seen(weather, found.spans_s(), found.exits, found.flat.document("wall")["waiting"])


def rank(spans_s: Sequence[float], percentile: int) -> str:
    return f"{spans_s[-(-len(spans_s) * percentile // 100) - 1]:.1f}" if spans_s else "-"


def row(found: Seen) -> str:
    settled = [each for each in found.intents if each.state is IntentState.SETTLED]
    fees = sorted(each.settlement.fee_lamports for each in settled if each.settlement is not None)
    cells = [
        found.weather.name,
        f"{len(found.spans_s)}",
        *(rank(found.spans_s, each) for each in (50, 95, 100)),
        f"{sum(len(each.attempts) > 1 for each in settled)}",
        f"{len(found.intents) - len(settled)}",
        f"{fees[(len(fees) - 1) // 2]:,}" if fees else "-",
        f"{fees[-1]:,}" if fees else "-",
        f"{found.waiting}",
    ]
    return f"| {' | '.join(cells)} |"


def section(found: list[Seen], times: float) -> str:
    heads = (
        "weather", "exits", "median s", "p95 s", "longest s", "needed a second attempt", "decided anew",
        "fee, median lamports", "fee, most", "not flat",
    )  # fmt: skip
    rows = "\n".join(map(row, found))
    calm = WEATHERS[-1]
    return f"""## Time to flat while the chain is congested

`python -m scripts.congestion_study`, commit {commit()}, {datetime.now(UTC):%Y-%m-%d}. The rehearsal chain with three
endpoints, the executor and everything below it as with real money. Time runs {times:g} times as fast for chain and desk
alike; figures are turned back into seconds of slots of 400 ms. They run from the decision to leave to the finalized
fill, and 13 s of that is the wait for finality. {WAVE} positions are left at a time.

First sends dropped: {calm.drops} rounds of sending for each exit, on every endpoint. Fees: what all others pay grows
from {BASE_PRICE:,} micro-lamports a compute unit to three or ten times that once the first exit is signed, stays there
for {calm.slots[0]} to {calm.slots[1]} slots (by the seed), and falls again in two steps; who pays less waits. Dead: the
third endpoint takes calls and never answers. An exit offers {EXIT_PRICE_TIMES} times what the chain asks, twice that
with each further attempt, and pays at most {5_000 + PRIORITY_LAMPORTS * LIVE.exit_fee_times:,} lamports. The time is
the machine's too: a busy one shows longer ones.

| {" | ".join(heads)} |
|{" --- |" * len(heads)}
{rows}
"""


async def study(exits: int, times: float) -> list[Seen]:
    return [await seen_in(weather, exits, times) for weather in WEATHERS]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--exits", type=int, default=EXITS, help="of each weather")
    parser.add_argument("--times", type=float, default=TIMES, help="how much faster time runs")
    arguments = parser.parse_args()
    found = anyio.run(study, arguments.exits, arguments.times)
    text = section(found, arguments.times)
    splice("congestion", text)
    print(text)
    return 1 if any(each.waiting for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
