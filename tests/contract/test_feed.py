"""What every feed promises: order, listing before bars, closed cycles, and the same events from any start."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from tests.unit.trading.feeds.bar_writers import SWAP_HEADER, bar_rows, swap_row, write_csv

from trading.errors import InvalidInput
from trading.feeds.replay import open_replay
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model.instrument import Instrument
from trading.model.market_data import (
    Bar,
    CycleEnd,
    FeedDescription,
    FeedGap,
    MarketEvent,
    Swap,
    TokenGone,
    TokenListed,
    ts_of,
)
from trading.ports import Feed

NS = 1_000_000_000


@dataclass(frozen=True)
class ScriptedFeed:
    """The test body: the cycles it is given, nothing else."""

    cycles: Sequence[Sequence[MarketEvent]]

    @property
    def description(self) -> FeedDescription:
        return FeedDescription("replay", "a script", 300, (("script", "0" * 64),))

    def events(self, skip_cycles: int = 0) -> Iterator[MarketEvent]:
        if skip_cycles < 0:
            msg = f"skip_cycles is {skip_cycles}; expected 0 or more"
            raise InvalidInput(msg, field="skip_cycles")
        for cycle in self.cycles[skip_cycles:]:
            yield from cycle


def scripted(_: Path) -> Feed:
    one = Decimal(1)
    listed = TokenListed(300 * NS, Instrument("m", "M", 6), "s")

    def bar(number: int) -> Bar:
        return Bar("m", number * 300 * NS, (number + 1) * 300 * NS, one, one, one, one, one, None, None, "s")

    return ScriptedFeed(
        [
            [listed, bar(0), CycleEnd(300 * NS, None)],
            [bar(1), CycleEnd(600 * NS, None)],
            [CycleEnd(900 * NS, None)],
            [FeedGap(1_200 * NS, "m", 600 * NS, 900 * NS, "s"), bar(3), CycleEnd(1_200 * NS, None)],
            [TokenGone(1_500 * NS, "m", "over", "s"), CycleEnd(1_500 * NS, None)],
        ]
    )


def replay(folder: Path) -> Feed:
    rows = bar_rows(12)
    return open_replay(
        [
            write_csv(folder / "BONKUSDT_5m.csv.gz", [*rows[:4], *rows[6:]]),
            write_csv(folder / "WIFUSDT_5m.csv", rows[5:9]),
            write_csv(folder / "SOLUSDT_5m.csv", bar_rows(12, price="100")),
        ]
    )


def swaps(folder: Path) -> Feed:
    rows = [swap_row(second, mint=mint) for second in (0, 1, 4, 5, 6, 21, 22, 30) for mint in ("mintA", "mintB")]
    return open_replay([write_csv(folder / "swaps_5s.csv.gz", rows, SWAP_HEADER)])


def synthetic(_: Path) -> Feed:
    return SyntheticFeed(SyntheticMarket(seed=5, cycles=300, launch_ppm=60_000))


@pytest.fixture(params=[scripted, replay, swaps, synthetic], ids=lambda make: make.__name__)
def feed(request: pytest.FixtureRequest, tmp_path: Path) -> Feed:
    make: Callable[[Path], Feed] = request.param
    return make(tmp_path)


def cycles_of(events: Iterator[MarketEvent]) -> list[list[MarketEvent]]:
    found: list[list[MarketEvent]] = [[]]
    for event in events:
        found[-1].append(event)
        if isinstance(event, CycleEnd):
            found.append([])
    assert found.pop() == [], "events after the last CycleEnd"
    return found


def test_each_cycle_is_of_one_time_later_than_the_one_before(feed: Feed) -> None:
    cycles = cycles_of(feed.events())
    assert all({ts_of(event) for event in cycle} == {cycle[-1].ts_ns} for cycle in cycles)  # type: ignore[union-attr]
    times = [ts_of(cycle[-1]) for cycle in cycles]
    assert all(earlier < later for earlier, later in pairwise(times))


def test_a_token_is_listed_before_anything_else_is_said_of_it_and_never_after_it_is_gone(feed: Feed) -> None:
    listed: set[str] = set()
    gone: set[str] = set()
    for event in feed.events():
        match event:
            case TokenListed(instrument=instrument):
                assert instrument.mint not in listed
                listed.add(instrument.mint)
            case Bar(mint=mint) | FeedGap(mint=mint) | Swap(mint=mint):
                assert mint in listed - gone
            case TokenGone(mint=mint):
                assert mint in listed - gone
                gone.add(mint)
            case CycleEnd():
                pass
    assert listed


def test_bars_are_closed_sound_and_one_a_token_and_cycle(feed: Feed) -> None:
    for cycle in cycles_of(feed.events()):
        bars = [event for event in cycle if isinstance(event, Bar)]
        assert len({bar.mint for bar in bars}) == len(bars)
        for bar in bars:
            assert bar.ts_close_ns - bar.ts_open_ns == feed.description.interval_s * NS
            assert 0 < bar.low <= min(bar.open, bar.close)
            assert max(bar.open, bar.close) <= bar.high
            assert bar.source


def test_swaps_come_in_order_before_the_bar_that_they_lie_in(feed: Feed) -> None:
    interval_ns = feed.description.interval_s * NS
    for cycle in cycles_of(feed.events()):
        swapped = [event for event in cycle if isinstance(event, Swap)]
        assert all(cycle[-1].ts_ns - interval_ns <= swap.swapped_ns < cycle[-1].ts_ns for swap in swapped)  # type: ignore[union-attr]
        assert [swap.swapped_ns for swap in swapped] == sorted(swap.swapped_ns for swap in swapped)
        kinds = [type(event) for event in cycle if isinstance(event, Swap | Bar)]
        assert kinds == sorted(kinds, key=lambda kind: kind is Bar)


def test_a_gap_says_exactly_which_time_has_no_bar(feed: Feed) -> None:
    last_ns: dict[str, int] = {}
    announced: dict[str, tuple[int, int]] = {}
    for event in feed.events():
        if isinstance(event, FeedGap):
            announced[event.mint] = (event.from_ns, event.to_ns)
        elif isinstance(event, Bar):
            missing = (last_ns.get(event.mint, event.ts_open_ns), event.ts_open_ns)
            assert announced.pop(event.mint, None) == (missing if missing[0] < missing[1] else None)
            last_ns[event.mint] = event.ts_close_ns


def test_every_iteration_gives_the_same_events_from_any_start(feed: Feed) -> None:
    cycles = cycles_of(feed.events())
    for skip in {0, 1, len(cycles) // 2, len(cycles) - 1, len(cycles)}:
        assert cycles_of(feed.events(skip)) == cycles[skip:]
    assert list(feed.events(len(cycles) + 5)) == []


def test_two_iterations_at_once_do_not_disturb_each_other(feed: Feed) -> None:
    whole = list(feed.events())
    assert [pair[0] for pair in zip(feed.events(), feed.events(), strict=True)] == whole


def test_a_start_before_the_beginning_is_refused(feed: Feed) -> None:
    with pytest.raises(InvalidInput, match="skip_cycles"):
        next(feed.events(-1))


def test_the_description_names_every_input_by_a_hash(feed: Feed) -> None:
    description = feed.description
    assert description.kind in ("replay", "synthetic")
    assert description.inputs
    assert all(len(digest) == 64 for _, digest in description.inputs)
