"""Golden queries: what an operator knows must be found, and how well it was."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .identifiers import JsonObject, MemoryId

CASES_MAX = 2_000
RECALL_DEPTHS = (5, 10)
RECALL_TOLERANCE = 1e-9
"""What two sums of the same fractions may differ by."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One thing that must be found: a memory by its id, or any that contains a text, whatever the case."""

    id: MemoryId | None = None
    contains: str | None = None

    def is_met_by(self, memory_id: MemoryId, content: str) -> bool:
        if self.contains is None:
            return self.id == memory_id
        return self.contains.casefold() in content.casefold()


@dataclass(frozen=True, slots=True)
class GoldenCase:
    query: str
    expect: tuple[Expected, ...]
    namespace: str | None = None
    kinds: tuple[str, ...] = ()
    as_of_ns: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Came:
    """What was found at one place of an answer."""

    id: MemoryId
    content: str
    why: str


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """``ranks``: at which place (1 is the first) each expected thing came, None for those that did not."""

    case: GoldenCase
    ranks: tuple[int | None, ...]
    came: tuple[Came, ...]

    def recall_at(self, depth: int) -> float:
        return sum(rank is not None and rank <= depth for rank in self.ranks) / len(self.ranks)

    @property
    def reciprocal_rank(self) -> float:
        return max((1 / rank for rank in self.ranks if rank is not None), default=0.0)

    @property
    def is_miss(self) -> bool:
        return any(rank is None or rank > RECALL_DEPTHS[-1] for rank in self.ranks)


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over all cases."""

    cases: int
    recall_at_5: float
    recall_at_10: float
    mrr: float

    def is_worse_than(self, other: "Scores") -> bool:
        """Say whether fewer of the expected memories are found than by the other."""
        return (
            self.recall_at_5 < other.recall_at_5 - RECALL_TOLERANCE
            or self.recall_at_10 < other.recall_at_10 - RECALL_TOLERANCE
        )


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """``baseline``: what the cases came to when they were kept, with the model that the index had then."""

    cases: tuple[GoldenCase, ...]
    baseline: Scores
    model: str
    saved_at_ns: int


def scores_of(outcomes: Sequence[CaseOutcome]) -> Scores:
    """Return the means; there is at least one outcome."""
    count = len(outcomes)
    five, ten = (sum(each.recall_at(depth) for each in outcomes) / count for depth in RECALL_DEPTHS)
    return Scores(count, five, ten, sum(each.reciprocal_rank for each in outcomes) / count)


def fingerprint_of(cases: Sequence[GoldenCase]) -> str:
    """Return what two sets share exactly when they ask the same; notes do not count."""
    parts = [[c.query, c.namespace, c.kinds, c.as_of_ns, [[e.id, e.contains] for e in c.expect]] for c in cases]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()[:16]


def document_of(golden: GoldenSet) -> JsonObject:
    """Return the set as it is kept."""
    document: JsonObject = json.loads(json.dumps(asdict(golden)))
    return document


def golden_of(document: Any) -> GoldenSet:
    """Return a set as it was kept. Raises: ValueError, TypeError, KeyError (it is not one)."""
    cases = tuple(
        GoldenCase(
            query=str(case["query"]),
            expect=tuple(Expected(each["id"], each["contains"]) for each in case["expect"]),
            namespace=case["namespace"],
            kinds=tuple(case["kinds"]),
            as_of_ns=case["as_of_ns"],
            note=str(case["note"]),
        )
        for case in document["cases"]
    )
    if not cases or not all(case.expect for case in cases):
        message = "a golden set has at least one query, and each expects something"
        raise ValueError(message)
    return GoldenSet(cases, Scores(**document["baseline"]), str(document["model"]), int(document["saved_at_ns"]))
