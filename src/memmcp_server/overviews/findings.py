"""What the desk's figures let anybody say: results by regime, gates of candidates, forecasts, each with its sample.

It judges by what the desk has worked out (intervals, gates, scores) and adds no opinion: what an interval leaves open
is said to be open.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import log, sqrt
from typing import Any, Final, Literal

from memmcp_server.wire.base import JsonValue
from memmcp_server.wire.findings import Finding, OutOfSample
from memmcp_server.wire.trading import StrategyDigest, StrategyView

EVIDENCE_MAX: Final = 10
OUT_OF_SAMPLE: Final[Mapping[str, Literal["trades", "days"]]] = {
    "trade_psr": "trades",
    "paper_psr": "days",
    "holdout_psr": "days",
}
"""Gates that read what chose nothing, the most telling first, and what they count."""
UNREAD: Final = ("too few", "not known")
"""How the note of a gate begins whose figure could not be read."""
BRIER_OF_HALF_PPM: Final = 250_000
TRADES_MIN: Final = 10
"""Fewer finished trades decide nothing, whatever their interval: a few fat tails make or break them."""
FORECASTS_MIN: Final = 30
"""With fewer scored forecasts nothing is said of them."""

Figures = Mapping[str, Any]


def findings_of(digest: StrategyDigest, strategies: Sequence[StrategyView]) -> list[Finding]:
    """Return the findings over all strategies: what is decided first, then by the size of the sample."""
    listed = {each.name: each for each in strategies}
    found = [
        finding for told in digest.strategies for finding in strategy_findings(told, listed.get(str(told.get("name"))))
    ]
    return sorted(found, key=lambda each: (each.says == "open", -each.sample, each.strategy, each.regime or ""))


def strategy_findings(told: Figures, listed: StrategyView | None) -> Iterator[Finding]:
    """Yield the findings of one strategy of a digest: all its trades, each regime that is decided, gates, forecasts."""
    name = str(told.get("name"))
    tested = None if listed is None else out_of_sample(listed.gates)
    cells = [each for each in told.get("cells", []) if isinstance(each, dict)]
    if told.get("trades"):
        evidence = [each for cell in cells for each in cell.get("evidence", [])]
        yield result(name, told, None, tested, evidence)
    for cell in cells:
        found = result(name, cell, cell, tested, cell.get("evidence", []))
        if found.says != "open":
            yield found
    if listed is not None and listed.lineage and listed.gates:
        yield gates(listed, tested)
    for record in told.get("calibration", []):
        if isinstance(record, dict) and int(record.get("count") or 0) >= FORECASTS_MIN:
            yield forecasts(name, record)


def result(
    name: str, figures: Figures, cell: Figures | None, tested: OutOfSample | None, evidence: Sequence[str]
) -> Finding:
    """Return what finished trades say; ``cell`` names the regime and tier, None: all of them."""
    trades, low, high = int(figures.get("trades") or 0), figures.get("low_bps"), figures.get("high_bps")
    says: Literal["gains", "loses", "open"] = "open"
    if low is not None and high is not None and trades >= TRADES_MIN:
        says = "gains" if low > 0 else "loses" if high < 0 else "open"
    regime, tier = (None, None) if cell is None else (_name(cell, "regime"), _name(cell, "tier"))
    where = "" if regime is None else f" in {regime} (tier {tier})"
    word = says if says != "open" else "is not decided"
    return Finding(
        about="result",
        strategy=name,
        regime=regime,
        tier=tier,
        says=says,
        text=f"{name} {word}{where}: {figures_text(figures)}.",
        sample=trades,
        confidence=str(figures.get("confidence") or ""),
        out_of_sample=tested,
        evidence=list(evidence)[-EVIDENCE_MAX:],
    )


def figures_text(figures: Figures) -> str:
    """Return the figures of finished trades, the sample size first."""
    trades, wins = int(figures.get("trades") or 0), int(figures.get("wins") or 0)
    mean, low, high = figures.get("mean_return_bps"), figures.get("low_bps"), figures.get("high_bps")
    text = f"{trades} finished trade{'' if trades == 1 else 's'}, {wins} won"
    if mean is None:
        return text
    interval = "" if low is None or high is None else f" (95 %: {_percent(low)} to {_percent(high)})"
    return f"{text}, {_percent(mean)} a trade{interval}"


def gates(listed: StrategyView, tested: OutOfSample | None) -> Finding:
    """Return what the gates of a strategy's candidate read last."""
    lost = [str(each.get("name")) for each in listed.gates if each.get("passed") is not True]
    verdict = f"does not pass {', '.join(lost)}" if lost else f"passes all of its {len(listed.gates)} gates"
    text = f"{listed.lineage} ({listed.stage}) {verdict}"
    said = "nothing was read of what did not choose it" if tested is None else tested_text(tested)
    return Finding(
        about="gates",
        strategy=listed.name,
        says="fails" if lost else "holds",
        text=f"{listed.name}: {text}; out of sample: {said}.",
        sample=0 if tested is None else tested.sample,
        confidence=said,
        out_of_sample=tested,
    )


