"""Embedder without a model: a text's vector counts its words in hashed places. Deterministic, quick, no meaning."""

import hashlib
import math
from collections.abc import Sequence


class HashEmbedder:
    def __init__(self, dimension: int = 64, name: str = "double/hash", salt: str = "") -> None:
        self._dimension = dimension
        self._name = name
        self._salt = salt
        self._made: dict[str, list[float]] = {}

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        for text in texts:
            if text not in self._made:
                self._made[text] = self._vector(text)
        return [list(self._made[text]) for text in texts]

    def _vector(self, text: str) -> list[float]:
        counts = [0.0] * self._dimension
        counts[0] = 0.01  # so that an empty text has a direction too
        for word in text.lower().split():
            digest = hashlib.sha256((self._salt + word).encode("utf-8", "surrogatepass")).digest()
            counts[int.from_bytes(digest[:4], "big") % self._dimension] += 1.0
        length = math.sqrt(sum(count * count for count in counts))
        return [count / length for count in counts]
