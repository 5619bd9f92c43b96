"""How a strategy did in a day, told when the day is over and when the tier changes."""

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.doubles.kernel_bench import KernelBench, fingerprint
from tests.doubles.scripted_market import INTERVAL_NS, START_NS, ScriptedFeed, script

from trading.adapters.canonical import canonical_json
from trading.engine.state import RETURN_PERIOD_NS
from trading.model import events
from trading.model.event_codec import encode
from trading.model.window import CalibrationBin, WindowCell
from trading.ports import JournalRow
from trading.runtime.digests import confidence, window_text
from trading.runtime.naming import public_id
from trading.runtime.remember import Remembrance

pytestmark = pytest.mark.requirement("M7")
MIDNIGHT_NS = START_NS - START_NS % RETURN_PERIOD_NS + RETURN_PERIOD_NS
CYCLES_TO_MIDNIGHT = (MIDNIGHT_NS - START_NS) // INTERVAL_NS
CYCLES_A_DAY = RETURN_PERIOD_NS // INTERVAL_NS
WINDOW = events.WindowReported(
    ts_ns=MIDNIGHT_NS,
    occasion="day",
    strategy="momentum",
    bucket="momentum",
    since_ns=START_NS,
    until_ns=MIDNIGHT_NS,
    trades=3,
    wins=2,
    realised_lamports=-12_300_000,
    mean_return_bps=-35,
    mean_slippage_bps=12,
    mean_holding_s=3_780,
    tier="foundation",
    profile="cautious",
    capital_lamports=1_020_000_000,
    evidence=("t1", "t2"),
)


def bench_of(cycles: int) -> tuple[KernelBench, ScriptedFeed]:
    """Return a run that buys and sells once before midnight, once after it."""
    buys = {START_NS + number * INTERVAL_NS for number in (2, CYCLES_TO_MIDNIGHT + 5)}
    sells = {START_NS + number * INTERVAL_NS for number in (6, CYCLES_TO_MIDNIGHT + 9)}
    feed = ScriptedFeed(script([str(Decimal(100 + number % 3) / 100) for number in range(cycles)]))
    bench = KernelBench(lambda bar: 1.0 if bar.ts_close_ns in buys else -1.0 if bar.ts_close_ns in sells else None)
    return bench.feed(list(feed.events())), feed


def test_each_day_ends_with_a_report_of_what_was_closed_in_it() -> None:
    bench, _ = bench_of(CYCLES_TO_MIDNIGHT + CYCLES_A_DAY + 3)

    first, second = bench.events(events.WindowReported)
    early, late = bench.events(events.PositionClosed)

    assert (first.occasion, first.since_ns, first.until_ns) == ("day", START_NS + INTERVAL_NS, MIDNIGHT_NS)
    assert (second.since_ns, second.until_ns) == (MIDNIGHT_NS, MIDNIGHT_NS + RETURN_PERIOD_NS)
    assert (first.trades, first.evidence) == (1, (early.trajectory_id,))
    assert (second.trades, second.evidence) == (1, (late.trajectory_id,))
    assert first.realised_lamports == early.realised_lamports
    assert second.capital_lamports == 10 * 10**9 + early.realised_lamports + late.realised_lamports


def test_nothing_is_reported_before_a_day_is_over() -> None:
    bench, _ = bench_of(CYCLES_TO_MIDNIGHT - 1)
    assert bench.events(events.WindowReported) == []


def test_a_restart_goes_on_in_the_same_window() -> None:
    bench, feed = bench_of(CYCLES_TO_MIDNIGHT + 20)
    restored = bench.restored(feed)
    assert restored.kernel.state.window_ns == MIDNIGHT_NS
    assert fingerprint(restored.kernel) == fingerprint(bench.kernel)


def test_a_change_of_tier_is_reported_and_the_day_goes_on() -> None:
    prices = ["1", "1", "1", *["1000"] * (CYCLES_TO_MIDNIGHT - 1)]
    bench = KernelBench(lambda bar: 1.0 if bar.ts_close_ns == START_NS + 2 * INTERVAL_NS else None).feed(script(prices))

    [moved] = bench.events(events.TierChanged)
    reports = bench.events(events.WindowReported)

    assert [report.occasion for report in reports] == ["tier", "day"]
    assert (reports[0].ts_ns, reports[0].tier) == (moved.ts_ns, moved.after)
    assert reports[1].since_ns == reports[0].since_ns


