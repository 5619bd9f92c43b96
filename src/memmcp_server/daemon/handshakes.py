"""What a daemon of this version answers to ``initialize``, kept for the next start. Standard library only.

The answer is the same for as long as the version is, so a bridge that has to start a daemon need not keep its client
waiting for it: some clients give a server a second or two, and the imports of a daemon take that long.
"""

import contextlib
import json
import os
from pathlib import Path

from memmcp_server import __version__

from . import rpc

KEPT_MAX = 8
FILE_BYTES_MAX = 256 * 1024


class Handshakes:
    """Results by what the client asked for. A file that cannot be read or written costs speed, nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, initialize: rpc.Message) -> rpc.Message | None:
        """Return the result that a daemon of this version gave to the same question."""
        return self._read().get(_asked(initialize))

    def keep(self, initialize: rpc.Message, reply: rpc.Message) -> None:
        """Keep a daemon's answer, unless it is an error or known already."""
        result, asked = reply.get("result"), _asked(initialize)
        kept = self._read()
        if not isinstance(result, dict) or kept.get(asked) == result:
            return
        kept.pop(asked, None)
        newest = dict([*kept.items(), (asked, result)][-KEPT_MAX:])
        data = json.dumps({"version": __version__, "results": newest}).encode("ascii")
        if len(data) > FILE_BYTES_MAX:
            return
        # Each bridge writes a file of its own, and a reader sees the old one or the new one as a whole.
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
            draft.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink()

    def _read(self) -> dict[str, rpc.Message]:
        try:
            with self._path.open("rb") as file:
                kept = json.loads(file.read(FILE_BYTES_MAX + 1))
        except (OSError, ValueError, RecursionError):
            return {}
        results = kept.get("results") if isinstance(kept, dict) and kept.get("version") == __version__ else None
        if not isinstance(results, dict):
            return {}
        return {asked: result for asked, result in results.items() if isinstance(result, dict)}


def _asked(initialize: rpc.Message) -> str:
    """Return what an answer depends on: everything asked but the client's name."""
    asked = {name: value for name, value in rpc.params_of(initialize).items() if name not in ("clientInfo", "_meta")}
    return json.dumps(asked, sort_keys=True)