def forecasts(name: str, record: Figures) -> Finding:
    """Return how the forecasts of a strategy in one direction came out, against one that always says one half."""
    count, hits, brier = int(record["count"]), int(record.get("hits") or 0), record.get("brier_ppm")
    says: Literal["better", "worse", "open"] = "open"
    if isinstance(brier, int) and abs(brier - BRIER_OF_HALF_PPM) > brier_margin_ppm(count):
        says = "better" if brier < BRIER_OF_HALF_PPM else "worse"
    score = "" if not isinstance(brier, int) else f", Brier score {brier / 1_000_000:.3f} (always one half: 0.250)"
    return Finding(
        about="forecasts",
        strategy=name,
        says=says,
        text=f"{name}: of {count} forecasts of moves {record.get('direction')} {hits} came true{score}.",
        sample=count,
        confidence="scored when they were due",
    )


def brier_margin_ppm(count: int) -> float:
    """Return how far the mean of so many Brier scores may lie from what it would be of very many: with a probability of
    95 % not further (Hoeffding 1963, of values between 0 and 1), whatever they are distributed like."""
    return sqrt(log(2 / 0.05) / (2 * count)) * 1_000_000


def out_of_sample(readings: Sequence[Mapping[str, JsonValue]]) -> OutOfSample | None:
    """Return the most telling gate that read what did not choose the parameters, None where none could be read."""
    by_name = {str(each.get("name")): each for each in readings}
    for name, counted in OUT_OF_SAMPLE.items():
        gate = by_name.get(name)
        if gate is None or not gate.get("sample") or str(gate.get("note") or "").startswith(UNREAD):
            continue
        return OutOfSample(
            gate=name,
            confidence_bps=int(gate.get("value") or 0),
            bound_bps=int(gate.get("bound") or 0),
            sample=int(gate.get("sample") or 0),
            sample_of=counted,
            passed=gate.get("passed") is True,
            note=str(gate.get("note") or ""),
        )
    return None


def tested_text(tested: OutOfSample) -> str:
    """Return a reading out of sample in words."""
    share = f"{tested.confidence_bps / 100:.1f} %"
    return (
        f"{share} that it earns anything, of {tested.sample} {tested.sample_of} (asked: {tested.bound_bps / 100:.1f} %)"
    )


def brief_of(strategy: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a strategy's figures without what makes them long; ``strategy_digest`` has that."""
    return {name: value for name, value in strategy.items() if not isinstance(value, list | dict)}


def _name(cell: Figures, field: str) -> str | None:
    found = cell.get(field)
    return str(found) if found else None


def _percent(bps: int) -> str:
    return f"{bps / 100:+.2f} %"