def test_a_digest_says_how_many_trades_how_it_went_and_what_may_be_said_of_it() -> None:
    assert window_text(WINDOW) == (
        "Digest of momentum from 2023-11-14T22:15:00+00:00 until 2023-11-15T00:00:00+00:00: 2 of 3 trades won "
        "(66.7 %), it lost 0.0123 SOL, -0.35 % a trade on average, slippage 12 bps, held for 1 h 3 min. The day is "
        "over. Tier foundation, profile cautious, bucket momentum with 1.02 SOL, positions at cost. 3 finished trades: "
        "an anecdote, not evidence."
    )
    quiet = window_text(replace(WINDOW, occasion="tier", trades=0, evidence=()))
    assert "no trade was finished. The desk has come to tier foundation." in quiet
    assert quiet.endswith("No finished trade: nothing can be said.")


@pytest.mark.parametrize(("trades", "word"), [(0, "nothing"), (9, "anecdote"), (29, "hint"), (30, "sample")])
def test_the_sample_decides_what_may_be_said(trades: int, word: str) -> None:
    assert word in confidence(trades)


def test_a_digest_is_remembered_in_the_namespace_of_its_strategy_and_cites_its_trades() -> None:
    kind, body = encode(WINDOW)
    remembrance = Remembrance("run", 0, lambda _: ())

    [record] = remembrance.records_of(JournalRow(7, MIDNIGHT_NS, kind, canonical_json(body)))

    assert (record.namespace, record.kind, record.action) == ("strategies/momentum", "digest", "note")
    assert record.cites == (public_id("run", "t1"), public_id("run", "t2"))
    assert record.text == window_text(WINDOW)
    assert (record.tags, record.embed) == (("momentum", "foundation", "day"), True)
    figures = record.metadata
    assert (figures["tier"], figures["profile"], figures["bucket"]) == ("foundation", "cautious", "momentum")
    assert (figures["capital_lamports"], figures["evidence"]) == (1_020_000_000, list(record.cites))


def test_the_windows_of_days_are_told_by_regime_and_tier_with_their_intervals_and_what_they_rest_on() -> None:
    cells = (
        WindowCell(1, "", "", 3, 2, -12_300_000, -35, -300, 230, ("t1", "t2")),
        WindowCell(30, "", "", 9, 5, 4_000_000, 12, -80, 104, ("t0", "t1")),
        WindowCell(30, "calm/up", "foundation", 8, 5, 5_000_000, 20, -70, 110, ("t1",)),
        WindowCell(30, "unknown", "acceleration", 1, 0, -1_000_000, -50, None, None, ("t0",)),
    )
    kind, body = encode(replace(WINDOW, cells=cells, calibration=(CalibrationBin("up", 20, 11, 4_900, 251_000),)))
    [record] = Remembrance("run", 0, lambda _: ()).records_of(JournalRow(7, MIDNIGHT_NS, kind, canonical_json(body)))

    assert record.text.endswith(
        "In 30 days: 9 trades, 5 won, +0.12 % a trade (95 %: -0.80 % to +1.04 %). By regime over 30 days: calm/up in "
        "tier foundation: 8 trades, 5 won, +0.20 % a trade (95 %: -0.70 % to +1.10 %); unknown in tier acceleration: 1 "
        "trades, 0 won, -0.50 % a trade. Its forecasts of moves up so far: 49 % stated, 11 of 20 came true; Brier "
        "score 0.251 (always one half: 0.25)."
    )
    assert record.cites == tuple(public_id("run", each) for each in ("t1", "t2", "t0"))
    assert record.metadata["cells"][3]["evidence"] == [public_id("run", "t0")]


def test_a_window_reports_the_days_before_it_and_a_restart_knows_them_too() -> None:
    bench, feed = bench_of(CYCLES_TO_MIDNIGHT + CYCLES_A_DAY + 3)
    first, second = bench.events(events.WindowReported)
    early, late = bench.events(events.PositionClosed)

    assert [(cell.days, cell.regime, cell.trades) for cell in first.cells if not cell.regime] == [
        (days, "", 1) for days in (1, 7, 30)
    ]
    week = [cell for cell in second.cells if cell.days == 7]
    assert [(cell.regime, cell.tier, cell.evidence) for cell in week] == [
        ("", "", (early.trajectory_id, late.trajectory_id)),
        ("unknown", "foundation", (early.trajectory_id, late.trajectory_id)),
    ]
    assert fingerprint(bench.restored(feed).kernel) == fingerprint(bench.kernel)


def test_a_quiet_day_is_remembered_without_a_vector() -> None:
    kind, body = encode(replace(WINDOW, trades=0, wins=0, evidence=()))
    [record] = Remembrance("run", 0, lambda _: ()).records_of(JournalRow(7, MIDNIGHT_NS, kind, canonical_json(body)))
    assert (record.kind, record.embed, record.cites) == ("digest", False, ())
