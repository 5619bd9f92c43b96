"""What trading brought on each day (UTC) of the market, to be set against what running took on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from trading.adapters.canonical import parse_json
from trading.model.units import LAMPORTS_PER_SOL
from trading.sidecar.budget import DAY_NS

from .documents import Document, amount
from .history import RunView
from .running_costs import date_of

TRADES_AT_ONCE: Final = 500
TRADES_MAX: Final = 10_000
REJECTIONS_MAX: Final = 2_000
COSTS: Final = ("pool_fee_lamports", "network_fee_lamports", "impact_lamports", "priority_fee_lamports")


@dataclass(slots=True)
class DayResult:
    """``realised_lamports`` of the positions closed on it, after what that cost on chain and what failed
    transactions were charged; ``on_chain_lamports``: all that its transactions cost, entries too."""

    realised_lamports: int = 0
    on_chain_lamports: int = 0


def daily_results(run: RunView, first_day: int) -> dict[int, DayResult]:
    """Return the results of the days (since 1970) from that one on, as far as the newest ``TRADES_MAX`` trades go: the
    day on which they begin is left out where they do not reach further."""
    days: dict[int, DayResult] = {}
    before, read = None, 0
    is_whole = False
    while not is_whole and read < TRADES_MAX:
        page = run.archive.trades(before=before, limit=TRADES_AT_ONCE)
        for each in page:
            fill: Mapping[str, Any] = each.body["filled"]["fill"]
            day = int(fill["ts_ns"]) // DAY_NS
            if day < first_day:
                is_whole = True
                break
            found = days.setdefault(day, DayResult())
            found.realised_lamports += each.body["realised_lamports"] or 0
            found.on_chain_lamports += sum(int(fill[name]) for name in COSTS)
        read += len(page)
        is_whole = is_whole or len(page) < TRADES_AT_ONCE
        before = page[-1].number if page else None
    _charge(run, first_day, days)
    if not is_whole and days:
        del days[min(days)]
    return days


def _charge(run: RunView, first_day: int, days: dict[int, DayResult]) -> None:
    """Take off what transactions cost that failed."""
    for row in run.journal.newest(("order_rejected",), limit=REJECTIONS_MAX):
        rejected = parse_json(row.body)["rejected"]
        day, charged = int(rejected["ts_ns"]) // DAY_NS, int(rejected["charged_lamports"])
        if day < first_day:
            return
        if charged:
            found = days.setdefault(day, DayResult())
            found.realised_lamports -= charged
            found.on_chain_lamports += charged


def with_results(rows: list[Document], results: Mapping[int, DayResult], sol_usd: Decimal | None) -> list[Document]:
    """Return the rows of days with what trading brought on them. What running took is turned into SOL at its price
    now; where that or a price of an endpoint is not known, no net result is told."""
    by_date = {date_of(day): result for day, result in results.items()}
    return [each | _result(each, by_date.get(each["day"], DayResult()), sol_usd) for each in rows]


def _result(row: Document, result: DayResult, sol_usd: Decimal | None) -> Document:
    net = None
    if sol_usd and row["is_complete"]:
        running = Decimal(row["usd"]) / sol_usd * LAMPORTS_PER_SOL
        net = amount(result.realised_lamports - int(running.to_integral_value(ROUND_HALF_EVEN)), sol_usd)
    return {
        "realised": amount(result.realised_lamports, sol_usd),
        "on_chain": amount(result.on_chain_lamports, sol_usd),
        "net": net,
    }
