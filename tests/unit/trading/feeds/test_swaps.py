"""Swaps as a feed: which are told, which make the bars, and what is refused by name."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from tests.unit.trading.feeds.bar_writers import START_S, SWAP_HEADER, bar_rows, swap_row, write_csv
from typer.testing import CliRunner

from trading.cli import app
from trading.errors import DataError, InvalidInput
from trading.feeds.quality import check_file
from trading.feeds.replay import ReplayFeed, open_replay
from trading.feeds.swaps import price_sol
from trading.model.market_data import Bar, FeedGap, Swap, TokenListed
from trading.model.order import Side

NS = 10**9


def opened(folder: Path, rows: Sequence[str], name: str = "swaps_5s.csv", header: str = SWAP_HEADER) -> ReplayFeed:
    return open_replay([write_csv(folder / name, rows, header)])


def told(feed: ReplayFeed) -> tuple[list[Bar], list[Swap]]:
    events = list(feed.events())
    return [e for e in events if isinstance(e, Bar)], [e for e in events if isinstance(e, Swap)]


def test_a_bar_is_made_of_the_swaps_that_lie_in_it(tmp_path: Path) -> None:
    rows = [
        swap_row(0, sol="2", tokens="4000000"),
        swap_row(1, "sell", sol="0.3", tokens="1000000"),
        swap_row(4, sol="0.6", tokens="1000000"),
        swap_row(5, sol="1", tokens="2000000"),
    ]
    feed = opened(tmp_path, rows)
    (first, second), swaps = told(feed)
    assert (first.ts_open_ns, first.ts_close_ns) == (START_S * NS, (START_S + 5) * NS)
    assert [str(price) for price in (first.open, first.high, first.low, first.close)] == [
        "5E-7",
        "6E-7",
        "3E-7",
        "6E-7",
    ]
    assert first.volume == 6_000_000
    assert (first.pool_lamports, first.sol_usd) == (None, None)
    assert second.ts_open_ns == first.ts_close_ns
    assert swaps[1] == Swap(
        ts_ns=first.ts_close_ns,
        swapped_ns=(START_S + 1) * NS,
        mint="mintA",
        side=Side.SELL,
        base_units=10**12,
        lamports=300_000_000,
        source=swaps[1].source,
        trader="7",
    )
    assert [swap.flow_lamports for swap in swaps] == [2 * NS, -300_000_000, 600_000_000, NS]
    assert feed.description.liquidity == "declared"
    listed = next(event for event in feed.events() if isinstance(event, TokenListed))
    assert listed.instrument.pool_lamports_default == 85 * NS


def test_dust_legs_of_routes_and_rows_without_an_amount_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        swap_row(0),
        swap_row(1, sol="0.0009"),
        swap_row(1, sol="0.0", tokens="123"),
        swap_row(2, sol="1", tokens="0"),
        swap_row(2, sol="5", tokens="10", venue="ROUTER"),
        swap_row(3),
    ]
    feed = opened(tmp_path, rows)
    (bar,), swaps = told(feed)
    assert len(swaps) == 2
    assert bar.low == bar.high == Decimal("5E-7")
    assert (feed.summary.swaps, feed.summary.swaps_left_out) == (2, 4)


def test_a_small_swap_at_a_wild_price_is_told_and_makes_no_bar(tmp_path: Path) -> None:
    wild = swap_row(2, sol="0.002", tokens="40")  # fees and rounding, no price
    (bar,), swaps = told(opened(tmp_path, [swap_row(0), wild, swap_row(3, sol="0.01", tokens="10000")]))
    assert len(swaps) == 3
    assert (bar.high, bar.close) == (Decimal("1E-6"), Decimal("1E-6"))  # the small one near the others counts


def test_a_large_swap_is_believed_whatever_its_price(tmp_path: Path) -> None:
    (bar,), _ = told(opened(tmp_path, [swap_row(0), swap_row(1, "sell", sol="0.5", tokens="40000000")]))
    assert bar.close == bar.low == Decimal("1.25E-8")


def test_small_swaps_alone_are_held_against_the_close_before_and_never_list_a_token(tmp_path: Path) -> None:
    alone = swap_row(0, sol="0.01", tokens="9")
    rows = [alone, swap_row(6), swap_row(11, sol="0.01", tokens="9"), swap_row(16, sol="0.004", tokens="9000")]
    events = list(opened(tmp_path, rows).events())
    bars = [event for event in events if isinstance(event, Bar)]
    assert [bar.ts_open_ns // NS - START_S for bar in bars] == [5, 15]
    assert isinstance(events[0], TokenListed)
    assert [event.to_ns - event.from_ns for event in events if isinstance(event, FeedGap)] == [5 * NS]
    assert sum(isinstance(event, Swap) for event in events) == 3


def test_a_token_that_fell_and_is_hardly_traded_since_does_not_keep_its_old_price(tmp_path: Path) -> None:
    fallen = [swap_row(second, "sell", sol="0.02", tokens="1000000") for second in (6, 11, 16)]
    bars, _ = told(opened(tmp_path, [swap_row(0), *fallen]))
    assert [bar.close for bar in bars] == [Decimal("5E-7"), Decimal("2E-8"), Decimal("2E-8")]  # the first was alone


def test_a_first_bar_needs_a_large_swap_and_is_held_against_it(tmp_path: Path) -> None:
    small = [swap_row(0, sol="0.4", tokens="10"), swap_row(1, sol="0.3", tokens="600000")]
    bars, swaps = told(opened(tmp_path, small + [swap_row(second) for second in (5, 6)]))
    assert [bar.ts_open_ns // NS - START_S for bar in bars] == [5]
    assert len(swaps) == 2  # nobody could trade before
    (bar,), _ = told(opened(tmp_path, [*small, swap_row(2, sol="0.5", tokens="1000000")]))
    assert (bar.open, bar.high) == (Decimal("5E-7"), Decimal("5E-7"))


def test_swaps_of_several_tokens_come_in_the_order_in_which_they_happened(tmp_path: Path) -> None:
    rows = [swap_row(second, mint=mint) for mint in ("mintB", "mintA") for second in (0, 2, 3)]
    _, swaps = told(opened(tmp_path, rows))
    assert all(earlier.swapped_ns <= later.swapped_ns for earlier, later in pairwise(swaps))


def test_without_an_interval_in_the_name_bars_are_of_five_seconds(tmp_path: Path) -> None:
    assert opened(tmp_path, [swap_row(0)], "pumpswap_swaps.csv").description.interval_s == 5
    assert opened(tmp_path, [swap_row(0)], "pumpswap_swaps_30s.csv").description.interval_s == 30


def test_venue_and_trader_need_not_be_there(tmp_path: Path) -> None:
    feed = opened(tmp_path, [f"mintA,{START_S},sell,1,2000000"], header="mint,ts,side,sol,tokens")
    _, (swap,) = told(feed)
    assert swap.trader == ""


def test_a_cut_takes_whole_bars_with_their_swaps(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "swaps_5s.csv", [swap_row(second) for second in range(20)], SWAP_HEADER)
    bars, swaps = told(open_replay([path], from_ns=(START_S + 3) * NS, to_ns=(START_S + 16) * NS))
    assert len(bars) == 2
    assert len(swaps) == 10
    part = open_replay([path]).cut((START_S + 5) * NS, (START_S + 10) * NS)
    assert [len(each) for each in told(part)] == [1, 5]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (swap_row(5, "hold"), "row 3: side is 'hold'; expected buy or sell"),
        (swap_row(5, sol="-1"), "row 3: sol is -1; an amount cannot be negative"),
        (swap_row(5, sol="nan"), "row 3: sol is NaN"),
        (swap_row(5, tokens="1e40"), "row 3: tokens is 1E[+]40; at most"),
        (swap_row(5, tokens="many"), "row 3: tokens is 'many'; expected a number"),
        (swap_row(5, mint="m"), "row 3: mint is 'm'; expected 2 to 64 characters"),
        (swap_row(-1), "row 3: ts .* comes after .*: swaps of a token must be in time order"),
    ],
)
def test_a_row_that_is_no_swap_is_an_error_that_names_it(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(DataError, match=f"swaps_5s.csv: {problem}"):
        opened(tmp_path, [swap_row(0), row])
    report = check_file(tmp_path / "swaps_5s.csv")
    assert (report.is_usable, [found.row for found in report.findings]) == (False, [3])


def test_files_without_swaps_or_with_bars_beside_them_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows below the header"):
        opened(tmp_path, [])
    assert not check_file(tmp_path / "swaps_5s.csv").is_usable
    with pytest.raises(DataError, match="no swap between from and to says a price"):
        opened(tmp_path, [swap_row(0, sol="0.01")])
    write_csv(tmp_path / "BONK_SOL_5s.csv", bar_rows(3, step_s=5))
    with pytest.raises(InvalidInput, match=r"holds swaps and BONK_SOL_5s\.csv does not"):
        open_replay([tmp_path])


def test_a_folder_of_swaps_can_be_checked_and_backtested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMMCP_DATA_DIR", str(tmp_path / "data"))
    folder = tmp_path / "swaps"
    folder.mkdir()
    write_csv(folder / "first_5s.csv.gz", [swap_row(second) for second in range(40)], SWAP_HEADER)
    assert CliRunner().invoke(app, ["data", "check", str(folder)]).exit_code == 0
    done = CliRunner().invoke(app, ["backtest", "--data", str(folder), "--strategy", "random_entry"])
    assert done.exit_code == 0, done.output
    assert "40 swaps told, 0 left out" in done.output
    assert "declared" in done.output
    assert (tmp_path / "data" / "trials.db").is_file()


@pytest.mark.market
def test_recorded_swaps_become_bars_without_the_prices_of_dust(market_dir: Path) -> None:
    feed = open_replay([market_dir / "dex" / "pumpswap_swaps.csv.gz"])
    assert len(feed.summary.symbols) == 12
    assert feed.summary.swaps + feed.summary.swaps_left_out == 7_629
    bars, swaps = told(feed)
    jumps = [max(b.close / a.close, a.close / b.close) for a, b in pairwise(bars) if a.mint == b.mint]
    rows = [(price_sol(a), price_sol(b)) for a, b in pairwise(swaps) if a.mint == b.mint]
    assert max(jumps) < 12  # the largest is a sale of 85 SOL at once
    assert max(max(b / a, a / b) for a, b in rows) > 1_000
