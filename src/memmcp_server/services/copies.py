"""Copies of the journal that forgetting cannot reach, as the audit knows them: back-ups, exports, and the file from
which the journal was moved to a server."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memmcp_server.domain.backups import Manifest
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.lifecycle import AUDIT_BACKUP, AUDIT_EXPORT, AUDIT_MIGRATE, RecordAudit
from memmcp_server.domain.memory import Provenance
from memmcp_server.ports import BesideMemory, Journal

COPIES_MAX = 1_000
"""So many of the newest copies of each kind are looked at."""

COPIES_NAMED_MAX = 100


class Copies:
    def __init__(self, journal: Journal, beside: BesideMemory) -> None:
        self._journal = journal
        self._beside = beside
        self._in_progress: dict[int, Path] = {}

    async def back_up(self, directory: Path, caller: Caller) -> tuple[Path, Path, Manifest]:
        """Make a back-up and note where it is; return where the memory's copy is, and the manifest of all.

        Raises: what ``Journal.backup`` raises.
        """
        with self._counted(directory):
            async with self._beside.ahead(directory) as ahead:
                path = await self._journal.backup(directory)
                await self._note(AUDIT_BACKUP, path, caller)
                manifest_path, manifest = await self._beside.copy(path, ahead)
        return path, manifest_path, manifest

    async def note_export(self, path: Path, caller: Caller) -> None:
        """Note that an export is being written to a file of this machine."""
        await self._note(AUDIT_EXPORT, path, caller)

    async def standing(self) -> tuple[str, ...]:
        """Return the copies that are still at their place, and those that are being made, the newest first."""
        noted = [str(each) for each in self._in_progress.values()]
        for action in (AUDIT_BACKUP, AUDIT_EXPORT, AUDIT_MIGRATE):
            entries = await self._journal.audit(action=action, limit=COPIES_MAX)
            paths = [path for entry in entries if isinstance(path := entry.detail.get("path"), str)]
            # An export that broke off may have left its draft.
            noted += [each for path in paths for each in (path, f"{path}.part")] if action == AUDIT_EXPORT else paths
        distinct = list(dict.fromkeys(noted))
        present = await asyncio.to_thread(lambda: [path for path in distinct if Path(path).exists()])
        named = present[:COPIES_NAMED_MAX]
        left = len(present) - len(named)
        return (*named, f"and {left} more: memmcp audit --action backup") if left else tuple(named)

    async def _note(self, action: str, path: Path, caller: Caller) -> None:
        by = Provenance(agent=caller.agent, session=caller.session, tool=caller.tool)
        await self._journal.commit([RecordAudit(action, by, detail={"path": str(path)})])

    @contextmanager
    def _counted(self, directory: Path) -> Iterator[None]:
        """A copy that is under way holds what is forgotten meanwhile, and has no entry yet."""
        number = max(self._in_progress, default=0) + 1
        self._in_progress[number] = directory
        try:
            yield
        finally:
            del self._in_progress[number]
