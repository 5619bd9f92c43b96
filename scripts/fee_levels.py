"""What network fees leave of accounts of several sizes: ``python -m scripts.fee_levels``.

The same generated market is traded with 2, 20 and 200 SOL at three priority fees: what a calm chain asks, and the
default caps of two other programs, which are sums and not shares. The table goes between its markers in
docs/results.md.
"""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scripts.results_file import commit, splice

from trading.cli.console import bps_text
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.profile import FOUNDATION, Profile
from trading.model.tier import tier_of
from trading.model.units import BPS_ONE, LAMPORTS_PER_SOL, ceil_div, sol_text
from trading.runtime.backtest import BacktestSpec, run_backtest
from trading.runtime.report import ReportSource, report_of

BANKROLLS_SOL = (2, 20, 200)
SWAP_FEES_LAMPORTS = (25_000, 1_000_000, 10_000_000)
"""Of one swap, its signature included: 0.1 lamport a compute unit; 0.001 SOL; 0.01 SOL."""
SEED, CYCLES = 7, 6_000


@dataclass(frozen=True)
class Level:
    """One run: its report, and the smallest order that its fees leave sensible (``None``: none that it may place)."""

    bankroll_sol: int
    swap_fee_lamports: int
    order_lamports_min: int
    order_lamports_max: int
    report: dict[str, Any]


def paying(swap_fee_lamports: int) -> Profile:
    """Return the foundation profile at this fee a swap. Its cap on the sum is lifted, that on the share stays."""
    priority = swap_fee_lamports - SIGNATURE_FEE_LAMPORTS
    fees = FOUNDATION.fees.model_copy(
        update={"priority_micro_lamports_per_cu": priority * 1_000_000 // FOUNDATION.fees.compute_units_max}
    )
    limits = FOUNDATION.limits.model_copy(update={"priority_fee_lamports_max": 100_000_000})
    return FOUNDATION.model_copy(update={"fees": fees, "limits": limits})


def level(bankroll_sol: int, swap_fee_lamports: int, cycles: int = CYCLES) -> Level:
    """Trade the market with that much at that fee."""
    equity, profile = bankroll_sol * LAMPORTS_PER_SOL, paying(swap_fee_lamports)
    feed = SyntheticFeed(SyntheticMarket(seed=SEED, cycles=cycles))
    result = run_backtest(BacktestSpec(feed, equity_lamports=equity, rules=profile))
    report = report_of(ReportSource(result.document["run_id"], result.journal, result.plan, result.kept(), feed))
    share = min(profile.limits.fee_position_bps_max, tier_of(equity).fee_position_bps_max)
    least = ceil_div(2 * swap_fee_lamports * BPS_ONE, share)
    return Level(bankroll_sol, swap_fee_lamports, least, equity * profile.limits.order_bps_max // BPS_ONE, report)


def row(found: Level) -> str:
    report, costs = found.report, found.report["costs"]
    refused = report["denials"].get("fee_position_bps", 0)
    shares = [bps_text(costs["share_bps"][kind]) for kind in ("fee", "impact", "priority", "failed")]
    cells = [
        f"{found.bankroll_sol}",
        sol_text(found.swap_fee_lamports),
        bps_text(2 * found.swap_fee_lamports * BPS_ONE // (found.bankroll_sol * LAMPORTS_PER_SOL // 100)),
        sol_text(found.order_lamports_min),
        sol_text(found.order_lamports_max),
        f"{report['trades']}",
        f"{refused}",
        *shares,
        bps_text(report["total"]["cost_of_turnover_bps"]),
        bps_text(report["return_bps"]),
    ]
    return f"| {' | '.join(cells)} |"


def section(found: list[Level]) -> str:
    rows = "\n".join(row(each) for each in found)
    share = FOUNDATION.limits.fee_position_bps_max
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    heads = (
        "account, SOL", "fee a swap, SOL", "of 1 %", "least order, SOL", "largest order, SOL", "fills",
        "refused for fees", "pool, signature", "impact", "priority", "failed", "costs of turnover", "return",
    )  # fmt: skip
    return f"""## Network fees by account

`python -m scripts.fee_levels`, commit {commit()}, {day}. A generated market (seed {SEED}, {CYCLES} bars of five
minutes), profile `foundation`, ideal chain. A fee is that of one swap, its signature included. "Of 1 %": what the two
swaps of a round trip would take of a position of a hundredth of the account. The desk's cap is a share: two swaps may
take {bps_text(share)} of an order (less in higher tiers), so the least order grows with the fee, and an account whose
largest order is smaller than that does not trade. Shares are those of what was spent; rent is a deposit.

| {" | ".join(heads)} |
|{" --- |" * len(heads)}
{rows}
"""


def main() -> int:
    found = [level(bankroll, fee) for bankroll in BANKROLLS_SOL for fee in SWAP_FEES_LAMPORTS]
    splice("fee-levels", section(found))
    traded = sum(each.report["trades"] > 0 for each in found)
    print(f"{len(found)} accounts and fees, {traded} of them trade")
    return 0


if __name__ == "__main__":
    sys.exit(main())
