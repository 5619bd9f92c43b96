"""The one place where memory and trading meet: the desk as our port, our journal as the desk's memory."""

import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from memmcp_server.config import Sections
from memmcp_server.domain.identifiers import JsonObject, MemoryId, Namespace, TrajectoryId
from memmcp_server.domain.memory import MemoryDraft, Provenance, Trust
from memmcp_server.domain.secrets import redacted_document
from memmcp_server.domain.telemetry import LOCAL_DESK, RecordSnapshot
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory
from memmcp_server.errors import IdempotencyConflict, InvalidInput, MemoryServerError, TradingUnavailable, Unavailable
from memmcp_server.ports import Journal, JournalCommand, SecretScanner, TradingDesk
from trading import desk as trading

logger = logging.getLogger(__name__)

ENGINE: Final = Provenance(agent="xavier", tool="desk", source="trading journal", trust=Trust.SYSTEM)
SIDECAR: Final = Provenance(agent="sidecar", tool="desk", source="trading journal", trust=Trust.UNTRUSTED)
"""Questions and answers of the sidecar hold words of others: of markets, agents and a model."""
SIDECAR_KINDS: Final = frozenset({("memory_bank", "request"), ("memory_bank", "response")})
REFUSED_KIND: Final = "refused_record"
REWARD_UNIT: Final = "lamports"


@asynccontextmanager
async def open_desk(
    environ: Mapping[str, str], sections: Sections, journal: Journal, scanner: SecretScanner
) -> AsyncIterator[TradingDesk]:
    """Open the desk over its own directory; what it records is copied into this journal, without secrets.

    Raises: InvalidInput (a setting of the desk, or recorded data that no retry mends), TradingUnavailable (it cannot
    start now).
    """
    wish = sections.trading
    options = trading.DeskOptions(
        data_dir=sections.data_dir / "trading",
        feed=wish.feed,
        money=wish.money,
        profile=wish.profile,
        profiles_dir=sections.data_dir / "profiles",
        candidates_dir=sections.data_dir,
    )
    async with AsyncExitStack() as stack:
        try:
            desk = await stack.enter_async_context(trading.open(environ, JournalMemory(journal, scanner), options))
        except trading.TradingError as error:
            kind = TradingUnavailable if error.retryable else InvalidInput
            raise kind(error.message, field=error.field, hint=error.hint) from error
        yield AdaptedDesk(desk)


class JournalMemory:
    """``trading.ports.Memory`` over our journal.

    The desk's relay repeats a batch until it is taken, so nothing may make a batch fail forever: a record that the
    journal can never take is kept as a note about itself, and the rest of the batch goes on. Texts of the market (the
    name that somebody gave a token) come along, so secrets are cut out.
    """

    def __init__(self, journal: Journal, scanner: SecretScanner) -> None:
        self._journal = journal
        self._scanner = scanner

    async def write(self, records: Sequence[trading.MemoryRecord]) -> None:
        """Store all records durably, in order. Raises: trading's MemoryUnavailable."""
        records = [self._cleaned(record) for record in records]
        try:
            await self._commit(records)
        except Unavailable as error:
            raise trading.MemoryUnavailable(error.message) from error
        except MemoryServerError as error:
            logger.warning("a batch of %d records was refused (%s); taking them one by one", len(records), error)
            await self._write_singly(records)

    def _cleaned(self, record: trading.MemoryRecord) -> trading.MemoryRecord:
        if record.action == "snapshot":
            return record  # figures of our own
        texts: JsonObject = {"text": record.text, "title": record.title, "tags": list(record.tags)}
        clean, found = redacted_document({**texts, "metadata": dict(record.metadata)}, self._scanner.scan)
        if not found:
            return record
        logger.warning("record %s of the desk held %d secrets, which are cut out", record.key, len(found))
        assert isinstance(clean, dict)
        tags, metadata = clean["tags"], clean["metadata"]
        assert isinstance(tags, list)
        assert isinstance(metadata, dict)
        text, title = str(clean["text"]), str(clean["title"])
        return replace(record, text=text, title=title, tags=tuple(map(str, tags)), metadata=metadata)

    async def _commit(self, records: Sequence[trading.MemoryRecord]) -> None:
        named = sorted({MemoryId(memory_id) for record in records for memory_id in record.cites})
        # What was forgotten since an agent named it cannot be linked; the step's metadata still names it.
        known = set(await self._journal.all_versions(named) if named else ())
        commands: list[JournalCommand] = []
        for record in records:
            commands.append(command_of(record, known))
            if record.action in ("open", "step") and record.trajectory_id:
                known.add(MemoryId(record.trajectory_id))  # the rest of the batch may rest on it
        await self._journal.commit(commands)

    async def _write_singly(self, records: Sequence[trading.MemoryRecord]) -> None:
        for record in records:
            try:
                await self._commit([record])
            except Unavailable as error:
                raise trading.MemoryUnavailable(error.message) from error
            except MemoryServerError as error:
                await self._keep_refused(record, error)

    async def _keep_refused(self, record: trading.MemoryRecord, error: MemoryServerError) -> None:
        logger.error("record %s of the desk was refused: %s", record.key, error)
        note = MemoryDraft(
            content=f"Memory refused a record of the desk ({error.code}): {error.message}",
            key=f"refused:{record.key}",
            ts_event_ns=record.ts_event_ns,
            namespace=Namespace("trading"),
            kind=REFUSED_KIND,
            metadata={
                "action": record.action,
                "key": record.key,
                "kind": record.kind,
                "text": record.text[:4_000],
                "trajectory_id": record.trajectory_id,
            },
            provenance=ENGINE,
            embed=False,
        )
        try:
            await self._journal.commit([note])
        except Unavailable as unavailable:
            raise trading.MemoryUnavailable(unavailable.message) from unavailable


