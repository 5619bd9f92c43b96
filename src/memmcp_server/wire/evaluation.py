"""Golden queries as JSON: a line of the file, what is asked of the daemon, what comes back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from pydantic import Field, model_validator

from memmcp_server.domain.golden import CASES_MAX, Came, CaseOutcome, Expected, GoldenCase, GoldenSet, Scores
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.times import from_ns, instant_ns

from .base import Kind, Moment, Request, Wire

EXPECTED_MAX = 50
CASES_ASKED_MAX = 64


class ContainsLine(Request):
    """Any memory whose text contains this, whatever the case."""

    contains: str = Field(min_length=1, max_length=1_000)


class GoldenLine(Request):
    """One line of a golden file. ``expect``: ids of memories, or {"contains": TEXT}."""

    query: str = Field(min_length=1, max_length=4_000)
    expect: list[str | ContainsLine] = Field(min_length=1, max_length=EXPECTED_MAX)
    namespace: str | None = Field(default=None, max_length=128)
    kinds: list[Kind] = Field(default_factory=list, max_length=16)
    as_of: Moment | None = None
    note: str = Field(default="", max_length=1_000)

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        for position, each in enumerate(self.expect):
            if isinstance(each, str) and not 1 <= len(each) <= 128:
                msg = f"expect[{position}] is an id of {len(each)} characters; allowed are 1 to 128"
                raise ValueError(msg)
        if not self.query.strip():
            msg = "query is blank"
            raise ValueError(msg)
        return self

    def to_case(self) -> GoldenCase:
        """Return the case in the journal's units. Raises: InvalidInput (a time without a zone)."""
        return GoldenCase(
            query=self.query,
            expect=tuple(
                Expected(id=MemoryId(each)) if isinstance(each, str) else Expected(contains=each.contains)
                for each in self.expect
            ),
            namespace=self.namespace,
            kinds=tuple(self.kinds),
            as_of_ns=instant_ns("as_of", self.as_of),
            note=self.note,
        )

    @classmethod
    def of(cls, case: GoldenCase) -> Self:
        return cls(
            query=case.query,
            expect=[
                each.id if each.contains is None else ContainsLine(contains=each.contains)
                for each in case.expect
                if each.id is not None or each.contains is not None
            ],
            namespace=case.namespace,
            kinds=list(case.kinds),
            as_of=None if case.as_of_ns is None else from_ns(case.as_of_ns),
            note=case.note,
        )


class EvalRequest(Request):
    cases: list[GoldenLine] = Field(min_length=1, max_length=CASES_ASKED_MAX)
    limit: int = Field(default=10, ge=1, le=100)


class CameView(Wire):
    id: str
    content: str
    why: str

    @classmethod
    def of(cls, came: Came) -> Self:
        return cls(id=came.id, content=came.content, why=came.why)


class OutcomeView(Wire):
    """``ranks``: at which place each expected memory came, null for those that did not."""

    ranks: list[int | None]
    came: list[CameView]

    @classmethod
    def of(cls, outcome: CaseOutcome) -> Self:
        return cls(ranks=list(outcome.ranks), came=[CameView.of(each) for each in outcome.came])

    def to_outcome(self, case: GoldenCase) -> CaseOutcome:
        came = tuple(Came(MemoryId(each.id), each.content, each.why) for each in self.came)
        return CaseOutcome(case, tuple(self.ranks), came)


class EvalAnswer(Wire):
    """In the order of the cases. ``index_state`` other than ready: found with less than the index can do."""

    outcomes: list[OutcomeView]
    index_state: str
    index_detail: str


class ScoresView(Wire):
    cases: int
    recall_at_5: float
    recall_at_10: float
    mrr: float

    @classmethod
    def of(cls, scores: Scores) -> Self:
        return cls(cases=scores.cases, recall_at_5=scores.recall_at_5, recall_at_10=scores.recall_at_10, mrr=scores.mrr)

    def to_scores(self) -> Scores:
        return Scores(self.cases, self.recall_at_5, self.recall_at_10, self.mrr)


class GoldenRequest(Request):
    cases: list[GoldenLine] = Field(min_length=1, max_length=CASES_MAX)


class GoldenAnswer(Wire):
    """The golden queries that are kept, none where ``baseline`` is null."""

    cases: list[GoldenLine]
    baseline: ScoresView | None
    model: str = ""
    saved_at: datetime | None = None

    @classmethod
    def of(cls, golden: GoldenSet | None) -> Self:
        if golden is None:
            return cls(cases=[], baseline=None)
        return cls(
            cases=[GoldenLine.of(case) for case in golden.cases],
            baseline=ScoresView.of(golden.baseline),
            model=golden.model,
            saved_at=from_ns(golden.saved_at_ns),
        )


def cases_of(lines: Sequence[GoldenLine]) -> list[GoldenCase]:
    """Raises: InvalidInput."""
    return [line.to_case() for line in lines]
