"""What a back-up is made of: files by role, told by a manifest with their hashes. Never keys, tokens or settings.

The order of copying is the order of ``PLACES``. A memory on its way to the journal's server leaves the spool once the
journal has it, so the spool's copy comes first: then one of the two holds it. The memory cites the desk's rows, and the
desk's rows rest on what was owed to the chain; so each file is copied after those that may speak of it, and none is
behind another that knows more.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from memmcp_server.errors import InvalidInput

MANIFEST_VERSION: Final = 1
MEMORY: Final = "memory"
SPOOL: Final = "spool"
PLACES: Final[Mapping[str, PurePosixPath]] = {
    SPOOL: PurePosixPath("spool.db"),
    MEMORY: PurePosixPath("journal.db"),
    "trials": PurePosixPath("trials.db"),
    "trading": PurePosixPath("trading/journal.db"),
    "execution": PurePosixPath("trading/execution.db"),
    "trips": PurePosixPath("trading/arbitrage.db"),
    "transfers": PurePosixPath("trading/transfers.db"),
    "trips_real": PurePosixPath("trading/arbitrage-real.db"),
    "transfers_real": PurePosixPath("trading/transfers-real.db"),
    "evm": PurePosixPath("trading/evm.db"),
    "costs": PurePosixPath("trading/costs.json"),
}
"""Where each part lies in a data directory, in the order in which they are copied."""
PLAIN: Final = frozenset({"costs"})
"""Parts that are no database, but a file that its owner replaces as a whole."""


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """``name`` is that of the copy, in the manifest's own directory."""

    role: str
    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """``made_at`` is ISO 8601 in UTC, ``version`` that of the server that made it."""

    made_at: str
    version: str
    files: tuple[CopiedFile, ...]

    def text(self) -> str:
        document = {"manifest": MANIFEST_VERSION, **asdict(self)}
        return json.dumps(document, indent=2, sort_keys=True) + "\n"

    def file_of(self, role: str) -> CopiedFile | None:
        return next((each for each in self.files if each.role == role), None)


def manifest_of(text: str) -> Manifest:
    """Return what a manifest says. Raises: InvalidInput for one that this version cannot follow."""
    try:
        document: dict[str, Any] = json.loads(text)
        if document["manifest"] != MANIFEST_VERSION:
            msg = f"the manifest is of version {document['manifest']}; this server reads {MANIFEST_VERSION}"
            raise InvalidInput(msg, field="manifest", hint="use the version of memmcp that made it")
        files = tuple(
            CopiedFile(str(each["role"]), str(each["name"]), str(each["sha256"]), int(each["size_bytes"]))
            for each in document["files"]
        )
        found = Manifest(str(document["made_at"]), str(document["version"]), files)
    except (ValueError, KeyError, TypeError) as error:
        msg = f"this is no manifest of a back-up: {error!r}"
        raise InvalidInput(
            msg, field="manifest", hint="name manifest-....json of a back-up, or its directory"
        ) from error
    roles = [each.role for each in found.files]
    odd = [each.name for each in found.files if each.role not in PLACES or "/" in each.name or "\\" in each.name]
    if odd or len(set(roles)) != len(roles) or MEMORY not in roles:
        msg = f"the manifest names files that no back-up has: {', '.join(odd) or ', '.join(roles)}"
        raise InvalidInput(msg, field="manifest")
    return found
