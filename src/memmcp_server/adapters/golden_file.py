"""The golden queries of a data directory, with their baseline: ``golden.json``, replaced as a whole."""

import asyncio
import json
import os
import tempfile
from pathlib import Path

from memmcp_server.domain.golden import GoldenSet, document_of, golden_of
from memmcp_server.errors import Unavailable

FILE_NAME = "golden.json"
FILE_BYTES_MAX = 64 * 1024 * 1024


class GoldenFile:
    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME

    async def load(self) -> GoldenSet | None:
        return await asyncio.to_thread(self._load)

    async def save(self, golden: GoldenSet) -> None:
        await asyncio.to_thread(self._save, golden)

    def _load(self) -> GoldenSet | None:
        try:
            with self._path.open("rb") as file:
                raw = file.read(FILE_BYTES_MAX + 1)
            if len(raw) > FILE_BYTES_MAX:
                msg = f"{self._path} is larger than {FILE_BYTES_MAX} bytes"
                raise Unavailable(msg)
            return golden_of(json.loads(raw))
        except FileNotFoundError:
            return None
        except OSError as error:
            msg = f"{self._path} cannot be read: {error.strerror or error}"
            raise Unavailable(msg) from error
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            msg = f"{self._path} is damaged ({type(error).__name__}: {error})"
            raise Unavailable(msg, hint="save the golden queries again: memmcp eval FILE --save") from error

    def _save(self, golden: GoldenSet) -> None:
        try:
            # Queries are private: nobody else may read them, whatever the umask says.
            descriptor, draft = tempfile.mkstemp(prefix=f".{FILE_NAME}-", dir=self._path.parent)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(document_of(golden), file, ensure_ascii=False)
                    file.flush()
                    os.fsync(file.fileno())
                Path(draft).replace(self._path)
            finally:
                Path(draft).unlink(missing_ok=True)
        except OSError as error:
            msg = f"{self._path} cannot be written: {error.strerror or error}"
            raise Unavailable(msg) from error
