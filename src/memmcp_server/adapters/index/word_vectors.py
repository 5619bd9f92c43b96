"""Words as sparse vectors: BM25 weights with English stop words and stems, made offline by the engine's own code."""

from typing import Any

from qdrant_edge import Bm25

from .store import SparseVector


class Bm25Words:
    """Provides term weights for points and queries; the inverse document frequency is the store's part."""

    def __init__(self) -> None:
        self._bm25 = Bm25()

    def of_document(self, text: str) -> SparseVector:
        return _plain(self._bm25.embed_document(text))

    def of_query(self, text: str) -> SparseVector:
        return _plain(self._bm25.embed_query(text))


def _plain(vector: Any) -> SparseVector:
    return SparseVector(tuple(vector.indices), tuple(vector.values))
