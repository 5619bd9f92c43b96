"""How long things took, as percentiles: estimated from the buckets of a histogram, or of figures that are all there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from .documents import Document

SHARES: Final = {"p50_s": 0.50, "p95_s": 0.95, "p99_s": 0.99}


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Return the figure below which that share lies, on a straight line within its bucket; the highest bound where it
    lies above all of them; None of nothing. ``counts`` has one more than ``bounds``: what is above the last."""
    total = sum(counts)
    if total == 0:
        return None
    wanted, below, lower = share * total, 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and below + count >= wanted:
            return lower + (bound - lower) * (wanted - below) / count
        below += count
        lower = bound
    return lower


def spread_document(name: str, what: str, family: Mapping[str, Any] | None) -> Document:
    """Return wire.LatencyView of a family of histograms, all of its series together."""
    bounds = [] if family is None else list(family.get("bounds", ()))
    counts = [0] * (len(bounds) + 1)
    total = 0.0
    for series in () if family is None else family["series"]:
        counts = [one + other for one, other in zip(counts, series["counts"], strict=True)]
        total += series["value"]
    count = sum(counts)
    return {
        "name": name,
        "what": what,
        "is_simulated": False,
        "count": count,
        "mean_s": round(total / count, 6) if count else None,
        **{key: _rounded(quantile(bounds, counts, share)) for key, share in SHARES.items()},
        "bound_s": bounds[-1] if bounds else None,
    }


def exact_document(name: str, what: str, figures: Iterable[float]) -> Document:
    """Return wire.LatencyView of simulated figures: each percentile is one of them."""
    found = sorted(figures)
    count = len(found)
    return {
        "name": name,
        "what": what,
        "is_simulated": True,
        "count": count,
        "mean_s": round(sum(found) / count, 6) if count else None,
        **{
            key: _rounded(found[min(count - 1, int(share * count))]) if count else None for key, share in SHARES.items()
        },
        "bound_s": None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
