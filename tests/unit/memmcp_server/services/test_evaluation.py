"""Golden queries: what they come to, what is kept of them, and when a next generation finds less."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.journals import a_draft
from tests.support.keeping import Keeping

from memmcp_server.adapters.golden_file import FILE_BYTES_MAX, GoldenFile
from memmcp_server.domain.golden import (
    CaseOutcome,
    Expected,
    GoldenCase,
    GoldenSet,
    Scores,
    document_of,
    fingerprint_of,
    golden_of,
    scores_of,
)
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.errors import InvalidInput, Unavailable
from memmcp_server.wire.evaluation import GoldenLine

pytestmark = pytest.mark.anyio


@pytest.fixture
def keeping() -> Keeping:
    return Keeping()


def outcome(*ranks: int | None) -> CaseOutcome:
    return CaseOutcome(GoldenCase("q", tuple(Expected(contains="x") for _ in ranks)), ranks, ())


@pytest.mark.requirement("M16")
def test_recall_and_rank_are_means_over_the_queries() -> None:
    outcomes = [outcome(1), outcome(2, 7), outcome(None), outcome(11), outcome(None, 5, 10)]

    scores = scores_of(outcomes)

    assert scores.cases == 5
    assert scores.recall_at_5 == pytest.approx((1 + 1 / 2 + 0 + 0 + 1 / 3) / 5)
    assert scores.recall_at_10 == pytest.approx((1 + 1 + 0 + 0 + 2 / 3) / 5)
    assert scores.mrr == pytest.approx((1 + 1 / 2 + 0 + 1 / 11 + 1 / 5) / 5)
    assert [each.is_miss for each in outcomes] == [False, False, True, True, True]


ranks = st.lists(st.none() | st.integers(1, 30), min_size=1, max_size=4)


@given(st.lists(ranks, min_size=1, max_size=8))
def test_scores_lie_between_nothing_and_all_and_a_set_is_never_worse_than_itself(found: list[list[int | None]]) -> None:
    scores = scores_of([outcome(*each) for each in found])

    assert 0 <= scores.recall_at_5 <= scores.recall_at_10 <= 1
    assert 0 <= scores.mrr <= 1
    assert not scores.is_worse_than(scores)


def test_less_of_either_recall_is_worse_and_rank_alone_is_not() -> None:
    base = Scores(4, 0.5, 0.75, 0.5)

    assert Scores(4, 0.25, 0.75, 0.9).is_worse_than(base)
    assert Scores(4, 0.5, 0.5, 0.9).is_worse_than(base)
    assert not Scores(4, 0.5, 0.75, 0.1).is_worse_than(base)
    assert not Scores(4, 0.5 - 1e-12, 0.75, 0.5).is_worse_than(base)


@pytest.mark.requirement("M16")
async def test_a_query_finds_what_it_expects_by_id_or_by_text_within_its_filters(keeping: Keeping) -> None:
    [first] = await keeping.write("the pool was THIN and drained")
    await keeping.journal.commit([a_draft("a thin soup", namespace="kitchen", kind="recipe")])
    await keeping.deliver()

    async def ranks_of(case: GoldenCase) -> tuple[int | None, ...]:
        [outcome] = await keeping.evaluation.run([case], limit=10)
        return outcome.ranks

    thin, soup = Expected(contains="Thin and DRAINED"), Expected(contains="soup")
    assert await ranks_of(GoldenCase("thin pool drained", (Expected(id=first), thin))) == (1, 1)
    assert await ranks_of(GoldenCase("thin", (Expected(id=MemoryId("nobody")),))) == (None,)
    assert await ranks_of(GoldenCase("thin", (soup, thin), namespace="kitchen")) == (1, None)
    assert await ranks_of(GoldenCase("thin", (soup, thin), kinds=("recipe",))) == (1, None)
    assert await ranks_of(GoldenCase("thin", (soup, thin), as_of_ns=1)) == (None, None)


@pytest.mark.requirement("M16")
async def test_what_came_instead_is_told(keeping: Keeping) -> None:
    [memory_id] = await keeping.write("a kangaroo " + "hops " * 200)

    [outcome] = await keeping.evaluation.run([GoldenCase("kangaroo", (Expected(contains="wombat"),))], limit=10)

    assert outcome.is_miss
    assert [each.id for each in outcome.came] == [memory_id]
    assert len(outcome.came[0].content) == 300


@pytest.mark.requirement("M16")
async def test_a_set_is_kept_with_the_baseline_of_an_index_that_is_ready(keeping: Keeping) -> None:
    await keeping.write("kangaroo")
    cases = [GoldenCase("kangaroo", (Expected(contains="kangaroo"),)), GoldenCase("x", (Expected(contains="wombat"),))]
    assert await keeping.evaluation.kept() is None

    golden = await keeping.evaluation.keep(cases)

    assert (golden.baseline.recall_at_10, golden.model, golden.cases) == (0.5, "double/hash", tuple(cases))
    assert await keeping.evaluation.kept() == golden
    keeping.index.is_down = True
    with pytest.raises(Unavailable, match="baseline would be too low"):
        await keeping.evaluation.keep(cases)


@pytest.mark.requirement("M12")
@pytest.mark.parametrize(
    "case",
    [
        GoldenCase("what is hunter2", (Expected(contains="x"),)),
        GoldenCase("x", (Expected(contains="hunter2"),)),
        GoldenCase("x", (Expected(id=MemoryId("hunter2")),)),
        GoldenCase("x", (Expected(contains="x"),), note="hunter2"),
    ],
)
async def test_a_query_that_holds_a_secret_is_not_kept(keeping: Keeping, case: GoldenCase) -> None:
    with pytest.raises(InvalidInput, match=r"cases"):
        await keeping.evaluation.keep([case])
    assert await keeping.evaluation.kept() is None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
cases = st.builds(
    GoldenCase,
    query=texts,
    expect=st.lists(
        st.builds(Expected, id=texts.map(MemoryId)) | st.builds(Expected, contains=texts), min_size=1, max_size=3
    ).map(tuple),
    namespace=st.none() | texts,
    kinds=st.lists(texts, max_size=2).map(tuple),
    as_of_ns=st.none() | st.integers(0, 2**62),
    note=texts,
)
golden_sets = st.builds(
    GoldenSet,
    cases=st.lists(cases, min_size=1, max_size=3).map(tuple),
    baseline=st.builds(Scores, st.integers(1, 9), *([st.floats(0, 1)] * 3)),
    model=texts,
    saved_at_ns=st.integers(0, 2**62),
)


@given(golden_sets)
def test_a_set_comes_back_as_it_was_kept(golden: GoldenSet) -> None:
    assert golden_of(json.loads(json.dumps(document_of(golden)))) == golden
    assert fingerprint_of(golden.cases) == fingerprint_of(list(golden.cases))


def test_two_sets_are_the_same_when_they_ask_the_same() -> None:
    case = GoldenCase("q", (Expected(contains="x"),))
    others = [
        GoldenCase("p", (Expected(contains="x"),)),
        GoldenCase("q", (Expected(id=MemoryId("x")),)),
        GoldenCase("q", (Expected(contains="x"),), namespace="n"),
        GoldenCase("q", (Expected(contains="x"),), kinds=("k",)),
        GoldenCase("q", (Expected(contains="x"),), as_of_ns=1),
    ]

    assert fingerprint_of([case]) == fingerprint_of([GoldenCase("q", case.expect, note="other")])
    assert len({fingerprint_of([each]) for each in [case, *others]}) == 6


async def test_the_file_is_private_and_replaced_as_a_whole(tmp_path: Path) -> None:
    file = GoldenFile(tmp_path)
    case = GoldenCase("Käse 🚀", (Expected(contains="x"),))
    assert await file.load() is None

    for number in range(2):
        golden = GoldenSet((case,), Scores(1, 1.0, 1.0, 1.0), f"model {number}", 5)
        await file.save(golden)
        assert await file.load() == golden

    assert [path.name for path in tmp_path.iterdir()] == ["golden.json"]
    assert (tmp_path / "golden.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"cases": []}', '{"cases": [], "baseline": {}, "model": "", "saved_at_ns": 0}', "\xff"],
)
async def test_a_damaged_file_is_an_error_with_a_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "golden.json").write_bytes(text.encode("latin-1"))

    with pytest.raises(Unavailable, match=r"golden.json is damaged") as raised:
        await GoldenFile(tmp_path).load()
    assert "memmcp eval FILE --save" in str(raised.value.hint)


async def test_a_file_that_grew_without_bound_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "golden.json").open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)

    with pytest.raises(Unavailable, match="larger than"):
        await GoldenFile(tmp_path).load()


async def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    golden = GoldenSet((GoldenCase("q", (Expected(contains="x"),)),), Scores(1, 1.0, 1.0, 1.0), "m", 5)

    with pytest.raises(Unavailable, match="cannot be written"):
        await GoldenFile(tmp_path / "nowhere").save(golden)


def test_a_line_crosses_the_wire_unchanged() -> None:
    line = GoldenLine.model_validate(
        {"query": "q", "expect": ["id-1", {"contains": "x"}], "kinds": ["note"], "as_of": "2026-05-01T12:00:00.5Z"}
    )

    assert GoldenLine.of(line.to_case()) == line
    assert line.to_case().expect == (Expected(id=MemoryId("id-1")), Expected(contains="x"))
