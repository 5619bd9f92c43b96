"""Pace, order and bounds of the sources; what a preview binds."""

import pytest
from tests.doubles.scripted_market import START_NS, ManualFeed, ScriptedFeed, script

from trading.config import PreviewSection
from trading.model.market_data import ts_of
from trading.runtime.previews import Preview, Previews, Refused, fingerprint
from trading.runtime.sources import BATCH_CYCLES_MAX, LiveSource, PacedSource

pytestmark = pytest.mark.anyio


class Watch:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_source_without_a_pace_gives_bounded_batches_in_order() -> None:
    source = PacedSource(ScriptedFeed(script(["1"] * 600)), None)
    source.seek(0)
    numbers: list[int] = []
    while (batch := await source.next()) is not None:
        assert 1 <= len(batch) <= BATCH_CYCLES_MAX
        numbers += [cycle.number for cycle in batch]
    assert numbers == list(range(1, 601))


async def test_a_source_goes_on_after_the_cycles_that_were_taken() -> None:
    source = PacedSource(ScriptedFeed(script(["1"] * 10)), None)
    source.seek(7)
    batch = await source.next()
    assert batch is not None
    assert [cycle.number for cycle in batch] == [8, 9, 10]
    assert await source.next() is None


async def test_a_paced_source_gives_what_is_due_and_catches_up_after_a_sleep() -> None:
    watch = Watch()
    source = PacedSource(ScriptedFeed(script(["1"] * 10)), 300.0, watch)  # a bar of 300 s a second
    source.seek(0)
    first = await source.next()
    assert first is not None
    assert [cycle.number for cycle in first] == [1]
    watch.now_s += 4.0  # the machine slept
    behind = await source.next()
    assert behind is not None
    assert [cycle.number for cycle in behind] == [2, 3, 4, 5]
    watch.now_s += 1.0
    assert source.age_s() == pytest.approx(300.0)


async def test_a_new_run_warms_up_without_a_pace_and_is_paced_from_then_on() -> None:
    watch = Watch()
    source = PacedSource(ScriptedFeed(script(["1"] * 20)), 300.0, watch, unpaced_cycles=8)
    source.seek(0)
    first = await source.next()
    assert first is not None
    assert [cycle.number for cycle in first] == [1, 2, 3, 4, 5, 6, 7, 8, 9]  # the ninth is the first that has a pace
    watch.now_s += 2.0
    later = await source.next()
    assert later is not None
    assert [cycle.number for cycle in later] == [10, 11]


async def test_a_run_that_goes_on_behind_its_warm_up_is_paced_at_once() -> None:
    watch = Watch()
    source = PacedSource(ScriptedFeed(script(["1"] * 20)), 300.0, watch, unpaced_cycles=8)
    source.seek(12)
    batch = await source.next()
    assert batch is not None
    assert [cycle.number for cycle in batch] == [13]


SECTION = PreviewSection(expiry_s=60, previews_max=2, drift_bps_max=100)
WISH = {"side": "buy", "mint": "m", "amount_sol": "1", "max_slippage_bps": None}


def test_a_preview_is_taken_once_by_its_agent_with_its_arguments_in_time() -> None:
    watch = Watch()
    previews = Previews(SECTION, watch)
    made = previews.make(WISH, "a", {"x": 1})
    other = previews.take(made.id, WISH, "b")
    assert isinstance(other, Refused)
    assert other.status == "stale"
    changed = previews.take(made.id, WISH | {"amount_sol": "2"}, "a")
    assert isinstance(changed, Refused)
    assert changed.status == "stale"
    taken = previews.take(made.id, WISH | {"preview_id": made.id}, "a")
    assert isinstance(taken, Preview)
    assert taken.terms == {"x": 1}
    again = previews.take(made.id, WISH, "a")
    assert isinstance(again, Refused)
    assert again.status == "expired"


def test_a_preview_ends_with_its_time() -> None:
    watch = Watch()
    previews = Previews(SECTION, watch)
    made = previews.make(WISH, "a", {})
    watch.now_s += 60.1
    refused = previews.take(made.id, WISH, "a")
    assert isinstance(refused, Refused)
    assert refused.status == "expired"


def test_an_argument_left_out_and_none_are_the_same_argument() -> None:
    assert fingerprint({"a": 1, "b": None}) == fingerprint({"a": 1, "preview_id": "x"})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


@pytest.mark.requirement("Q4")
async def test_a_clock_that_was_set_back_makes_a_live_feed_old() -> None:
    now_ns = START_NS
    feed = ManualFeed("m", "M", "1")
    source = LiveSource(feed, lambda: now_ns)
    assert source.age_s() is None
    async with feed.running():
        feed.push()
        [cycle] = await source.next() or []
    end_ns = ts_of(cycle.events[-1])
    now_ns = end_ns + 2 * 10**9
    assert source.age_s() == 2.0
    now_ns = end_ns - 3_600 * 10**9
    assert source.age_s() == 3_600.0
