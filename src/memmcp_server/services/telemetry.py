"""Snapshots of desks: ours as it was, outside engines as they report themselves."""

from memmcp_server.domain.memory import Acknowledgement
from memmcp_server.domain.telemetry import LOCAL_DESK, RecordSnapshot, Snapshot
from memmcp_server.errors import InvalidInput, Refused
from memmcp_server.ports import Journal, SecretScanner

from .secrets import refuse_secrets

HISTORY_LIMIT_MAX = 10_000
RESOLUTION_S_MAX = 31 * 86_400


class Telemetry:
    def __init__(self, journal: Journal, scanner: SecretScanner) -> None:
        self._journal = journal
        self._scanner = scanner

    async def record(self, command: RecordSnapshot) -> Acknowledgement:
        """Keep the report of an outside engine under its own desk id; repeating its key changes nothing.

        Raises: Refused (the id of our own desk), SecretRefused.
        """
        refuse_secrets(self._scanner, {"desk_id": command.desk_id, "key": command.key, "body": command.body})
        if command.desk_id == LOCAL_DESK:
            msg = f"desk_id is {LOCAL_DESK!r}, which is this daemon's own desk"
            raise Refused(msg, field="desk_id", hint="report under an id of your own; it is shown beside ours")
        [acknowledgement] = await self._journal.commit([command])
        return acknowledgement

    async def latest(self, desk_id: str = LOCAL_DESK) -> Snapshot | None:
        """Return the snapshot recorded last, None when the desk never sent one."""
        return await self._journal.latest_snapshot(desk_id)

    async def desks(self) -> list[Snapshot]:
        """Return the newest snapshot of every desk."""
        return await self._journal.desks()

    async def history(
        self,
        desk_id: str = LOCAL_DESK,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        resolution_s: int | None = None,
        limit: int = 1_000,
    ) -> list[Snapshot]:
        """Return snapshots in time order, the last of each ``resolution_s`` seconds; the newest ``limit`` of them.

        Raises: InvalidInput.
        """
        if not 1 <= limit <= HISTORY_LIMIT_MAX:
            msg = f"limit is {limit}; allowed are 1 to {HISTORY_LIMIT_MAX}"
            raise InvalidInput(msg, field="limit")
        if resolution_s is not None and not 1 <= resolution_s <= RESOLUTION_S_MAX:
            msg = f"resolution is {resolution_s} s; allowed are 1 to {RESOLUTION_S_MAX}"
            raise InvalidInput(msg, field="resolution")
        if since_ns is not None and until_ns is not None and since_ns >= until_ns:
            msg = "since is not before until"
            raise InvalidInput(msg, field="since")
        return await self._journal.snapshots(
            desk_id, since_ns=since_ns, until_ns=until_ns, resolution_s=resolution_s, limit=limit
        )
