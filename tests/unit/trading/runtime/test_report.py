"""A report says what the engine and the ledger say, whatever the run: empty, short, long, still going on."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.doubles.plain_chain import PlainChain, PlainPreparer, buying
from tests.support.trading import MINT, RENT, SOL, STEP, T0, make_bar, make_fill, make_order

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.exit_rows import time_to_flat
from trading.adapters.memory_journal import MemoryJournal
from trading.adapters.trial_ledger import Standing
from trading.engine.inputs import encode_input
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model import events
from trading.model.account import TradingState
from trading.model.chain import Commitment, StatusSeen
from trading.model.event_codec import encode
from trading.model.instrument import Instrument
from trading.model.intent import Settlement
from trading.model.market_data import FeedDescription, TokenListed
from trading.model.order import Purpose, Rejected, Side
from trading.model.profile import FOUNDATION
from trading.model.units import NS_PER_S
from trading.runtime.assembly import RunPlan
from trading.runtime.backtest import BacktestResult, BacktestSpec, run_backtest
from trading.runtime.recorded_runs import recorded_run
from trading.runtime.report import NEWEST_TRADES, ReportSource, report_of
from trading.runtime.report_series import FILLS_DRAWN_MAX, STRETCHES, TOKENS_DRAWN_MAX, Drawn
from trading.runtime.thinning import Thinned

SAME = (
    "equity_start_lamports", "equity_end_lamports", "return_bps", "max_drawdown_bps", "trades", "signals", "sharpe",
    "deflated_sharpe", "trials", "benchmarks", "denials",
)  # fmt: skip
PLAN = RunPlan("paper", FeedDescription("market", "a market", 300), FOUNDATION, 2 * SOL, 20 * SOL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def result(folder: Path) -> BacktestResult:
    feed = SyntheticFeed(SyntheticMarket(seed=7, cycles=1_600))
    found = run_backtest(BacktestSpec(feed, profile="aggressive", conditions="calm", run_dir=folder))
    assert found.as_json()["trades"] > 5
    return found


@pytest.fixture(scope="module")
def report(folder: Path, result: BacktestResult) -> dict[str, Any]:
    with recorded_run(str(folder)) as run:
        return report_of(ReportSource.of(run))


def test_the_report_of_a_backtest_says_what_the_engine_said(result: BacktestResult, report: dict[str, Any]) -> None:
    document = result.as_json()
    assert {name: report[name] for name in SAME} == {name: document[name] for name in SAME}
    for kind, lamports in document["costs"].items():
        assert report["costs"][kind] == lamports, kind
    for name, each in document["strategies"].items():
        told = next(one for one in report["strategies"] if one["name"] == name)
        assert (told["round_trips"], told["wins"]) == (each["round_trips"], each["wins"])
        assert told["realised_lamports"] == each["realised_lamports"]
    assert report["is_finished"] is True
    assert report["rests_on"]["conditions"] == "calm"


def test_costs_of_strategies_and_of_tokens_add_up_to_those_of_the_run(report: dict[str, Any]) -> None:
    costs = report["costs"]
    for kind in ("fee", "impact", "priority", "failed", "rent"):
        for group in ("strategies", "tokens"):
            assert sum(each["costs"][f"{kind}_lamports"] for each in report[group]) == costs[f"{kind}_lamports"]
    shares = costs["share_bps"]
    assert 10_000 - len(shares) < sum(shares.values()) <= 10_000
    spent = sum(costs[f"{kind}_lamports"] for kind in shares)
    assert costs["total_lamports"] == spent, "rent comes back and is not spent"
    assert shares["fee"] == costs["fee_lamports"] * 10_000 // spent


def test_what_is_drawn_ends_where_the_account_ends(report: dict[str, Any]) -> None:
    series = report["series"]
    assert series["equity_lamports"][-1] == report["equity_end_lamports"]
    assert max(series["drawdown_bps"]) == report["max_drawdown_bps"], "no spike is thinned away"
    assert series["drawdown_bps"][-1] == report["drawdown_bps"]
    assert series["ms"] == sorted(series["ms"])
    assert set(series["held_lamports"]) == {2 * SOL}
    tokens = {each["symbol"]: each for each in report["prices"]["tokens"]}
    assert set(tokens) == {each["name"] for each in report["tokens"]}
    assert all(each["bars"] > 0 and each["close"] for each in tokens.values())
    assert sum(each["fills"] for each in tokens.values()) == report["trades"]


def journal(told: Iterator[tuple[int, Any]]) -> MemoryJournal:
    """Return the rows of these events, with one token."""
    found = MemoryJournal()
    header = events.RunStarted("run", "paper", "foundation", "a market", '{"momentum_breakout":{}}', 0)
    listed = TokenListed(T0, Instrument(MINT, "BONK", 5, 25, 10**12), "x")
    found.append(T0, *encode(header))
    found.append(T0, *encode_input(listed, by_reference=False))
    found.append(T0, *encode(events.CapitalDeposited("start/a", 0, "momentum_breakout", 2 * SOL, "start capital")))
    for ts_ns, event in told:
        found.append(ts_ns, *encode(event))
    found.commit()
    return found


def mark(number: int, equity: int = 2 * SOL, exposure: int = 0, usd: str | None = "100") -> tuple[int, Any]:
    at = T0 + number * STEP
    price = None if usd is None else Decimal(usd)
    return at, events.CycleMarked(at, number, equity, equity - exposure, exposure, 0, TradingState.ACTIVE, price)


def fills(number: int, lamports: int = 10_000_000) -> Iterator[tuple[int, Any]]:
    """Yield a buy and its sale at the same price."""
    at = T0 + number * STEP
    who = (f"trj_{number}", "momentum_breakout", "momentum_breakout")
    for side in (Side.BUY, Side.SELL):
        name = f"{number}-{side.value}"
        rent = RENT if side is Side.BUY else -RENT
        yield at, events.OrderApproved(make_order(id=name, side=side, reason="because"), ())
        yield at, events.OrderFilled(*who, make_fill(name, side=side, ts_ns=at, lamports=lamports, rent_lamports=rent))


def told_of(told: Iterator[tuple[int, Any]], **more: Any) -> dict[str, Any]:
    return report_of(ReportSource("run", journal(told), PLAN, **more))


def test_a_run_that_has_only_begun_has_a_report() -> None:
    document = told_of(iter(()))
    assert (document["first"], document["cycles"], document["trades"]) == (None, 0, 0)
    assert document["series"]["points"] == 0
    assert document["sharpe"] is None
    assert document["is_finished"] is False


@pytest.mark.parametrize(("mode", "money"), [("paper", "paper"), ("backtest", "paper"), ("live", "real")])
def test_a_report_says_whose_money_it_was(mode: str, money: str) -> None:
    assert report_of(ReportSource("run", journal(iter(())), replace(PLAN, mode=mode)))["money"] == money


def test_one_trade_is_told_whole() -> None:
    document = told_of(iter([mark(0), *fills(1), mark(2, 2 * SOL - 50_000)]))
    assert (document["trades"], document["total"]["round_trips"]) == (2, 1)
    assert document["total"]["realised_lamports"] == -50_000
    assert document["costs"]["network_lamports"] == 10_000
    assert document["costs"]["rent_lamports"] == 0, "the deposit came back"
    sale, buy = document["newest_trades"]
    assert (buy["side"], buy["realised_lamports"], buy["reason"]) == ("buy", None, "because")
    assert (sale["side"], sale["realised_lamports"]) == ("sell", -50_000)


def test_ten_thousand_trades_are_counted_and_thinned() -> None:
    def told() -> Iterator[tuple[int, Any]]:
        for number in range(5_000):
            yield from fills(number, 1_000_000)
            yield mark(number, 2 * SOL + (number % 97) * 1_000_000 - (500_000_000 if number == 3_333 else 0))

    document = told_of(told())
    assert document["trades"] == 10_000
    series = document["series"]
    assert (series["of"], series["points"] <= 2 * STRETCHES + 1) == (5_000, True)
    assert min(series["equity_lamports"]) == 2 * SOL + (3_333 % 97) * 1_000_000 - 500_000_000
    (token,) = document["prices"]["tokens"]
    assert token["fills"] == 10_000
    for side in ("buy", "sell"):
        drawn = sum(each["side"] == side for each in token["marks"])
        assert FILLS_DRAWN_MAX // 2 <= drawn <= FILLS_DRAWN_MAX
        assert token["one_of"] * drawn >= 5_000
    assert len(document["newest_trades"]) == NEWEST_TRADES


def test_money_that_moves_is_no_return() -> None:
    deposit = (T0 + STEP, events.CapitalDeposited("d", 0, "momentum_breakout", 8 * SOL, "more"))
    document = told_of(iter([mark(0), deposit, mark(2, 10 * SOL), mark(3, 11 * SOL)]))
    assert document["return_bps"] == 1_000
    assert document["net_flows_lamports"] == 8 * SOL
    assert document["series"]["held_lamports"][-1] == 10 * SOL


def test_a_failed_transaction_is_a_cost_of_its_token() -> None:
    order = make_order(id="o", ts_ns=T0)
    refused = events.OrderRejected("t", order.strategy, order.bucket, Rejected("o", T0, "failed", "", 25_000))
    document = told_of(iter([mark(0), (T0, events.OrderApproved(order, ())), (T0, refused), mark(1)]))
    (token,) = document["tokens"]
    assert (token["name"], token["costs"]["failed_lamports"]) == ("BONK", 25_000)
    assert document["costs"]["share_bps"]["failed"] == 10_000


def test_a_session_is_judged_by_the_ledger_of_trials() -> None:
    days = [mark(number * 288, 2 * SOL + number * 10_000_000 + (number % 3) * 7_000_000) for number in range(40)]
    asked: list[str] = []

    def standing(family: str) -> Standing:
        asked.append(family)
        return Standing(500, None)

    alone, among_many = told_of(iter(days)), told_of(iter(days), standing=standing)
    assert asked == ["mean_reversion,momentum_breakout"]
    assert (alone["trials"], among_many["trials"]) == (1, 500)
    assert alone["sharpe"] == among_many["sharpe"]
    assert among_many["deflated_sharpe"] < alone["deflated_sharpe"]
    assert alone["benchmarks"]["hold_sol"] == {"return_bps": 0, "usd_return_bps": 0}


def test_prices_of_a_market_that_was_received_are_in_the_journal() -> None:
    bars = [make_bar(number, f"0.00{number + 1}", sol_usd=Decimal(100)) for number in range(5)]
    journal_ = journal(iter([mark(0), *fills(1), mark(5)]))
    for bar in bars:
        journal_.append(bar.ts_close_ns, *encode_input(bar, by_reference=False))
    journal_.commit()
    (token,) = report_of(ReportSource("run", journal_, PLAN))["prices"]["tokens"]
    assert token["close"] == [0.001, 0.002, 0.003, 0.004, 0.005]
    assert token["ms"] == [bar.ts_close_ns // 1_000_000 for bar in bars]
    assert {each["price"] for each in token["marks"]} == {0.001}


def test_prices_of_bars_that_are_gone_are_those_of_the_fills(folder: Path, result: BacktestResult) -> None:
    other = SyntheticFeed(SyntheticMarket(seed=8, cycles=10))
    document = report_of(ReportSource("run", _rows_of(folder), result.plan, result.document, bars=other))
    assert "prices at fills only" in document["prices"]["note"]
    assert all(not each["close"] and each["marks"] for each in document["prices"]["tokens"])


def _rows_of(folder: Path) -> MemoryJournal:
    copy = MemoryJournal()
    with recorded_run(str(folder)) as run:
        for row in run.journal.rows():
            copy.append_canonical(row.ts_ns, row.kind, row.body)
    copy.commit()
    return copy


def test_tokens_with_the_fewest_fills_are_left_out_and_counted() -> None:
    drawn = Drawn(T0, T0 + STEP)
    for number in range(TOKENS_DRAWN_MAX + 3):
        for each in range(number + 1):
            drawn.fill(make_fill(f"{number}-{each}", mint=f"m{number:02d}"))
    busiest = drawn.busiest()
    assert (len(busiest), busiest[0]) == (TOKENS_DRAWN_MAX, f"m{TOKENS_DRAWN_MAX + 2}")


def test_thinning_keeps_extremes_and_the_end() -> None:
    thinned = Thinned(0, 9_999, 10)
    for number in range(10_000):
        thinned.add(number, -50 if number == 4_321 else 70 if number == 8_765 else number % 7, number)
    points = thinned.points()
    assert len(points) <= 21
    assert (4_321, -50, 4_321) in points
    assert (8_765, 70, 8_765) in points
    assert points[-1][0] == 9_999
    assert points == sorted(points)
    assert thinned.seen == 10_000


def leaving(number: int, decided_s: int, name: str) -> tuple[int, Any]:
    at = T0 + number * STEP + decided_s * NS_PER_S
    order = make_order(id=name, side=Side.SELL, purpose=Purpose.EXIT, ts_ns=at)
    return at, events.OrderApproved(order, ())


def test_the_time_to_flat_runs_from_the_first_decision_to_the_fill() -> None:
    at = T0 + 2 * STEP
    who = ("trj_1", "momentum_breakout", "momentum_breakout")
    bought, _ = [each for each in fills(1) if isinstance(each[1], events.OrderFilled)]
    failed = events.OrderRejected(*who, Rejected("x1", at, "expired", "", 0))
    sold = events.OrderFilled(*who, make_fill("x2", side=Side.SELL, ts_ns=at + 30 * NS_PER_S))
    told = [mark(0), bought, leaving(2, 5, "x1"), (at, failed), leaving(2, 20, "x2"), (at + 30 * NS_PER_S, sold)]
    found = told_of(iter(told))["time_to_flat"]
    assert found == {"clock": "market", "exits": 1, "waiting": 0, "median_s": 25.0, "p95_s": 25.0, "longest_s": 25.0}


def test_a_run_on_a_chain_tells_its_exits_by_the_clock_of_the_wall(tmp_path: Path) -> None:
    now = [0]
    journal = SqlExecutionJournal.at(tmp_path / "execution.db", lambda: now[0])
    chain = PlainChain()
    chain.wallets["w"] = [5 * 10**9, 10**9]
    for name, is_exit in (("run/a", False), ("run/b", True), ("other/c", True), ("run_/d", True)):
        intent = replace(buying(chain, "w", 10**6), id=f"int_{name}", key=name, is_exit=is_exit)
        now[0] = 100 * NS_PER_S
        attempt = anyio.run(PlainPreparer(chain).prepare, journal.open(intent))
        journal.signed(attempt)
        now[0] = 104 * NS_PER_S
        journal.landed(intent.id, StatusSeen(attempt.signature, 9, Commitment.CONFIRMED, "", "a"))
        journal.settled(Settlement(intent.id, attempt.signature, 9, 1, 10**6, 1, 5_000, 0, 0, ""))
    journal.close()
    found = time_to_flat(tmp_path / "execution.db", "run")
    assert found is not None
    told = told_of(iter([mark(0)]), on_chain=found)["time_to_flat"]
    assert (told["clock"], told["exits"], told["median_s"]) == ("wall", 1, 4.0)
    assert time_to_flat(tmp_path / "execution.db", "nobody") is None
    assert time_to_flat(tmp_path / "none.db", "run") is None
