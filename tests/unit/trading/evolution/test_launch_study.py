"""The launch study on generated launches: what pays is found, what does not stays off, and no part sees the other."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import pytest
from scripts import launch_study as script
from scripts.results_file import splice
from tests.support.trading import SOL, make_order
from tests.unit.trading.feeds.bar_writers import START_S, SWAP_HEADER, swap_row, write_csv

from trading.errors import InvalidInput
from trading.evolution.launch_study import (
    EVERY_LAUNCH,
    Study,
    graduates_at_once,
    scope_of,
    split,
    study,
    token_feeds,
    traded,
    trimmed_mean,
)
from trading.execution.simulated_venue import SimulatedVenue
from trading.feeds.replay import ReplayFeed, open_replay
from trading.model.market_data import Bar
from trading.model.order import Fill
from trading.model.profile import BACKTEST_PROFILES
from trading.strategies.parameters import Value

HOUR_S = 3_600
RISES: dict[str, Value] = {
    "wait_bars": 1, "window_bars": 1, "entry_rise": 0.2, "entry_flow": -1.0, "hold_bars": 4, "stop_share": 1.0,
}  # fmt: skip
Path_ = Callable[[Random, bool], list[float]]


def goes_on(chance: Random, is_good: bool) -> list[float]:
    """Moves of a launch: one that rises in its first hour goes on rising, another dies."""
    drift = 0.10 if is_good else -0.25
    return [0.4 if is_good else -0.4, *(drift + chance.gauss(0, 0.03) for _ in range(9))]


def turns(chance: Random, is_good: bool) -> list[float]:
    """Moves of a launch that falls whatever it did at first."""
    return [0.4 if is_good else -0.4, *(-0.1 + chance.gauss(0, 0.05) for _ in range(9))]


def launches(folder: Path, moves: Path_, count: int = 200, seed: int = 3, first: float = 1e-6) -> ReplayFeed:
    chance, rows = Random(seed), []
    for number in range(count):
        price = first
        for hour, move in enumerate(moves(chance, number % 2 == 0)):
            opened, price = price, price * math.exp(move)
            ts = START_S // HOUR_S * HOUR_S + (number + hour) * HOUR_S
            prices = f"{opened:.12f},{max(opened, price):.12f},{min(opened, price):.12f},{price:.12f}"
            rows.append(f"mint{number:03d},{ts},{prices},5")
    header = "mint,ts,open,high,low,close,volume"
    return open_replay([write_csv(folder / "launches_1h_sol.csv.gz", rows, header)])


def made(folder: Path, moves: Path_, **change: Value) -> tuple[Study, Mapping[str, ReplayFeed]]:
    feeds = token_feeds(launches(folder, moves))
    return study(feeds, [{**RISES, "entry_rise": 5.0}, {**RISES, **change}], seed=1), feeds


@pytest.fixture(scope="module")
def losing(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study of launches that fall whatever they did at first."""
    return made(tmp_path_factory.mktemp("losing"), turns)[0]


@pytest.mark.requirement("T4")
def test_an_edge_that_is_there_is_found_and_proven_on_tokens_that_had_no_part_in_the_choice(tmp_path: Path) -> None:
    found, feeds = made(tmp_path, goes_on)
    assert found.parameters == RISES
    assert found.first_tokens + found.second_tokens == len(feeds) == 200
    assert found.scanner is not None
    assert found.every is not None
    assert 30 <= found.scanner.trades <= found.second_tokens
    assert found.every.trades == found.second_tokens
    assert found.scanner.trimmed_interval[0] > 0 > found.every.trimmed
    low, high = found.margin_interval
    assert 0 < low < found.margin < high
    assert found.is_proven
    assert script.verdict(found).startswith("Proven")


@pytest.mark.requirement("T4")
def test_the_scanner_stays_off_where_its_interval_does_not_lie_above_zero(losing: Study) -> None:
    found = losing
    assert found.scanner is not None
    assert found.scanner.trades >= 30
    assert found.scanner.trimmed_interval[0] <= 0
    assert not found.is_proven
    assert "stays off by default" in script.verdict(found)


def test_profiles_trade_launches_only_if_the_recorded_study_proved_it() -> None:
    document = script.Path(script.__file__).resolve().parent.parent / "docs" / "results.md"
    section = document.read_text("utf-8").split("<!-- launch-study:begin -->")[1].split("<!-- launch-study:end -->")[0]
    verdicts = [line for line in section.splitlines() if line.startswith(("Proven:", "Not proven:"))]
    assert len(verdicts) == 1
    traded_by_default = {choice.name for profile in BACKTEST_PROFILES for choice in profile.strategies}
    assert verdicts[0].startswith("Proven:") or "launch_scanner" not in traded_by_default


def test_too_few_trades_prove_nothing(tmp_path: Path) -> None:
    feeds = token_feeds(launches(tmp_path, goes_on, count=40))
    found = study(feeds, [RISES], seed=1)
    assert (found.parameters, found.scanner, found.is_proven) == (None, None, False)
    assert "fewer than 30 trades" in script.verdict(found)
    with pytest.raises(InvalidInput, match="at least one set"):
        study(feeds, [], seed=1)


def test_the_choice_does_not_see_the_second_part(tmp_path: Path) -> None:
    found, feeds = made(tmp_path, goes_on)
    _, second = split(list(feeds), 1)
    worse = token_feeds(launches(tmp_path, turns))
    mixed = {mint: (worse if mint in second else feeds)[mint] for mint in feeds}
    again = study(mixed, [{**RISES, "entry_rise": 5.0}, RISES], seed=1)
    assert (again.parameters, again.first) == (found.parameters, found.first)
    assert again.scanner != found.scanner