def command_of(record: trading.MemoryRecord, known: Collection[str] = ()) -> JournalCommand:
    """Return what the journal is asked to do for a record; of what it cites, what is known.

    Raises: InvalidInput when a record of a trajectory names none, or a closing one has no outcome.
    """
    match record.action:
        case "open":
            return OpenTrajectory(
                id=_trajectory_id(record),
                namespace=Namespace(record.namespace),
                kind=record.kind,
                title=record.title,
                text=record.text,
                ts_event_ns=record.ts_event_ns,
                metadata=dict(record.metadata),
                tags=record.tags,
                provenance=ENGINE,
            )
        case "close":
            return _closing(record)
        case "snapshot":
            return RecordSnapshot(LOCAL_DESK, record.key, record.ts_event_ns, dict(record.metadata))
        case "step" | "note":
            return MemoryDraft(
                content=record.text,
                key=record.key,
                ts_event_ns=record.ts_event_ns,
                namespace=Namespace(record.namespace),
                kind=record.kind,
                tags=record.tags,
                metadata=dict(record.metadata),
                trajectory_id=_trajectory_id(record) if record.action == "step" else None,
                provenance=SIDECAR if (record.namespace, record.kind) in SIDECAR_KINDS else ENGINE,
                embed=record.embed,
                cites=tuple(MemoryId(memory_id) for memory_id in record.cites if memory_id in known),
            )


def _closing(record: trading.MemoryRecord) -> CloseTrajectory:
    if record.outcome is None:
        msg = f"record {record.key} closes a trajectory without an outcome"
        raise InvalidInput(msg, field="outcome")
    return CloseTrajectory(
        id=_trajectory_id(record),
        outcome=record.outcome,
        text=record.text,
        ts_event_ns=record.ts_event_ns,
        reward=record.reward_lamports,
        reward_unit=REWARD_UNIT if record.reward_lamports is not None else "",
        metadata=dict(record.metadata),
        provenance=ENGINE,
    )


def _trajectory_id(record: trading.MemoryRecord) -> TrajectoryId:
    if record.trajectory_id is None:
        msg = f"record {record.key} ({record.action}) names no trajectory"
        raise InvalidInput(msg, field="trajectory_id")
    return TrajectoryId(record.trajectory_id)


@contextmanager
def translating() -> Iterator[None]:
    """Turn trading's errors into ours, once, here."""
    try:
        yield
    except trading.KeyTaken as error:
        raise IdempotencyConflict(error.message, field=error.field, hint=error.hint) from error
    except trading.InvalidInput as error:
        raise InvalidInput(error.message, field=error.field, hint=error.hint) from error
    except trading.TradingError as error:
        raise TradingUnavailable(error.message, field=error.field, hint=error.hint) from error


