"""Words as sparse vectors: BM25 weights with English stop words and stems, made offline by the engine's own code."""

from collections.abc import Sequence
from typing import Any

from qdrant_edge import Bm25, Bm25Config

from .store import SparseVector

LENGTH_WEIGHT = 0.3
"""b of BM25. Memories are a sentence or two: 0.2 to 0.4 rank alike, the usual 0.75 puts the shortest first."""
LENGTH_AVERAGE = 32
"""Words of an average memory after stop words; the library's 256 is for pages."""
CONTEXT_WEIGHTS = (0.7, 0.4)
"""What a word of the turn before counts, and of the one before that; 0.5 to 0.9 and 0.3 to 0.6 rank alike."""


class Bm25Words:
    """Provides term weights for points and queries; the inverse document frequency is the store's part.

    A word that stands once in a text of average length weighs 1.
    """

    def __init__(self) -> None:
        self._bm25 = Bm25(Bm25Config(b=LENGTH_WEIGHT, avg_len=float(LENGTH_AVERAGE)))

    def of_document(self, text: str, context: Sequence[str] = ()) -> SparseVector:
        """Return the weights of the text's words, and of its context's where the text does not say more itself.

        The greater of the two counts, not their sum: steps of one trade repeat its token in every line, and adding
        them up would put the lines around the right one first.
        """
        weights = _weights(self._bm25.embed_document(text))
        for share, before in zip(CONTEXT_WEIGHTS, context, strict=False):
            for index, weight in _weights(self._bm25.embed_document(before)).items():
                weights[index] = max(weights.get(index, 0.0), share * weight)
        ordered = sorted(weights)
        return SparseVector(tuple(ordered), tuple(weights[index] for index in ordered))

    def of_query(self, text: str) -> SparseVector:
        return _plain(self._bm25.embed_query(text))


def _weights(vector: Any) -> dict[int, float]:
    return dict(zip(vector.indices, vector.values, strict=True))


def _plain(vector: Any) -> SparseVector:
    return SparseVector(tuple(vector.indices), tuple(vector.values))
