"""Parts of the desk's JSON documents: sums, times, costs. Shapes are those that the server publishes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from trading.model.account import CostTotals
from trading.model.order import Fill, SwapQuote
from trading.model.units import LAMPORTS_PER_SOL, NS_PER_S, sol_text

Document = dict[str, Any]
CENT = Decimal("0.01")


def amount(lamports: int, sol_usd: Decimal | None) -> Document:
    """Return a sum as lamports, SOL text and, where the SOL price is known, USD text with two decimals."""
    usd = None
    if sol_usd is not None:
        exact = Decimal(lamports) * sol_usd / LAMPORTS_PER_SOL
        usd = f"{exact.quantize(CENT, rounding=ROUND_HALF_EVEN):f}"
    return {"lamports": lamports, "sol": sol_text(lamports), "usd": usd}


def iso(ts_ns: int) -> str:
    """Return UTC with microseconds where there are any, exact."""
    seconds, nanoseconds = divmod(ts_ns, NS_PER_S)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1_000).isoformat()


def plain(value: Decimal) -> str:
    """Return a decimal without exponent and without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def tokens(base_units: int, decimals: int) -> str:
    """Return base units as whole tokens, exact."""
    return plain(Decimal(base_units).scaleb(-decimals))


def price_sol(lamports: int, base_units: int, decimals: int) -> str:
    """Return SOL per whole token with twelve significant digits; "0" for nothing."""
    if base_units == 0:
        return "0"
    price = Decimal(lamports).scaleb(decimals) / (Decimal(base_units) * LAMPORTS_PER_SOL)
    return plain(Decimal(f"{price:.12g}"))


def costs_of_totals(totals: CostTotals) -> Document:
    return {
        "fee_lamports": totals.fee_lamports,
        "impact_lamports": totals.impact_lamports,
        "priority_lamports": totals.priority_lamports,
        "failed_lamports": totals.failed_lamports,
        "rent_lamports": totals.rent_lamports,
    }


def costs_of_fill(fill: Fill) -> Document:
    return {
        "fee_lamports": fill.pool_fee_lamports + fill.network_fee_lamports,
        "impact_lamports": fill.impact_lamports,
        "priority_lamports": fill.priority_fee_lamports,
        "failed_lamports": 0,
        "rent_lamports": fill.rent_lamports,
    }


def costs_of_quote(quote: SwapQuote, priority_lamports: int) -> Document:
    return {
        "fee_lamports": quote.pool_fee_lamports + quote.network_fee_lamports,
        "impact_lamports": quote.impact_lamports,
        "priority_lamports": priority_lamports,
        "failed_lamports": 0,
        "rent_lamports": quote.rent_lamports,
    }


def pick(document: Mapping[str, Any], *names: str) -> Document:
    """Return only these fields, those that are there."""
    return {name: document[name] for name in names if name in document}
