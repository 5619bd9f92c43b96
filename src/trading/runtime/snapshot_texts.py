"""The desk at the close of a window, in words: what is asked for when somebody looks for a time that was like this one.

Exposure comes first and is named by its size and its spread, since that is what such a question is about.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from trading.model.units import BPS_ONE, NS_PER_S

from .documents import Document, iso
from .outcomes import duration_text

TOKENS_NAMED_MAX: Final = 8
LIGHT_BPS, HEAVY_BPS, FULL_BPS = 2_000, 5_000, 8_000
CONCENTRATED_BPS: Final = 6_000
"""Share of the exposure in one token from which it is called concentrated."""

DEEP_BPS: Final = 1_000


def snapshot_text(closing: Mapping[str, Any]) -> str:
    """Return what is remembered of a closed window: ``closed_ns``, ``window_s`` and the snapshot at its close."""
    shown = closing["snapshot"]
    span = duration_text(closing["window_s"] * NS_PER_S)
    entries = "entries allowed" if shown["entries_allowed"] else "no entries allowed"
    drawdown = shown["drawdown_bps"]
    deep = " (deep)" if drawdown >= DEEP_BPS else ""
    fallen = f"drawdown {_percent(drawdown)} from the peak{deep}" if drawdown else "no drawdown, at its peak"
    return (
        f"Snapshot of the desk at {iso(closing['closed_ns'])}, when a window of {span} closed. {_exposure(shown)} "
        f"Equity {_sum(shown['equity'])}, cash {_sum(shown['cash'])}, {fallen}; "
        f"unrealised {_sum(shown['unrealised'])}, realised {_sum(shown['realised'])}. "
        f"State {shown['state']}, {entries}; profile {shown['profile']}, tier {shown['tier']}, {shown['money']} money."
    )


def snapshot_tags(closing: Mapping[str, Any]) -> tuple[str, ...]:
    shown = closing["snapshot"]
    return (shown["state"], shown["profile"], shown["tier"])


def snapshot_figures(closing: Mapping[str, Any]) -> Document:
    """Return the figures that the words stand for; a page or a program reads these."""
    shown = closing["snapshot"]
    exposure = shown["exposure"]
    return {
        "closed": iso(closing["closed_ns"]),
        "window_s": closing["window_s"],
        "cycle": shown["cycle"],
        "state": shown["state"],
        "profile": shown["profile"],
        "tier": shown["tier"],
        "equity_lamports": shown["equity"]["lamports"],
        "drawdown_bps": shown["drawdown_bps"],
        "unrealised_lamports": shown["unrealised"]["lamports"],
        "exposure_lamports": exposure["total"]["lamports"],
        "exposure_bps": _share_bps(shown),
        "exposure_by_token_bps": {each["name"]: each["share_bps"] for each in exposure["by_token"][:TOKENS_NAMED_MAX]},
    }


def _exposure(shown: Mapping[str, Any]) -> str:
    tokens = shown["exposure"]["by_token"]
    if not tokens:
        return "No exposure: nothing is held, everything is cash."
    whole = _share_bps(shown)
    named = ", ".join(f"{each['label']} {_percent(each['share_bps'])}" for each in tokens[:TOKENS_NAMED_MAX])
    more = f" and {len(tokens) - TOKENS_NAMED_MAX} more" if len(tokens) > TOKENS_NAMED_MAX else ""
    return f"{_size(whole)} exposure: {_percent(whole)} of equity in {named}{more}; {_spread(tokens)}."


def _size(share_bps: int) -> str:
    if share_bps >= FULL_BPS:
        return "Almost full"
    if share_bps >= HEAVY_BPS:
        return "Heavy"
    return "Moderate" if share_bps >= LIGHT_BPS else "Light"


def _spread(tokens: list[Mapping[str, Any]]) -> str:
    if len(tokens) == 1:
        return f"all of it in {tokens[0]['label']}"
    total = sum(each["lamports"] for each in tokens)
    if tokens[0]["lamports"] * BPS_ONE >= CONCENTRATED_BPS * total:
        return f"concentrated in {tokens[0]['label']}"
    return f"spread over {len(tokens)} tokens"


def _share_bps(shown: Mapping[str, Any]) -> int:
    equity = max(1, int(shown["equity"]["lamports"]))
    return int(shown["exposure"]["total"]["lamports"]) * BPS_ONE // equity


def _sum(amount: Mapping[str, Any]) -> str:
    usd = "" if amount["usd"] is None else f" ({amount['usd']} USD)"
    return f"{amount['sol']} SOL{usd}"


def _percent(bps: int) -> str:
    return f"{Decimal(bps) / 100:.1f} %"
