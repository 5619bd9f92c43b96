"""Everything the journal holds as lines of an archive, page by page, and back again."""

from collections.abc import Sequence
from datetime import UTC, datetime

from memmcp_server import __version__
from memmcp_server.domain.identifiers import MemoryId, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import LinkMemories, MarkMemory, SetPolicy, UpdateMemory
from memmcp_server.domain.memory import Memory
from memmcp_server.domain.trajectory import Trajectory
from memmcp_server.errors import InvalidInput
from memmcp_server.ports import JournalCommand
from memmcp_server.services.container import Services
from memmcp_server.services.secrets import without_secrets
from memmcp_server.wire.archive import (
    FORMAT_VERSION,
    ArchivePage,
    ArchivePart,
    HeadingLine,
    ImportAnswer,
    Line,
    LinkLine,
    MarkLine,
    MemoryLine,
    OutcomeLine,
    PolicyLine,
    TrajectoryLine,
    VersionLine,
)

TRAJECTORY_MEMORY_KIND = "trajectory"
EXPORT_BYTES_MAX = 4 * 1024 * 1024


class Archive:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._journal = services.journal

    async def page(self, part: ArchivePart, cursor: str | None, limit: int) -> ArchivePage:
        """Return up to ``limit`` lines of a part after the cursor. What is written meanwhile may come along.

        Raises: InvalidInput (a cursor of nobody's), JournalBusy, JournalUnavailable.
        """
        match part:
            case "heading":
                now = datetime.now(UTC) if cursor is None else None
                heading = HeadingLine(format=FORMAT_VERSION, made_by=__version__, exported_at=now or datetime.now(UTC))
                return ArchivePage(lines=[heading], next_cursor=None)
            case "policies":
                policies = await self._journal.policies()
                lines = [PolicyLine(namespace=name, policy=policy) for name, policy in policies.items()]
                return ArchivePage(lines=[*lines], next_cursor=None)
            case "trajectories" | "outcomes":
                return await self._trajectories(part, cursor, limit)
            case _:
                return await self._of_memories(part, cursor, limit)

    async def take_in(self, lines: Sequence[Line]) -> ImportAnswer:
        """Store the lines, all or none; what is there already, or was forgotten here, stays as it is.

        The operator restores what was exported, the runtime's own namespaces included. Secrets are cut out.

        Raises: InvalidInput, PayloadTooLarge, NotFound (a link to what is not there), IdempotencyConflict, JournalBusy,
        JournalUnavailable, StorageFull.
        """
        limits, now_ns = self._services.limits, self._services.clock.now_ns()
        clean, redacted = self._without_secrets(lines)
        made = [command for line in clean if (command := line.to_command(limits, now_ns)) is not None]
        fresh = await self._without_known(made)
        acknowledgements = await self._journal.commit(fresh)
        self._services.policies.refresh()
        duplicates = sum(acknowledgement.duplicate for acknowledgement in acknowledgements)
        known = len(lines) - len(fresh) + duplicates
        return ImportAnswer(taken=len(fresh) - duplicates, duplicates=known, redacted=redacted)

    def _without_secrets(self, lines: Sequence[Line]) -> tuple[list[Line], int]:
        """Return the lines with every secret cut out, and of how many something was cut."""
        clean: list[Line] = []
        redacted = 0
        for line in lines:
            document, found = without_secrets(self._services.scanner, line.model_dump(mode="json"))
            clean.append(type(line).model_validate(document) if found else line)
            redacted += bool(found)
        return clean, redacted

    async def _without_known(self, commands: Sequence[JournalCommand]) -> list[JournalCommand]:
        """Leave out what is there, and later versions of what was forgotten; drafts are the journal's matter."""
        updated = [command.id for command in commands if isinstance(command, UpdateMemory)]
        linked = [command.from_id for command in commands if isinstance(command, LinkMemories)]
        marked = [command.id for command in commands if isinstance(command, MarkMemory)]
        present = await self._journal.all_versions(updated)
        gone = await self._journal.forgotten(updated)
        links = {(link.kind, link.from_id, link.to_id) for link in await self._journal.links(linked)}
        marks = {(mark.memory_id, mark.kind, mark.source) for mark in await self._journal.marks(marked)}
        policies = await self._journal.policies() if any(isinstance(each, SetPolicy) for each in commands) else {}

        def is_known(command: JournalCommand) -> bool:
            match command:
                case UpdateMemory():
                    reached = present[command.id][-1].version if command.id in present else 0
                    return command.id in gone or reached >= int(command.key.rpartition(":")[2])
                case LinkMemories():
                    return (command.kind, command.from_id, command.to_id) in links
                case MarkMemory():
                    return (command.id, command.kind, command.source) in marks
                case SetPolicy():
                    return policies.get(command.namespace) == command.policy
                case _:
                    return False

        return [command for command in commands if not is_known(command)]

    async def _of_memories(self, part: ArchivePart, cursor: str | None, limit: int) -> ArchivePage:
        """Return the part's lines for the next versions in the journal's order; links and marks go with first ones."""
        changes = await self._journal.changes(Seq(_number(cursor)), limit=limit)
        rows: list[Memory] = []
        last, size = None, 0
        for change in changes:
            if size > EXPORT_BYTES_MAX:
                break
            last = change.seq
            if change.memory is not None:
                rows.append(change.memory)
                size += len(change.memory.content)
        is_complete = last is None or (len(changes) < limit and last == changes[-1].seq)
        lines = await self._lines_of(part, rows)
        return ArchivePage(lines=lines, next_cursor=None if is_complete else str(last))

    async def _lines_of(self, part: ArchivePart, rows: Sequence[Memory]) -> list[Line]:
        firsts = [memory.id for memory in rows if memory.version == 1]
        match part:
            case "memories" | "versions":
                wanted = [memory for memory in rows if (memory.version == 1) == (part == "memories")]
                own = [memory for memory in wanted if not await self._is_head(memory)]
                return [MemoryLine.of(memory) if part == "memories" else VersionLine.of(memory) for memory in own]
            case "links":
                links = [link for link in await self._journal.links(firsts) if link.from_id in firsts]
                # An import could make no link to what was forgotten.
                whole = await self._journal.all_versions([link.to_id for link in links])
                return [LinkLine.of(link) for link in links if link.to_id in whole]
            case _:
                return [MarkLine.of(mark) for mark in await self._journal.marks(firsts)]

    async def _is_head(self, memory: Memory) -> bool:
        if memory.kind != TRAJECTORY_MEMORY_KIND:
            return False
        return await self._journal.trajectory(TrajectoryId(memory.id)) is not None

    async def _trajectories(self, part: ArchivePart, cursor: str | None, limit: int) -> ArchivePage:
        before_ns, before_id = _trajectory_cursor(cursor)
        found = await self._journal.trajectories(
            namespace=None,
            kind=None,
            is_open=None if part == "trajectories" else False,
            before_ns=before_ns,
            before_id=before_id,
            limit=limit,
        )
        versions = await self._journal.all_versions([MemoryId(each.id) for each in found])
        lines: list[Line] = [_trajectory_line(part, each, versions.get(MemoryId(each.id), [])) for each in found]
        last = found[-1] if len(found) == limit else None
        return ArchivePage(lines=lines, next_cursor=f"{last.opened_at_ns}:{last.id}" if last else None)


def _trajectory_line(part: ArchivePart, trajectory: Trajectory, versions: Sequence[Memory]) -> Line:
    if part == "trajectories":
        return TrajectoryLine.of(trajectory, versions[0].content if versions else trajectory.title)
    return OutcomeLine.of(trajectory, versions[-1].content if versions else trajectory.title)


def _number(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isdecimal() or len(cursor) > 18:
        msg = f"cursor is {cursor[:40]!r}; pass the next_cursor of the last answer"
        raise InvalidInput(msg, field="cursor")
    return int(cursor)


def _trajectory_cursor(cursor: str | None) -> tuple[int | None, TrajectoryId | None]:
    if cursor is None:
        return None, None
    opened, _, trajectory_id = cursor.partition(":")
    return _number(opened), TrajectoryId(trajectory_id)
