"""The generated market is the same everywhere, and behaves as badly as it says."""

import hashlib
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import islice

import pytest

from trading.adapters.canonical import canonical_json
from trading.engine.inputs import encode_input
from trading.errors import InvalidInput
from trading.feeds.draws import NOISE_SD, Draws
from trading.feeds.synthetic import BOOKMARK_CYCLES, SyntheticFeed, SyntheticMarket
from trading.model.market_data import Bar, CycleEnd, MarketEvent, TokenGone, TokenListed, ts_of


def run(**options: int | None) -> list[MarketEvent]:
    return list(SyntheticFeed(SyntheticMarket(**{"seed": 7, "cycles": 3_000} | options)).events())


def test_the_first_events_of_a_seed_never_change() -> None:
    # A golden value: it may change only together with VERSION, because runs go on from their seed.
    digest = hashlib.sha256()
    for event in run(seed=1, cycles=400):
        kind, body = encode_input(event, by_reference=False)
        digest.update(canonical_json({**body, "kind": kind, "ts_ns": ts_of(event)}))
    assert digest.hexdigest() == "95302cf10c1e81d4f8196e2e8d8efa6ee0ad227571017024c5e2f0224bb97e54"


def test_equal_seeds_give_equal_events_and_others_do_not() -> None:
    assert run(cycles=500) == run(cycles=500)
    assert run(cycles=50) != run(cycles=50, seed=8)


@pytest.mark.parametrize("skip", [0, 1, 7, 250, 499, 500, 900])
def test_going_on_after_some_cycles_gives_the_rest_of_the_same_events(skip: int) -> None:
    whole = run(cycles=500)
    ends = [0, *(place for place, event in enumerate(whole, 1) if isinstance(event, CycleEnd))]
    feed = SyntheticFeed(SyntheticMarket(seed=7, cycles=500))
    assert list(feed.events(skip)) == whole[ends[min(skip, 500)] :]


def test_the_market_keeps_the_rules_of_a_feed() -> None:
    listed: set[str] = set()
    gone: set[str] = set()
    last_ns = 0
    group: list[str] = []
    for event in run():
        assert ts_of(event) >= last_ns
        last_ns = ts_of(event)
        if isinstance(event, TokenListed):
            assert event.instrument.mint not in listed
            listed.add(event.instrument.mint)
        elif isinstance(event, TokenGone):
            assert event.mint in listed - gone
            gone.add(event.mint)
        elif isinstance(event, Bar):
            assert event.mint in listed - gone
            assert 0 < event.low <= min(event.open, event.close) <= max(event.open, event.close) <= event.high
            assert event.pool_lamports is not None
            assert event.pool_lamports > 0
            assert event.volume >= 0
            assert event.mint not in group
            group.append(event.mint)
        elif isinstance(event, CycleEnd):
            group.clear()
    assert len(listed) > 10
    assert len(gone) > 5


def test_a_rug_pulls_the_liquidity_in_its_last_bar_and_then_the_token_is_gone() -> None:
    last: dict[str, Bar] = {}
    before: dict[str, Bar] = {}
    rugs = 0
    for event in run():
        if isinstance(event, Bar):
            if event.mint in last:
                before[event.mint] = last[event.mint]
            last[event.mint] = event
        elif isinstance(event, TokenGone) and event.reason == "the liquidity was pulled":
            rugs += 1
            end, prior = last[event.mint], before[event.mint]
            assert end.pool_lamports is not None
            assert prior.pool_lamports is not None
            assert end.pool_lamports < prior.pool_lamports // 50
            assert end.close < prior.close / 50
            assert event.ts_ns == end.ts_close_ns + 300 * 10**9
    assert rugs >= 3