def test_where_a_token_belongs_rests_on_the_seed_and_its_mint_alone() -> None:
    mints = [f"m{n}" for n in range(500)]
    first, second = split(mints, 1)
    assert sorted(first + second) == sorted(mints)
    assert 200 < len(first) < 300
    assert split(mints[::-1], 1) == (first, second)
    assert set(split(mints[:50], 1)[0]) == set(first) & set(mints[:50])
    assert split(mints, 2)[0] != first


def test_a_trade_is_what_it_brought_after_costs_open_or_closed(tmp_path: Path) -> None:
    feeds = token_feeds(launches(tmp_path, goes_on, count=2))
    good, bad = feeds["mint000"], feeds["mint001"]
    one = traded(good, RISES)
    bars = [event for event in good.events() if isinstance(event, Bar)]
    gross = float(bars[5].open / bars[1].open)  # decided at the closes before, four bars apart
    assert one is not None
    assert 0.025 < 1.0 - (1.0 + one) / gross < 0.07  # two fees of 1.25 %, two impacts of less than 1 %, and the network
    held = traded(good, {**RISES, "hold_bars": 100})
    assert held is not None
    assert held > one
    assert traded(bad, RISES) is None
    late = traded(bad, {**RISES, **EVERY_LAUNCH})
    assert late is not None
    assert late < -0.5


def fills_of(feed: ReplayFeed) -> list[Fill]:
    venue = SimulatedVenue()
    found: list[Fill] = []
    for event in feed.events():
        found += [report for report in venue.on_market(event) if isinstance(report, Fill)]
        if isinstance(event, Bar) and not venue.open_orders():
            name = f"o{event.ts_close_ns}"
            venue.submit(make_order(id=name, mint=event.mint, ts_ns=event.ts_close_ns, amount_in=SOL, min_out=1))
    return found


def test_a_token_trades_on_its_curve_below_the_graduation_price_and_in_the_pool_from_then_on(tmp_path: Path) -> None:
    steady: Path_ = lambda _chance, is_good: [0.0] * 4 if is_good else [0.0, 0.0, 3.0, 0.0]  # noqa: E731
    feeds = token_feeds(launches(tmp_path, steady, count=2, first=1e-7))
    stays, leaves = (feeds[f"mint00{number}"] for number in range(2))
    assert [graduates_at_once(feed) for feed in (stays, leaves)] == [False, False]
    shares = [[fill.impact_lamports / fill.lamports for fill in fills_of(feed)] for feed in (stays, leaves)]
    # A SOL into virtual reserves of 56.7 SOL, and into a pool of 85 SOL that grew with the root of its price.
    assert shares[0] == pytest.approx([0.0169] * 3, abs=0.0005)
    assert shares[1][-1] == pytest.approx(SOL / (85 * SOL * math.sqrt(1e-7 * math.e**3 / 4.108e-7)), rel=0.05)
    late = token_feeds(launches(tmp_path, steady, count=1))["mint000"]
    assert graduates_at_once(late)


def test_the_trimmed_mean_leaves_the_ends_out() -> None:
    assert trimmed_mean([1.0] * 8 + [100.0, -50.0]) == 1.0
    assert trimmed_mean([]) == 0.0


def test_a_study_is_made_on_bars(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="made on bars, not on Swap"):
        token_feeds(open_replay([write_csv(tmp_path / "swaps_5s.csv", [swap_row(0)], SWAP_HEADER)]))


def test_candidates_are_drawn_once_each_and_named_by_what_decides_them(tmp_path: Path) -> None:
    drawn = script.drawn(24, 1)
    assert drawn == script.drawn(24, 1) != script.drawn(24, 2)
    assert len({tuple(each.items()) for each in drawn}) == 24
    feeds = token_feeds(launches(tmp_path, turns, count=2))
    scopes = {scope_of(feeds, each, 1) for each in drawn} | {scope_of(feeds, drawn[0], 2)}
    assert len(scopes) == 25


def test_the_section_says_what_was_found_and_takes_the_place_of_the_one_before(tmp_path: Path, losing: Study) -> None:
    section = script.described(losing, launches(tmp_path, turns, count=2), 1, 2, 1)
    wanted = (
        *("| scanner, second part |", "every launch one bar late", "1.5 SOL", "1.25 %", "Not proven: "),
        *("(84.99 SOL at", "1 of\n200 tokens", "less than 20 SOL"),
    )
    assert [text for text in wanted if text not in section] == []
    path = tmp_path / "results.md"
    splice("launch-study", "obsolete", path)
    splice("other", "stays", path)
    splice("launch-study", section, path)
    written = path.read_text("utf-8")
    assert ("obsolete" in written, "stays" in written, written.count("Not proven: ")) == (False, True, 1)


@pytest.mark.market
def test_recorded_launches_give_a_trade_each_one_bar_late(market_dir: Path) -> None:
    names = [market_dir / "dex" / name for name in script.FILES]
    feeds = token_feeds(open_replay(names))
    _, second = split(list(feeds), 1)
    returns = [value for mint in second if (value := traded(feeds[mint], {**RISES, **EVERY_LAUNCH})) is not None]
    assert len(returns) >= 30
    assert -1.0 <= min(returns) < -0.5  # deaths are among them
    assert trimmed_mean(returns) < 0
