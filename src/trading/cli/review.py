"""``review``: what waits for an answer, what the desk expects, and how far its earlier forecasts came true."""

from typing import Any, Final

import typer
from rich.text import Text

from trading.cli.client import Daemon
from trading.cli.console import bps_text, figures, listing, out, print_json, reporting
from trading.cli.night import waiting_table
from trading.cli.options import DataDir, JsonFlag
from trading.model.units import BPS_ONE

RANKED_MAX: Final = 20
"""Tokens of the ranking that are shown, the first; ``--json`` has them all."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("review")(review)


def review(data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """Show what waits for an answer, with its evidence; then open forecasts, how far earlier ones came true, and the
    ranking of all tokens."""
    with reporting(as_json=as_json):
        daemon = Daemon.find(data_dir)
        answer = daemon.get("/strategies")
        waiting = daemon.get("/night")["waiting"]
    outlook: dict[str, Any] = answer.get("outlook") or {}
    if as_json:
        context = {name: answer[name] for name in ("money", "feed") if name in answer}
        print_json({**context, **outlook, "waiting": waiting})
        return
    console = out()
    console.print(waiting_table(waiting))
    title = f"The desk's forecasts (money: {answer['money']}, feed: {answer['feed']['kind']})"
    ranking = outlook.get("ranking") or {}
    ranked = ", ".join(map(_ranked, ranking.get("tokens", [])[:RANKED_MAX])) or "none"
    head = [("open", str(outlook.get("forecasts_open", 0))), ("ranking", f"{ranked} ({ranking.get('ts')})")]
    console.print(figures(title, head))
    columns = ("strategy", "token", "direction", "move %", "left %", "confidence %", "due", "reason")
    rows = [
        (
            each["strategy"],
            each["symbol"],
            each["direction"],
            bps_text(each["move_bps"]),
            bps_text(each["expected_bps"]),
            bps_text(each["confidence_bps"]),
            each["due"],
            each["reason"],
        )
        for each in outlook.get("forecasts", [])
    ]
    console.print(listing("Open forecasts", columns, rows))
    records = [
        (
            each["strategy"],
            each["direction"],
            f"{each['count']:,}",
            bps_text(each["hit_rate_bps"]),
            bps_text(each["mean_move_bps"]),
            bps_text(each["mean_realised_bps"]),
            "-" if each["brier_ppm"] is None else f"{each['brier_ppm'] / 1_000_000:.4f}",
        )
        for each in outlook.get("calibration", [])
    ]
    heads = ("strategy", "direction", "scored", "hits %", "said %", "came true %", "Brier")
    console.print(listing("Earlier forecasts", heads, records))
    _show_bins(outlook.get("calibration", []))
    console.print(Text("Brier: 0 is perfect, 0.25 is what always saying one half brings."))


def _ranked(token: dict[str, Any]) -> str:
    volatility = token.get("volatility_day_bps")
    return str(token["symbol"]) if volatility is None else f"{token['symbol']} ({bps_text(volatility)} a day)"


def _show_bins(calibration: list[dict[str, Any]]) -> None:
    """Print how often forecasts came true against how sure of them the desk was."""
    rows = [
        (each["strategy"], each["direction"], bps_text(bin_["confidence_bps"]), f"{bin_['count']:,}", hits_text(bin_))
        for each in calibration
        for bin_ in each.get("bins", [])
    ]
    if rows:
        heads = ("strategy", "direction", "confidence %", "scored", "came true %")
        out().print(listing("By what confidence was stated", heads, rows))


def hits_text(bin_: dict[str, Any]) -> str:
    """Return the share that came true."""
    return bps_text(bin_["hits"] * BPS_ONE // bin_["count"])
