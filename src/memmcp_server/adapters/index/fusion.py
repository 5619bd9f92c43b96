"""How relevant a point is to a query, from the two sides of a search: on a scale of its own, not of the answer's.

Ranks throw away how good a hit is: with reciprocal ranks the best of two bad lists looks as good as a perfect match,
and nothing can be called irrelevant. So both sides are put on a scale from 0 to 1 that means the same for each query:
words by what share of the query's weight they cover (words that nobody says count as missed), the cosine by a fixed
map.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from memmcp_server.domain.identifiers import Json

from .store import Match

DENSE_WEIGHT = 0.5
"""Of meaning against words; 0.4 to 0.7 rank alike."""
COSINE_LOW, COSINE_HIGH = 0.1, 0.8
"""Cosines of unrelated and of nearly equal texts under the default model; maps to 0 and 1. 0 to 1 ranks alike."""
SHARE_LOW = 0.1
"""A share of the query's words that says nothing: a name, one common word. It buried what only the meaning finds."""


@dataclass(frozen=True, slots=True)
class Fused:
    """``score`` in [0, 1]; ``dense`` and ``words`` are each side's own score, None where that side did not find it.

    ``share`` is how much of the query's words the point covers, None where the words were not asked; ``meaning`` is its
    cosine on a scale from 0 to 1, None where it has no vector or none was asked.
    """

    id: str
    payload: Mapping[str, Json]
    score: float
    dense: float | None
    words: float | None
    share: float | None
    meaning: float | None


@dataclass(frozen=True, slots=True)
class Side:
    """What one side of a search found, best first. ``is_cut``: there may be more below the last."""

    points: Sequence[Match]
    is_cut: bool

    def scores(self) -> dict[str, float]:
        return dict(self.points)

    def floor(self) -> float:
        """Return what a point that is not here may score at most: the last score where the list was cut, else 0."""
        return self.points[-1].score if self.points and self.is_cut else 0.0


Payloads = Callable[[Sequence[str]], Mapping[str, Mapping[str, Json]]]


def fuse(dense: Side | None, words: Side | None, *, ideal: float, count: int, payloads: Payloads) -> list[Fused]:
    """Return the best ``count`` points of either side, best first; ties by point id, so that a repeat is the same.

    A side that is None was not asked. ``ideal`` is the score of a memory of average length that says every word of the
    query once. A point without a vector is judged by its words alone: it lacks evidence, not meaning. Whether it has
    one its payload tells, which is read of those only that may be among the best; one that is gone is left out.
    """
    cosines = dense.scores() if dense else {}
    matches = words.scores() if words else {}
    rarest, unlike = _share(words.floor(), ideal) if words else None, alike(dense.floor()) if dense else None
    shares = {each: _share(score, ideal) for each, score in matches.items()}
    meanings = {each: alike(score) for each, score in cosines.items()}
    bounds: list[tuple[float, str]] = []
    for point_id in {**cosines, **matches}:
        share, meaning = shares.get(point_id, rarest), meanings.get(point_id, unlike)
        bound = relevance(share, meaning)
        if share is not None and share > bound and point_id not in cosines:
            bound = share  # if it has no vector
        bounds.append((-bound, point_id))
    bounds.sort()
    known = payloads([point_id for _, point_id in bounds[:count]])
    found = []
    for point_id, payload in known.items():
        share, meaning = shares.get(point_id, rarest), meanings.get(point_id)
        if meaning is None and payload.get("dense") == "yes":
            meaning = unlike
        sides = cosines.get(point_id), matches.get(point_id)
        found.append(Fused(point_id, payload, relevance(share, meaning), *sides, share, meaning))
    found.sort(key=lambda each: (-each.score, each.id))
    return found


def relevance(share: float | None, meaning: float | None) -> float:
    """Return the weighted mean of what is known of the two, in [0, 1]."""
    if share is None or meaning is None:
        return share if share is not None else meaning or 0.0
    telling = max(0.0, share - SHARE_LOW) / (1 - SHARE_LOW)
    return (telling + DENSE_WEIGHT * meaning) / (1 + DENSE_WEIGHT)


def alike(cosine: float) -> float:
    """Return the cosine on a scale from 0 (unrelated) to 1 (nearly equal)."""
    return min(1.0, max(0.0, (cosine - COSINE_LOW) / (COSINE_HIGH - COSINE_LOW)))


def _share(score: float, ideal: float) -> float:
    return min(1.0, max(0.0, score / ideal)) if ideal > 0 else 0.0
