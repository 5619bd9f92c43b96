"""A page about one backtest: one file, no script, nothing fetched from anywhere."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from trading.cli.console import bps_text, lamports_text
from trading.model.units import NS_PER_S

POINTS_MAX: Final = 1_200
_WIDTH: Final = 960
_HEIGHT: Final = 240
_STYLE: Final = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; } th { font-weight: 600; opacity: .75; }
svg { width: 100%; height: auto; } polyline { fill: none; stroke-width: 1.5; }
.equity { stroke: #2f6feb; } .drawdown { stroke: #c9372c; } text { font-size: 11px; fill: currentColor; }
"""

Curve = Sequence[tuple[int, int]]


def render(document: Mapping[str, Any], equity: Curve) -> str:
    """Return the page. ``document`` is the backtest's JSON, ``equity`` is (ts_ns, lamports) in time order."""
    start, end = document["equity_start_lamports"], document["equity_end_lamports"]
    summary = {
        "Run": document["run_id"],
        "Feed": document["feed"],
        "Profile, tier": f"{document['profile']}, {document['tier']}",
        "Equity": f"{lamports_text(start)} to {lamports_text(end)} ({bps_text(document['return_bps'])})",
        "Holding the tokens instead": bps_text(document["benchmarks"]["hold_tokens"]["return_bps"]),
        "Largest drawdown": bps_text(document["max_drawdown_bps"]),
        "Trades, signals": f"{document['trades']:,}, {document['signals']:,}",
        "Sharpe a year, deflated Sharpe, trials": ", ".join(
            "too little data" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
            for value in (document["sharpe"], document["deflated_sharpe"], document["trials"])
        ),
        "Journal SHA-256": document["journal_sha256"],
        "Conditions of the chain, liquidity": f"{document['conditions']['name']}, {document['liquidity']}",
        "Conventions": document["conventions"],
    }
    costs = {name.removesuffix("_lamports"): lamports_text(value) for name, value in document["costs"].items()}
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Backtest {escape(str(document['run_id']))}</title><style>{_STYLE}</style>",
        "<h1>Backtest</h1>",
        _table(summary),
        "<h2>Equity, SOL</h2>",
        _chart(equity, "equity", 1e9),
        "<h2>Drawdown, %</h2>",
        _chart(_drawdown(equity), "drawdown", 100.0),
        "<h2>Costs</h2>",
        _table(costs),
        "<h2>Strategies</h2>",
        _strategies(document["strategies"]),
        "<h2>Denied</h2>",
        _table({name: f"{count:,}" for name, count in document["denials"].items()} or {"nothing": ""}),
    ]
    return "\n".join(parts) + "\n"


def _table(rows: Mapping[str, Any]) -> str:
    body = "".join(f"<tr><th>{escape(str(name))}<td>{escape(str(value))}" for name, value in rows.items())
    return f"<table>{body}</table>"


def _strategies(strategies: Mapping[str, Mapping[str, Any]]) -> str:
    head = "<tr><th>Name<th>Round trips<th>Won<th>Realised<th>Parameters"
    rows = "".join(
        f"<tr><td>{escape(name)}<td>{each['round_trips']}<td>{escape(bps_text(each['win_rate_bps']))}"
        f"<td>{escape(lamports_text(each['realised_lamports']))}"
        f"<td>{escape(', '.join(f'{key} {value}' for key, value in each['parameters'].items()))}"
        for name, each in strategies.items()
    )
    return f"<table>{head}{rows}</table>"


def _drawdown(equity: Curve) -> list[tuple[int, int]]:
    peak = 0
    drops: list[tuple[int, int]] = []
    for ts_ns, lamports in equity:
        peak = max(peak, lamports)
        drops.append((ts_ns, -((peak - lamports) * 10_000 // peak) if peak > 0 else 0))
    return drops


def _thinned(points: Curve) -> Curve:
    """Return at most ``POINTS_MAX`` points with every stretch's lowest and highest kept: no spike is smoothed away."""
    if len(points) <= POINTS_MAX:
        return points
    stretch = -(-len(points) // (POINTS_MAX // 2))
    kept: list[tuple[int, int]] = []
    for begin in range(0, len(points), stretch):
        part = points[begin : begin + stretch]
        kept += sorted({min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])})
    return kept


def _chart(points: Curve, name: str, scale: float) -> str:
    if len(points) < 2:
        return "<p>Too few points for a curve."
    thin = _thinned(points)
    first_ns, last_ns = thin[0][0], max(thin[-1][0], thin[0][0] + 1)
    low, high = min(value for _, value in thin), max(value for _, value in thin)
    span = max(high - low, 1)
    line = " ".join(
        f"{(ts_ns - first_ns) * _WIDTH / (last_ns - first_ns):.1f},{(high - value) * _HEIGHT / span:.1f}"
        for ts_ns, value in thin
    )
    return (
        f"<svg viewBox='0 -14 {_WIDTH} {_HEIGHT + 34}' role=img aria-label='{name} over time'>"
        f"<polyline class={name} points='{line}'/>"
        f"<text x=0 y=-3>{high / scale:,.4g}</text><text x=0 y={_HEIGHT + 12}>{low / scale:,.4g}</text>"
        f"<text x={_WIDTH} y={_HEIGHT + 12} text-anchor=end>{_day(first_ns)} to {_day(last_ns)} UTC</text></svg>"
    )


def _day(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NS_PER_S, tz=UTC).strftime("%Y-%m-%d %H:%M")