class AdaptedDesk:
    """``ports.TradingDesk`` over ``trading.desk.Desk``: the same words, our errors."""

    def __init__(self, desk: trading.Desk) -> None:
        self._desk = desk

    async def snapshot(self) -> JsonObject:
        with translating():
            return await self._desk.snapshot()

    async def metrics(self) -> JsonObject:
        with translating():
            return await self._desk.metrics()

    async def trades(
        self, *, strategy: str | None, cursor: str | None, limit: int, wanted: JsonObject | None = None
    ) -> JsonObject:
        with translating():
            return await self._desk.trades(strategy=strategy, cursor=cursor, limit=limit, wanted=wanted)

    async def candles(
        self, *, mint: str | None, since_ns: int | None, until_ns: int | None, interval_s: int | None
    ) -> JsonObject:
        with translating():
            return await self._desk.candles(mint=mint, since_ns=since_ns, until_ns=until_ns, interval_s=interval_s)

    async def equity(self, *, since_ns: int | None, until_ns: int | None, resolution_s: int | None) -> JsonObject:
        with translating():
            return await self._desk.equity(since_ns=since_ns, until_ns=until_ns, resolution_s=resolution_s)

    async def projection(self) -> JsonObject:
        with translating():
            return await self._desk.projection()

    async def curve_marks(self, *, since_ns: int | None, until_ns: int | None) -> JsonObject:
        with translating():
            return await self._desk.curve_marks(since_ns=since_ns, until_ns=until_ns)

    async def costs(self, *, days: int) -> JsonObject:
        with translating():
            return await self._desk.costs(days=days)

    async def nodes(self) -> JsonObject:
        with translating():
            return await self._desk.nodes()

    async def arbitrage(self, *, part: str, cursor: str | None, limit: int) -> JsonObject:
        with translating():
            return await self._desk.arbitrage(part=part, cursor=cursor, limit=limit)

    async def answer_arbitrage(self, request: JsonObject, *, actor: str) -> JsonObject:
        with translating():
            return await self._desk.answer_arbitrage(request, actor=actor)

    async def transactions(self, *, cursor: str | None, limit: int) -> JsonObject:
        with translating():
            return await self._desk.transactions(cursor=cursor, limit=limit)

    async def profile_log(self, *, cursor: str | None, limit: int) -> JsonObject:
        with translating():
            return await self._desk.profile_log(cursor=cursor, limit=limit)

    async def sidecar_log(self, *, cursor: str | None, limit: int) -> JsonObject:
        with translating():
            return await self._desk.sidecar_log(cursor=cursor, limit=limit)

    async def strategies(self) -> JsonObject:
        with translating():
            return await self._desk.strategies()

    async def candidates(self, *, limit: int) -> JsonObject:
        with translating():
            return await self._desk.candidates(limit=limit)

    async def strategy_digest(
        self, *, strategy: str | None, window: str, since_ns: int | None = None, until_ns: int | None = None
    ) -> JsonObject:
        within = {"since_ns": since_ns, "until_ns": until_ns}
        with translating():
            return await self._desk.strategy_digest(strategy=strategy, window=window, **within)

    async def why(
        self,
        *,
        order_id: str | None,
        trajectory_id: str | None,
        mint: str | None,
        since_ns: int | None,
        until_ns: int | None = None,
    ) -> JsonObject:
        with translating():
            return await self._desk.why(
                order_id=order_id, trajectory_id=trajectory_id, mint=mint, since_ns=since_ns, until_ns=until_ns
            )

    async def night(self, *, since_ns: int | None) -> JsonObject:
        with translating():
            return await self._desk.night(since_ns=since_ns)

    async def answer_review(self, request: JsonObject, *, actor: str) -> JsonObject:
        with translating():
            return await self._desk.answer_review(request, actor=actor)

    async def place_trade(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        with translating():
            return await self._desk.place_trade(request, agent=agent, key=key)

    async def close_position(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        with translating():
            return await self._desk.close_position(request, agent=agent, key=key)

    async def rebalance(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        with translating():
            return await self._desk.rebalance(request, agent=agent, key=key)

    async def answered(self, *, agent: str, key: str) -> JsonObject | None:
        with translating():
            return await self._desk.answered(agent=agent, key=key)

    async def control(self, request: JsonObject, *, actor: str, key: str) -> JsonObject:
        with translating():
            return await self._desk.control(request, actor=actor, key=key)

    async def assess(self, request: JsonObject, *, agent: str) -> JsonObject:
        with translating():
            return await self._desk.assess(request, agent=agent)

    async def changes(self) -> AsyncIterator[JsonObject]:
        with translating():
            async for snapshot in self._desk.changes():
                yield snapshot


class ApprovalDoor:
    """``ports.Approvals`` over the signer's socket: its words, as documents of ``wire.approvals``."""

    def __init__(self, environ: Mapping[str, str], data_dir: Path) -> None:
        with translating():
            self._signer = trading.signer_of(environ, data_dir)
            self._arming = trading.arming_of(environ, data_dir, self._signer)

    async def overview(self) -> JsonObject:
        with translating():
            status = await self._signer.status()
            found = await self._signer.approvals() if status["is_unlocked"] else []
        return {
            "approvals": [_approval(each) for each in found],
            "passkeys": status["passkeys"],
            "origins": status.get("origins", []),
            "is_armed": status["armed"] is not None,
            "why_not": status["why_not"],
        }

    async def arming(self) -> JsonObject:
        with translating():
            return await self._arming.view()

    async def disarm(self, why: str) -> JsonObject:
        with translating():
            return await self._arming.disarm(why)

    async def challenge(self, approval_id: str) -> JsonObject:
        with translating():
            return {"options": await self._signer.challenge(approval_id)}

    async def approve(self, approval_id: str, credential: Mapping[str, Any]) -> JsonObject:
        with translating():
            return _approval(await self._signer.approve(approval_id, credential))

    async def refuse(self, approval_id: str) -> JsonObject:
        with translating():
            return _approval(await self._signer.refuse(approval_id))

    async def passkey_options(self, code: str) -> JsonObject:
        with translating():
            return {"options": await self._signer.passkey_options(code)}

    async def register_passkey(self, code: str, credential: Mapping[str, Any], label: str) -> JsonObject:
        with translating():
            return await self._signer.register_passkey(code, credential, label)


def _approval(found: Mapping[str, Any]) -> JsonObject:
    order = dict(found["order"])
    return {
        "id": found["id"],
        "state": found["state"],
        "asked_at": _moment(found["asked_ns"]),
        "expires_at": _moment(order.pop("expires_ns")),
        **{name: str(value) for name, value in order.items()},
    }


def _moment(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).isoformat()
