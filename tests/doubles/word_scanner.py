"""A scanner for tests: the words it is told are secrets, wherever they stand."""

import re
from collections.abc import Mapping

from memmcp_server.domain.secrets import SecretFinding, united


class WordScanner:
    """``words`` gives each secret its kind."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = dict(words)

    def scan(self, text: str) -> list[SecretFinding]:
        return united(
            SecretFinding(match.start(), match.end(), kind)
            for word, kind in self._words.items()
            for match in re.finditer(re.escape(word), text)
        )
