"""The contract of Embedder, on every body: the model that comes with the package, and the double."""

import math
from pathlib import Path

import pytest
from tests.doubles.hash_embedder import HashEmbedder

from memmcp_server.adapters.embedding.fastembed_embedder import load_embedder
from memmcp_server.config import EmbeddingSection
from memmcp_server.ports import Embedder


@pytest.fixture(scope="module", params=["bundled", "double"])
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    if request.param == "double":
        return HashEmbedder()
    return load_embedder(EmbeddingSection(allow_download=False), tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return load_embedder(EmbeddingSection(allow_download=False), tmp_path_factory.mktemp("models"))


def cosine(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_every_text_has_a_unit_vector_of_the_dimension(embedder: Embedder) -> None:
    for vector in embedder.embed(["five SOL", "", "漢字 🚀", "word " * 2_000]):
        assert len(vector) == embedder.dimension
        assert math.sqrt(cosine(vector, vector)) == pytest.approx(1.0, abs=1e-4)


def test_vectors_come_in_the_order_of_the_texts_whatever_their_length(embedder: Embedder) -> None:
    texts = [f"number {number} " + "and so on " * (number % 7 * 5) for number in range(40)]

    together = embedder.embed(texts)
    alone = [embedder.embed([text])[0] for text in texts]

    for left, right in zip(together, alone, strict=True):
        assert cosine(left, right) == pytest.approx(1.0, abs=1e-4)


def test_no_text_gives_no_vector(embedder: Embedder) -> None:
    assert embedder.embed([]) == []


def test_a_model_has_a_name(embedder: Embedder) -> None:
    assert "/" in embedder.name


def test_the_bundled_model_knows_that_a_paraphrase_is_nearer_than_another_subject(bundled: Embedder) -> None:
    query, near, far = bundled.embed(
        ["why did the trade lose money", "the position was closed at a loss", "the page is served by Starlette"]
    )

    assert cosine(query, near) > cosine(query, far) + 0.2


def test_the_bundled_model_gives_the_vectors_it_gave_when_it_was_chosen(bundled: Embedder) -> None:
    """Another vocabulary, pooling or cut would change every index that is in use."""
    [vector] = bundled.embed(["Solana momentum breakout"])

    assert (bundled.name, bundled.dimension) == ("sentence-transformers/all-MiniLM-L6-v2", 384)
    assert vector[:4] == pytest.approx(PINNED, abs=2e-3)


PINNED = [-0.1002, 0.0077, -0.0356, 0.041]


def test_the_model_directory_is_made_once_outside_the_package(tmp_path: Path) -> None:
    for _ in range(2):
        load_embedder(EmbeddingSection(allow_download=False), tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["all-MiniLM-L6-v2-int8-8199be6f", "fastembed"]
