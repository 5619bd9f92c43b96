"""Two pools as the venues of one monitor, and opportunities planted between them above and below their full cost."""

import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.support.leg_venues import PoolLeg
from tests.support.market_server import SteppedClock
from trading.adapters.trip_journal import SqlTripJournal
from trading.arbitrage.monitor import Monitor, MonitorRules
from trading.arbitrage.opportunities import TripTerms, evaluate
from trading.arbitrage.planning import TripPace
from trading.arbitrage.pools import ConstantProduct
from trading.arbitrage.runner import RunnerRules, TripRunner
from trading.arbitrage.trip_ports import TripLimits

TERMS: Final = TripTerms(breaks_bps=200, unwind_bps=100, carry_bps=10, carry_fixed=10_000, carry_batch=10**12)
RULES: Final = MonitorRules(least=10**7, most=10**11, net_min=50_000, usual=TERMS, pace=TripPace(first_slip_bps=50))
LIMITS: Final = TripLimits(open_max=3, amount_max=10**12, day_loss_max=10**13)
GAP_PPM_MAX: Final = 6_000
_MIDDLE: Final = 10**15


class TwoVenues:
    """Two pools of 10^14; ``gap_ppm`` moves the price of the second away from the first."""

    def __init__(self, folder: Path, seed: int = 1, **rules: object) -> None:
        self.clock, self.chance = SteppedClock(), random.Random(seed)
        pool = ConstantProduct(10**14, 10**14, 500)
        self.legs = [
            PoolLeg(name, pool, self.clock.now_ns, self.chance, cost=4_000, fails_bps=1_000) for name in ("a", "b")
        ]
        self.venues = {each.name: each for each in self.legs}
        self.journal = SqlTripJournal.at(folder / "arbitrage.db")
        self.rules = replace(RULES, **rules)  # type: ignore[arg-type]
        self.runner = TripRunner(self.journal, self.venues, RunnerRules(LIMITS), self.clock, self.clock.sleep)
        self.monitor = Monitor(self.venues, self.runner, self.journal, self.rules, self.clock, self.clock.sleep)

    def plant(self, gap_ppm: int) -> None:
        for leg in self.legs:
            leg.money = leg.middle = _MIDDLE
        level = 10**14 + self.chance.randrange(10**12)
        self.legs[0].pool = ConstantProduct(level, level, 500)
        self.legs[1].pool = ConstantProduct(level, level * (10**6 - gap_ppm) // 10**6, 500)

    async def worth(self) -> int:
        """The most that any of many sizes leaves after its full cost, either way, found without the search."""
        one, other = [await each.look() for each in self.legs]
        sizes = [int(10**7 * 10 ** (n / 40)) for n in range(161)]
        nets = [
            found.net
            for first, second in ((one, other), (other, one))
            for size in sizes
            if (found := evaluate(first.there, second.back, TERMS, size)) is not None
        ]
        return max(nets)


@dataclass
class Planted:
    """``above`` are worth more than ``net_min`` after their full cost, ``wrong`` were taken and are not. ``results``:
    what each trip that was taken brought."""

    above: int = 0
    taken: int = 0
    below: int = 0
    wrong: int = 0
    results: list[int] = field(default_factory=list)


async def plant(market: TwoVenues, times: int) -> Planted:
    """Plant so many opportunities, one after the other, and let the monitor look at each once."""
    found = Planted()
    for _ in range(times):
        market.plant(market.chance.choice((-1, 1)) * market.chance.randrange(GAP_PPM_MAX))
        worth = await market.worth()
        trip_id = await market.monitor.round()
        if worth > RULES.net_min:
            found.above, found.taken = found.above + 1, found.taken + bool(trip_id)
        else:
            found.below, found.wrong = found.below + 1, found.wrong + bool(trip_id)
        if trip_id:
            found.results.append((await market.runner.carry_out(trip_id)).result)
        market.clock.advance(2)
    return found