def test_it_has_calm_and_wild_days_and_the_established_tokens_live_on() -> None:
    closes: dict[str, list[Decimal]] = defaultdict(list)
    for event in run(cycles=8_000, launch_ppm=0):
        if isinstance(event, Bar):
            closes[event.mint].append(event.close)
    assert len(closes) == 5
    for series in closes.values():
        days = [abs(float(series[end] / series[end - 288]) - 1) for end in range(288, len(series), 288)]
        assert max(days) > 0.10
        assert sorted(days)[len(days) // 4] < 0.10
        assert Decimal("0.001") < series[-1] / series[0] < Decimal(1_000)


def test_bounds_on_launches_hold() -> None:
    alive = most = 0
    counts = Counter[str]()
    for event in run(launch_ppm=300_000, launches_alive_max=3):
        counts[type(event).__name__] += 1
        if isinstance(event, TokenListed) and event.instrument.symbol.startswith("NEW"):
            alive += 1
        elif isinstance(event, TokenGone):
            alive -= 1
        most = max(most, alive)
    assert most == 3
    assert counts["TokenGone"] >= 8


def test_without_an_end_it_goes_on() -> None:
    feed = SyntheticFeed(SyntheticMarket(seed=3))
    assert len(list(islice(feed.events(), 5_000))) == 5_000


@pytest.mark.parametrize(
    ("field", "value"), [("seed", -1), ("interval_s", 0), ("cycles", 0), ("tokens", 65), ("launch_ppm", 1_000_001)]
)
def test_options_out_of_range_are_refused_by_name(field: str, value: int) -> None:
    with pytest.raises(InvalidInput, match=rf"{field} is {value}; allowed: ") as caught:
        SyntheticMarket(**{"seed": 1} | {field: value})
    assert caught.value.field == field


def test_the_description_tells_options_apart() -> None:
    one, same, other = (SyntheticFeed(SyntheticMarket(seed=seed)).description for seed in (1, 1, 2))
    assert one == same
    assert one.inputs != other.inputs
    assert (one.kind, one.liquidity) == ("synthetic", "recorded")


def test_draws_are_fair_enough() -> None:
    draws = Draws(5)
    counts = Counter(draws.below(10) for _ in range(20_000))
    assert set(counts) == set(range(10))
    assert all(1_800 < count < 2_200 for count in counts.values())
    noise = [draws.noise(NOISE_SD) for _ in range(20_000)]
    mean = sum(noise) / len(noise)
    deviation = (sum((value - mean) ** 2 for value in noise) / len(noise)) ** 0.5
    assert abs(mean) < NOISE_SD * 0.03
    assert abs(deviation / NOISE_SD - 1) < 0.02


def test_a_feed_goes_on_from_a_bookmark_as_from_its_seed() -> None:
    market = SyntheticMarket(seed=9, launch_ppm=60_000, cycles=2 * BOOKMARK_CYCLES + 40)
    one = SyntheticFeed(market)
    whole = list(one.events())
    bookmark = one.bookmark(2 * BOOKMARK_CYCLES + 10)
    assert bookmark is not None
    assert one.bookmark(BOOKMARK_CYCLES - 1) is None
    other = SyntheticFeed(market)
    other.recall(bookmark)
    assert other.bookmark(10**6) == bookmark
    tail = list(other.events(2 * BOOKMARK_CYCLES + 10))
    assert tail == whole[-len(tail) :]
    assert sum(isinstance(event, CycleEnd) for event in tail) == 30


@pytest.mark.parametrize("bookmark", ["", "{}", "[1]", '{"market":"x","cycles":5}', "null"])
def test_a_bookmark_of_something_else_is_left_aside(bookmark: str) -> None:
    feed = SyntheticFeed(SyntheticMarket(seed=9, cycles=BOOKMARK_CYCLES))
    stranger = SyntheticFeed(SyntheticMarket(seed=10, cycles=BOOKMARK_CYCLES))
    for _ in stranger.events():
        pass
    feed.recall(bookmark)
    feed.recall(stranger.bookmark(BOOKMARK_CYCLES) or "")
    assert feed.bookmark(10**6) is None


def test_draws_go_on_after_any_number_of_them() -> None:
    whole = Draws(4)
    values = [whole.raw() for _ in range(9_000)]
    for taken in (0, 1, 4_095, 4_096, 4_097, 8_192, 8_500):
        draws = Draws(4, taken)
        assert draws.taken == taken
        assert [draws.raw() for _ in range(500)] == values[taken : taken + 500]
