"""``benchmarks/retrieval.py``: the data is what it says it is, and a search that falls short is told."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks import retrieval
from benchmarks.retrieval_data import locomo
from benchmarks.retrieval_data.cases import NOBODY, Corpus, Question
from benchmarks.retrieval_data.conversations import conversation
from benchmarks.retrieval_data.trading import trading_run
from tests.doubles.hash_embedder import HashEmbedder

from memmcp_server.adapters.index.word_vectors import Bm25Words

pytestmark = pytest.mark.requirement("Q3")


@pytest.fixture(scope="module")
def talk() -> Corpus:
    return conversation(5, sessions=8)


@pytest.fixture(scope="module")
def trades() -> Corpus:
    return trading_run(5, cycles=1_200)


def test_a_seed_gives_the_same_conversation_and_another_one_another(talk: Corpus) -> None:
    assert conversation(5, sessions=8) == talk
    assert conversation(6, sessions=8).memories != talk.memories
    assert "{" not in " ".join(each.content for each in talk.memories)
    assert "{" not in " ".join(each.text for each in talk.questions)


def test_a_conversation_has_every_category_and_its_evidence(talk: Corpus) -> None:
    ids = {memory.id for memory in talk.memories}
    assert {*retrieval.NOT_IN_THE_MEAN, "single-hop", "paraphrase", "temporal", "multi-hop", "open-domain"} == set(
        talk.categories()
    )
    for question in talk.questions:
        assert question.evidence <= ids
        assert bool(question.evidence) == (question.category != NOBODY)
    assert all(len(each.evidence) > 1 for each in talk.questions if each.category == "multi-hop")


def test_a_paraphrase_shares_no_content_word_with_its_evidence_but_a_name(talk: Corpus) -> None:
    words = Bm25Words()
    contents = {memory.id: memory.content for memory in talk.memories}
    people = {content.partition(":")[0] for content in contents.values()}
    names = set(words.of_query(" ".join(people)).indices)
    paraphrases = [each for each in talk.questions if each.category == "paraphrase"]
    assert len(people) == 2
    assert paraphrases
    for question in paraphrases:
        said = set(words.of_document(" ".join(contents[each] for each in question.evidence)).indices)
        assert not said & set(words.of_query(question.text).indices) - names


def test_trading_memories_are_those_of_the_desk_each_trade_headed_by_its_own(trades: Corpus) -> None:
    kinds = {memory.kind for memory in trades.memories}
    assert {"signal", "verdict", "order", "fill", "trajectory"} <= kinds
    places = {memory.id: place for place, memory in enumerate(trades.memories)}
    assert len(places) == len(trades.memories)
    for memory in trades.memories:
        if memory.trajectory_id is not None:
            assert places[memory.trajectory_id] < places[memory.id]  # type: ignore[index]
    assert {question.category for question in trades.questions} > {"why, same words", "why, other words", NOBODY}


SAMPLE: dict[str, Any] = {
    "sample_id": "conv-1",
    "conversation": {
        "speaker_a": "Ada",
        "speaker_b": "Bo",
        "session_2_date_time": "10:05 am on 1 June, 2023",
        "session_2": [{"speaker": "Ada", "dia_id": "D2:1", "text": "The kiln arrived."}],
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"speaker": "Ada", "dia_id": "D1:1", "text": "I bought a kiln.", "blip_caption": "a photo of a kiln"},
            {"speaker": "Bo", "dia_id": "D1:2", "text": "My harp is out of tune."},
        ],
    },
    "qa": [
        {"question": "Who bought a kiln?", "answer": "Ada", "evidence": ["D1:1", "D:2:01"], "category": 4},
        {"question": "What is out of tune?", "answer": "a harp", "evidence": ["D1:2; D9:9"], "category": 1},
        {"question": "Anything?", "answer": "no", "evidence": [], "category": 5},
    ],
}


def written(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_locomos_format_is_read_with_its_dirty_evidence(tmp_path: Path) -> None:
    [corpus] = locomo.read(written(tmp_path / "data.json", [SAMPLE]))

    assert [memory.content for memory in corpus.memories] == [
        "Ada: I bought a kiln. [image: a photo of a kiln]",
        "Bo: My harp is out of tune.",
        "Ada: The kiln arrived.",
    ]
    assert [corpus.thread_of[memory.id][-1] for memory in corpus.memories] == ["1", "1", "2"]
    first, second = corpus.questions
    assert first == Question(
        "Who bought a kiln?", "single-hop", frozenset({"locomo-conv-1/D1:1", "locomo-conv-1/D2:1"})
    )
    assert (second.category, second.evidence) == ("multi-hop", {"locomo-conv-1/D1:2"})
    assert corpus.notes == ("1 questions without evidence left out, 1 evidence turns unknown",)


@pytest.mark.parametrize(
    ("said", "ids"),
    [
        ("D1:3", ["D1:3"]),
        ("D8:6; D9:17", ["D8:6", "D9:17"]),
        ("D:11:26", ["D11:26"]),
        ("D30:05", ["D30:5"]),
        ("D 4:7 D4:8", ["D4:7", "D4:8"]),
        ("none", []),
    ],
)
def test_evidence_is_understood_however_it_is_written(said: str, ids: list[str]) -> None:
    assert locomo.evidence_ids(said) == ids


@pytest.mark.parametrize(
    ("document", "problem"),
    [({"qa": []}, "list of samples"), (["x"], "a sample"), ([{"sample_id": "s"}], "has no conversation")],
)
def test_a_file_in_another_format_is_named(tmp_path: Path, document: object, problem: str) -> None:
    with pytest.raises(locomo.BadData, match=problem):
        locomo.read(written(tmp_path / "data.json", document))


def test_a_file_that_is_no_json_or_has_no_date_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text("{", encoding="utf-8")
    with pytest.raises(locomo.BadData, match="not JSON"):
        locomo.read(tmp_path / "data.json")
    with pytest.raises(locomo.BadData, match="expected like"):
        locomo.moment("yesterday")


def test_a_wrong_path_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert retrieval.main(["--data", str(tmp_path / "absent.json")]) == 2
    assert "--data" in capsys.readouterr().err


def test_every_searcher_is_measured_and_a_search_that_falls_short_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = retrieval.Part("a sample", locomo.read(written(tmp_path / "data.json", [SAMPLE])), is_judged=True)

    tallies = retrieval.measure(part, HashEmbedder())
    assert retrieval.report(part, tallies) == []

    said = capsys.readouterr().out
    assert "| default | " in said
    assert "1 corpora, 3 memories, 2 questions." in said
    tallies[retrieval.DEFAULT].rows = {category: [(0.0,) * 4] for category in ("single-hop", "multi-hop")}
    assert [line.split(":")[0] for line in retrieval.report(part, tallies)] == [
        "a sample, over all",
        "a sample, multi-hop",
        "a sample, single-hop",
    ]


def test_silence_at_the_wrong_time_falls_short() -> None:
    tally = retrieval.Tally()
    for number in range(100):
        tally.add(Question("q", "single-hop", frozenset("x")), ["x"], is_empty=number < 6)
        tally.add(Question("q", NOBODY, frozenset()), [], is_empty=False)

    assert len(retrieval.silence([{retrieval.DEFAULT: tally}])) == 2
    assert tally.mean(["single-hop"]) == (1.0, 1.0, 1.0, 1.0)
    assert retrieval.silence([]) == []
