"""What a desk tells of its own work: percentiles, transactions, who brought a profile into force, results by day."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.doubles.kernel_bench import KernelBench, profile
from tests.doubles.plain_chain import PlainChain, PlainPreparer, buying
from tests.doubles.scripted_market import INTERVAL_NS, MINT, START_NS, script

from trading.adapters.canonical import canonical_json
from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.journal_archive import RunArchive, StoredTrade
from trading.adapters.sql_journal import JournalStore, SqlJournal
from trading.errors import InvalidInput
from trading.model import commands
from trading.model.chain import Commitment, StatusSeen
from trading.model.intent import IntentState, Settlement
from trading.model.meters import Family, Spreads
from trading.model.profile_content import content_of
from trading.ports import JournalRow
from trading.runtime import families, transactions
from trading.runtime.daily_results import daily_results, with_results
from trading.runtime.history import RunView
from trading.runtime.latency import exact_document, quantile, spread_document
from trading.runtime.nodes import endpoints_of
from trading.runtime.profile_log import profile_log
from trading.runtime.telling import before_of, bounded_limit
from trading.runtime.transactions import Executing, counts_of, live_page, paper_delays_s, paper_page
from trading.sidecar.budget import DAY_NS

pytestmark = pytest.mark.requirement("D8")

SOL = 10**9


class Run:
    """A run on disk whose strategy buys at the third bar and sells at the fifth."""

    def __init__(self, store: JournalStore) -> None:
        self.journal: SqlJournal = store.start_run("run", "t", 0)
        self.archive = RunArchive(store, self.journal.run)
        said = {START_NS + 3 * INTERVAL_NS: 1.0, START_NS + 5 * INTERVAL_NS: -1.0}
        self.bench = KernelBench(lambda bar: said.get(bar.ts_close_ns), journal=self.journal, rules=profile())

    def view(self) -> RunView:
        self.journal.commit()
        kernel = self.bench.kernel
        known = dict(kernel.valuer.instruments)
        now_ns, rugs = kernel.state.now_ns, kernel.state.profile.rugs
        return RunView("run", self.journal, self.archive, known, now_ns, {}, {}, rugs)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    store = JournalStore.at(tmp_path / "journal.db")
    yield Run(store)
    store.close()


def test_a_percentile_lies_on_a_line_in_its_bucket_and_at_the_last_bound_above_all() -> None:
    bounds = (1.0, 2.0, 4.0)
    assert quantile(bounds, [0, 0, 0, 0], 0.5) is None
    assert quantile(bounds, [10, 0, 0, 0], 0.5) == 0.5
    assert quantile(bounds, [5, 5, 0, 0], 0.75) == 1.5
    assert quantile(bounds, [0, 0, 0, 3], 0.5) == 4.0
    spreads = Spreads(Family("f", "histogram", "", ("which",), bounds))
    for which, value in (("a", 0.5), ("a", 1.5), ("b", 3.0), ("b", 9.0)):
        spreads.observe(value, which)
    told = spread_document("n", "w", spreads.told())
    assert (told["count"], told["mean_s"], told["p50_s"], told["p99_s"], told["bound_s"]) == (4, 3.5, 2.0, 4.0, 4.0)
    none = spread_document("n", "w", None)
    assert (none["count"], none["mean_s"], none["p50_s"], none["bound_s"]) == (0, None, None, None)
    exact = exact_document("n", "w", [3.0, 1.0, 2.0])
    assert (exact["p50_s"], exact["p95_s"], exact["mean_s"], exact["is_simulated"]) == (2.0, 3.0, 2.0, True)
    assert exact_document("n", "w", [])["p50_s"] is None


def test_each_simulated_swap_of_a_run_is_told_with_its_order_and_counted(run: Run) -> None:
    run.bench.feed(script(["1"] * 9))
    view = run.view()
    page = paper_page(view, None, 10)
    assert [each["side"] for each in page["transactions"]] == ["sell", "buy"]
    sold = page["transactions"][0]
    assert (sold["state"], sold["is_simulated"], sold["signature"]) == ("simulated_fill", True, None)
    assert sold["fee_lamports"] > 0
    assert sold["reason"] != ""
    assert sold["order_id"].startswith("run.")
    first = paper_page(view, None, 1)
    rest = paper_page(view, before_of(first["next_cursor"]), 1)
    assert [each["side"] for each in (*first["transactions"], *rest["transactions"])] == ["sell", "buy"]
    assert rest["next_cursor"] is None
    assert counts_of(view, None) == {
        "success": 2,
        "failed": 0,
        "expired": 0,
        "cancelled": 0,
        "under_way": 0,
        "needs_review": 0,
    }
    assert len(paper_delays_s(view)) == 2


def test_swaps_that_failed_and_expired_say_why_and_are_no_success(run: Run) -> None:
    for number, (reason, charged) in enumerate((("expired", 0), ("slippage", 15_000), ("expired", 0))):
        rejected = {"charged_lamports": charged, "message": 'no "reason":"expired"', "order_id": f"ord_{number}"}
        body = {"bucket": "b", "rejected": {**rejected, "reason": reason, "ts_ns": START_NS}, "strategy": "s"}
        run.journal.append(START_NS, "order_rejected", {**body, "trajectory_id": f"trj_{number}", "wallet": "main"})
    view = run.view()
    counts = counts_of(view, None)
    assert (counts["expired"], counts["failed"], counts["success"]) == (2, 1, 0)
    told = paper_page(view, None, 10)["transactions"]
    assert [each["state"] for each in told] == ["simulated_expiry", "simulated_failure", "simulated_expiry"]
    assert (told[1]["failed_lamports"], told[1]["problem"]) == (15_000, 'slippage: no "reason":"expired"')


def test_swaps_of_real_money_are_told_with_attempts_costs_and_distance_from_the_offer(run: Run, tmp_path: Path) -> None:
    chain = PlainChain()
    chain.wallets["w"] = [9 * SOL, 0]
    journal = SqlExecutionJournal.at(tmp_path / "execution.db", chain.now_ns)
    known = journal.open(buying(chain, "w", SOL))
    attempt = replace(anyio.run(PlainPreparer(chain).prepare, known), quoted_out=1_000)
    journal.signed(attempt)
    journal.landed(known.intent.id, StatusSeen(attempt.signature, 1, Commitment.CONFIRMED, "", "one"))
    cost = {"fee_lamports": 15_000, "tip_lamports": 2_000, "rent_lamports": 2_039_280}
    block_s = known.intent.created_ns // SOL + 3
    journal.settled(Settlement(known.intent.id, attempt.signature, 1, block_s, SOL, 990, **cost))
    other = journal.open(replace(buying(chain, "w", SOL), id="int_2", key="k2"))
    journal.ended(other.intent.id, IntentState.FAILED, "no offer was good enough")
    live = Executing(journal, {"main": "w"}, {known.intent.out_mint: MINT}, journal.epoch)
    page = live_page(run.view(), live, None, 10)
    failed, settled = page["transactions"]
    assert (failed["state"], failed["problem"], failed["attempts"]) == ("failed", "no offer was good enough", [])
    assert failed["signature"] is None
    assert (settled["state"], settled["wallet"], settled["mint"], settled["side"]) == ("settled", "main", MINT, "buy")
    assert (settled["sol_lamports"], settled["slippage_bps"]) == (SOL, 100)
    assert (settled["fee_lamports"], settled["priority_lamports"], settled["rent_lamports"]) == (
        15_000,
        2_000,
        2_039_280,
    )
    assert settled["took_s"] == pytest.approx(3, abs=1)
    assert [each["signature"] for each in settled["attempts"]] == [attempt.signature]
    first = live_page(run.view(), live, None, 1)
    assert live_page(run.view(), live, before_of(first["next_cursor"]), 1)["transactions"] == [settled]
    counts = counts_of(run.view(), live)
    assert (counts["success"], counts["failed"], counts["expired"], counts["under_way"]) == (1, 1, 0, 0)
    journal.close()


def test_a_profile_is_in_the_log_with_who_commanded_it_and_what_is_other_now(run: Run) -> None:
    run.bench.feed(script(["1"] * 2))
    after = profile(cooldown_s=77).model_copy(update={"name": "other"})
    switch = commands.SwitchProfile("k", "operator:ann", "the market is calm", "other", content_of(after))
    assert run.bench.control.take(switch).denied is None
    log = profile_log(run.view(), None, 10)
    newest, first = log["entries"]
    assert (newest["what"], newest["after"], newest["by"]) == ("profile", "other", "operator:ann")
    assert newest["why"] == "the market is calm"
    assert {"field": "limits.cooldown_s", "before": "3600", "after": "77"} in newest["changes"]
    assert newest["changes_total"] == len(newest["changes"])
    assert (first["kind"], first["by"]) == ("run_started", "operator")
    assert profile_log(run.view(), newest["seq"], 10)["entries"] == [first]
    page = profile_log(run.view(), None, 1)
    assert (len(page["entries"]), page["next_cursor"]) == (1, str(newest["seq"]))


def test_what_the_desk_did_by_its_own_rules_is_said_to_be_the_desks(run: Run) -> None:
    tier = {"after": "acceleration", "before": "foundation", "equity_lamports": 21 * SOL, "ts_ns": START_NS}
    run.journal.append(START_NS, "tier_changed", tier)
    newest = profile_log(run.view(), None, 1)["entries"][0]
    assert (newest["what"], newest["by"], newest["before"]) == ("tier", "desk", "foundation")
    assert newest["why"] == "equity without flows came to 21 SOL"


def test_endpoints_have_their_calls_their_latency_and_what_their_budget_has_left() -> None:
    labels = ("rpc", "one.example.com")
    seconds = Spreads(families.CALL_SECONDS)
    seconds.observe(0.2, *labels)
    seconds.observe(9.0, "rpc", "other.example.com")
    told = [
        families.CALLS.told([((*labels, "ok"), 5), ((*labels, "timeout"), 2)]),
        families.BUDGET.told([(labels, 40.5)]),
        families.AWAY.told([(labels, 3.0)]),
        seconds.told(),
    ]
    [one] = endpoints_of({each["name"]: each for each in told})
    assert (one["name"], one["ok"], one["failed"]) == ("one.example.com", 5, {"timeout": 2})
    assert (one["budget_left"], one["away_s"], one["answered"]["count"]) == (40.5, 3.0, 1)
    assert endpoints_of({}) == []


class Past:
    """Trades and failed transactions of a run, newest first."""

    def __init__(self, trades: Sequence[tuple[int, int | None]], charged: Sequence[tuple[int, int]] = ()) -> None:
        count = len(trades)
        self._trades = [StoredTrade(count - at, _trade(day, realised)) for at, (day, realised) in enumerate(trades)]
        self._charged = [JournalRow(9, 0, "order_rejected", canonical_json(_rejected(*each))) for each in charged]

    def trades(self, *, before: int | None, limit: int) -> list[StoredTrade]:
        return [each for each in self._trades if before is None or each.number < before][:limit]

    def newest(self, kinds: Sequence[str] = (), *, before: int | None = None, limit: int = 1) -> list[JournalRow]:
        assert kinds == ("order_rejected",)
        return self._charged[:limit]

    def view(self) -> Any:
        return RunView("run", self, self, {}, 0, {}, {}, None)  # type: ignore[arg-type]


def _trade(day: int, realised: int | None) -> dict[str, Any]:
    costs = {"pool_fee_lamports": 1, "network_fee_lamports": 2, "impact_lamports": 3, "priority_fee_lamports": 4}
    return {"filled": {"fill": {"ts_ns": day * DAY_NS + 5, **costs}}, "realised_lamports": realised}


def _rejected(day: int, charged: int) -> dict[str, Any]:
    return {"rejected": {"ts_ns": day * DAY_NS, "charged_lamports": charged}}


def test_results_are_added_up_by_day_without_what_failed_transactions_were_charged() -> None:
    past = Past([(12, 500), (12, None), (11, 700), (10, 9)], charged=[(12, 60), (9, 1)])
    found = daily_results(past.view(), 11)
    assert {day: (each.realised_lamports, each.on_chain_lamports) for day, each in found.items()} == {
        12: (440, 80),
        11: (700, 10),
    }


def test_a_day_that_the_newest_trades_do_not_reach_whole_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading.runtime.daily_results.TRADES_AT_ONCE", 2)
    monkeypatch.setattr("trading.runtime.daily_results.TRADES_MAX", 4)
    past = Past([(12, 1), (12, 1), (11, 1), (11, 1), (11, 1)])
    assert list(daily_results(past.view(), 5)) == [12]


def test_running_costs_come_off_at_the_price_of_sol_now_and_only_where_all_is_known() -> None:
    results = daily_results(Past([(1, SOL)]).view(), 0)
    row = {"day": "1970-01-02", "usd": "30.0000", "is_complete": True}
    [whole] = with_results([row], results, Decimal(150))
    assert (whole["realised"]["lamports"], whole["on_chain"]["lamports"]) == (SOL, 10)
    assert whole["net"]["lamports"] == SOL - SOL // 5
    [unpriced] = with_results([{**row, "is_complete": False}], results, Decimal(150))
    [without] = with_results([row], results, None)
    [quiet] = with_results([{**row, "day": "1970-01-09", "usd": "0.0000"}], results, Decimal(150))
    assert (unpriced["net"], without["net"], quiet["net"]["lamports"]) == (None, None, 0)


def test_a_cursor_or_a_limit_that_is_none_names_the_field() -> None:
    assert (before_of(None), before_of("12"), bounded_limit(200)) == (None, 12, 200)
    for wrong in ("x", "-1", "1" * 19, "\u0661"):
        with pytest.raises(InvalidInput) as caught:
            before_of(wrong)
        assert caught.value.field == "cursor"
    for number in (0, 201):
        with pytest.raises(InvalidInput, match="limit"):
            bounded_limit(number)


def test_every_state_that_an_intent_may_have_is_counted_somewhere() -> None:
    counted = {*transactions.UNDER_WAY, "settled", "reverted", "failed", "cancelled", "needs_review"}
    assert counted == {each.value for each in IntentState}
