"""The report as a page: one file with everything in it, nothing fetched from anywhere. It shows the figures of
``runtime.report`` and counts none of its own."""

import json
from collections.abc import Mapping
from decimal import Decimal
from importlib.resources import files
from typing import Any, Final

from trading.cli.console import amount_text, bps_text, lamports_text, number_text
from trading.model.units import lamports_to_sol
from trading.runtime.documents import plain

_PLACE: Final = "page"
SHORT_S: Final = 120


def render(document: Mapping[str, Any]) -> str:
    """Return the page of a report."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {
        "sol": lamports_text,
        "about": _about,
        "bps": bps_text,
        "amount": amount_text,
        "figure": number_text,
        "count": lambda value: f"{value:,}",
        "price": lambda text: plain(Decimal(f"{Decimal(text):.5g}")),
        "tone": _tone,
        "day": lambda text: "-" if text is None else str(text)[:16].replace("T", " "),
        "span": _span,
        "wait": _wait,
    }
    drawn = {name: document[name] for name in ("series", "prices", "costs", "strategies")}
    return environment.from_string(_text("report.html")).render(
        report=document,
        style=Markup(_text("report.css")),  # noqa: S704 - our own file
        script=Markup(_text("report.js")),  # noqa: S704 - our own file
        plotly=Markup(_plotly()),  # noqa: S704 - the library's own bundle
        drawn=Markup(_as_data(drawn)),  # noqa: S704 - cannot end its element, see there
    )


def _text(name: str) -> str:
    return (files("trading.cli") / _PLACE / name).read_text(encoding="utf-8")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    bundle: str = get_plotlyjs()
    return bundle


def _as_data(document: Mapping[str, Any]) -> str:
    """Return JSON that can stand in a script element: no text in it, whatever its source, can end that element."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _about(lamports: int) -> str:
    """Return SOL with four decimals, for figures in large type; the exact sum stands beside them."""
    return f"{lamports_to_sol(lamports):.4f} SOL"


def _tone(value: int | None) -> str:
    """Return the class of a gain or a loss; the sign says it too."""
    return "" if not value else "gain" if value > 0 else "loss"


def _wait(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < SHORT_S else _span(int(seconds))


def _span(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 5_400:
        return f"{seconds // 60} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
