"""Looks at venues on a schedule, counts the full cost of every trip between two of them, and takes the best.

All venues are looked at beside each other and within a time; one that gives no answer is left out of that round. What
was seen, and why it was not taken, is written down. A trip is taken where it leaves more than ``net_min`` by the looks
of that round, which are not older than ``stale_s`` when it is handed in.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Final, Protocol

import anyio
import anyio.to_thread

from trading.errors import TradingError
from trading.model.identifiers import derived_id
from trading.model.units import NS_PER_S
from trading.ports import Clock

from .leg_venue import LegLook, LegVenue
from .opportunities import Opportunity, TripTerms, best, evaluate
from .planning import TripPace, planned, planned_whole
from .runner import Sleep, TripRunner
from .trip_ports import Sighting, TripJournal
from .trips import TripPlan

VENUES_MAX: Final = 8
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MonitorRules:
    """``least`` and ``most``: sizes of a trip in the unit that it begins with. ``net_min``: a trip has to leave more.
    ``keep_bps``: so much of what a venue holds stays there. ``every_s``: the pause between two rounds; ``look_s``: how
    long a venue is waited for; ``stale_s``: a look that is older is not acted on. ``terms`` by first and second venue,
    ``usual`` for all other pairs."""

    least: int
    most: int
    net_min: int
    usual: TripTerms
    terms: Mapping[tuple[str, str], TripTerms] = field(default_factory=dict)
    pace: TripPace = field(default_factory=TripPace)
    keep_bps: int = 0
    every_s: float = 2.0
    look_s: float = 3.0
    stale_s: float = 5.0

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            msg = f"least is {self.least} and most {self.most}; they have to be 1 or more, and rise"
            raise ValueError(msg)
        if not 0 <= self.keep_bps < 10_000:
            msg = f"keep_bps is {self.keep_bps}; allowed is 0 to 9999"
            raise ValueError(msg)
        if self.net_min < 0:
            msg = f"net_min is {self.net_min}; allowed is 0 or more"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Seen:
    """The best trip from one venue to another, None where there is none; ``why_not`` is "" for one worth taking."""

    first: LegLook
    second: LegLook
    found: Opportunity | None
    why_not: str


class WholeVenue(Protocol):
    """What makes both legs of a trip at one venue at once."""

    @property
    def name(self) -> str: ...

    @property
    def fits(self) -> bool:
        """Whether it is thought to hold both."""


class Monitor:
    """One per runner."""

    def __init__(
        self,
        venues: Mapping[str, LegVenue],
        runner: TripRunner,
        journal: TripJournal,
        rules: MonitorRules,
        clock: Clock,
        sleep: Sleep = anyio.sleep,
    ) -> None:
        if not 2 <= len(venues) <= VENUES_MAX:
            msg = f"{len(venues)} venues; allowed are 2 to {VENUES_MAX}"
            raise ValueError(msg)
        self._venues = venues
        self._runner = runner
        self._journal = journal
        self._rules = rules
        self._clock = clock
        self._sleep = sleep
        self.wholes: Mapping[str, WholeVenue] = {}
        """By venue what makes a trip there and back at once. The runner knows it by its own name."""
        self.closed: Callable[[], str] = lambda: ""
        """Says why no trip may be opened now, "" where one may."""
        self.on_looks: Callable[[str, int, int], None] = lambda _venue, _money, _middle: None
        """Hears what lies at a venue after each look: money, and the middle token."""
        self.on_trouble: Callable[[str, str], None] = lambda _venue, _why: None
        """Hears why a venue was left out of a round, "" where it was not."""

    async def run(self) -> None:
        """Raises: JournalUnavailable."""
        while True:
            await self.round()
            await self._sleep(self._rules.every_s)

    async def round(self) -> str:
        """Look once, take the best trip if there is one; return its id, "" where none was taken."""
        looks = [self._unpromised(each) for each in await self._looks()]
        now_ns = self._clock.now_ns()
        # A deep book takes a while to be walked again and again, and nobody else need wait for that.
        seen = await anyio.to_thread.run_sync(_all_weighed, looks, self._rules, now_ns)
        seen += [self._weighed_whole(each, now_ns) for each in looks if each.venue in self.wholes]
        worth = [each for each in seen if not each.why_not and each.found is not None]
        chosen = max(worth, key=lambda each: each.found.net if each.found else 0, default=None)
        trip_id, why_not = "", ""
        if chosen is not None and chosen.found is not None:
            first, second = chosen.first, chosen.second
            trip_id = derived_id("trip", f"{first.venue}/{second.venue}/{first.at_ns}/{second.at_ns}/{now_ns}")
            plan, loss_max = self._planned(trip_id, first, second, chosen.found, now_ns)
            why_not = self.closed() or await self._runner.take(plan, loss_max)
        rows = [
            _sighting(each, now_ns, why_not if each is chosen else each.why_not or "another_is_better") for each in seen
        ]
        await anyio.to_thread.run_sync(self._journal.seen, rows)
        return "" if why_not else trip_id  # "" too where there was nothing to take

    def _unpromised(self, look: LegLook) -> LegLook:
        """What trips under way are still to give is not there for another one."""
        money, middle = self._runner.promised(look.venue)
        money_free, middle_free = max(0, look.money_free - money), max(0, look.middle_free - middle)
        return replace(look, money_free=money_free, middle_free=middle_free)

    def _weighed_whole(self, look: LegLook, now_ns: int) -> Seen:
        """Return the best trip there and back at one venue. What is between need not lie there: the first leg brings
        it; and where both are one transaction, nothing can break and nothing is to be carried."""
        is_whole = self.wholes[look.venue].fits
        pair = (look.venue, look.venue)
        terms = {**self._rules.terms, pair: TripTerms()} if is_whole else self._rules.terms
        brought = look.there.quote(min(self._rules.most, look.money_free)) or look.middle_free
        back = replace(look, middle_free=brought * 10_000 // (10_000 - self._rules.keep_bps) + 1)
        return weighed(look, back, replace(self._rules, terms=terms), now_ns)

    def _planned(
        self, trip_id: str, first: LegLook, second: LegLook, found: Opportunity, now_ns: int
    ) -> tuple[TripPlan, int]:
        rules = self._rules
        whole = self.wholes.get(first.venue) if first.venue == second.venue else None
        if whole is None or not whole.fits:
            return planned(trip_id, first, second, found, rules.pace, now_ns)
        cost = first.there.attempt_cost
        return planned_whole(trip_id, whole.name, found, rules.net_min, cost, rules.pace, now_ns)

    async def _looks(self) -> Sequence[LegLook]:
        found: dict[str, LegLook] = {}

        async def look(name: str, venue: LegVenue) -> None:
            why = f"no answer within {self._rules.look_s} s"
            try:
                with anyio.move_on_after(self._rules.look_s):
                    found[name] = await venue.look()
                    self.on_looks(name, found[name].money_free, found[name].middle_free)
                    why = ""
            except TradingError as error:
                why = error.message
                logger.info("%s: %s", name, error)
            self.on_trouble(name, why)

        async with anyio.create_task_group() as tasks:
            for name, venue in self._venues.items():
                tasks.start_soon(look, name, venue)
        return [found[name] for name in self._venues if name in found]


def _all_weighed(looks: Sequence[LegLook], rules: MonitorRules, now_ns: int) -> list[Seen]:
    return [weighed(one, other, rules, now_ns) for one, other in permutations(looks, 2)]


def weighed(first: LegLook, second: LegLook, rules: MonitorRules, now_ns: int) -> Seen:
    """Return the best trip that gives money at the first venue and brings it back at the second."""
    oldest_ns = min(first.at_ns, second.at_ns)
    if now_ns - oldest_ns > rules.stale_s * NS_PER_S:
        return Seen(first, second, None, "stale")
    terms = rules.terms.get((first.venue, second.venue), rules.usual)
    least = max(rules.least, first.least_there)
    most = min(rules.most, first.money_free * (10_000 - rules.keep_bps) // 10_000)
    middle_most = second.middle_free * (10_000 - rules.keep_bps) // 10_000
    if most < least or middle_most < max(1, second.least_back):
        return Seen(first, second, None, "inventory")
    fitting = _within_middle(first, least, most, middle_most)
    if fitting is None:
        return Seen(first, second, None, "inventory")
    found = best(first.there, second.back, terms, least=least, most=fitting, net_min=rules.net_min)
    if found is not None:
        return Seen(first, second, found, "")
    smallest = evaluate(first.there, second.back, terms, least)
    if smallest is None:
        return Seen(first, second, None, "no_price")
    top = best(first.there, second.back, terms, least=least, most=fitting, net_min=smallest.net - 1) or smallest
    return Seen(first, second, top, "net_min" if top.net > 0 else "cost")


def _within_middle(first: LegLook, least: int, most: int, middle_most: int) -> int | None:
    """Return the largest size whose middle amount the second venue holds already, None where the least is too much."""

    def fits(amount: int) -> bool:
        middle = first.there.quote(amount)
        return middle is not None and middle <= middle_most

    if not fits(least):
        # Beyond the depth is not for want of inventory; the price says so later.
        return most if first.there.quote(least) is None else None
    low, high = least, most
    while low < high:
        half = (low + high + 1) // 2
        low, high = (half, high) if fits(half) else (low, half - 1)
    return low


def _sighting(seen: Seen, now_ns: int, why_not: str) -> Sighting:
    found = seen.found
    figures = (0, 0, 0) if found is None else (found.amount, found.gross, found.net)
    return Sighting(now_ns, seen.first.venue, seen.second.venue, *figures, why_not)
