"""What becomes of memories that are there: the part of a batch's plan for commands of ``domain.lifecycle``."""

from collections.abc import Sequence

from memmcp_server.domain.identifiers import MemoryId, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import (
    AUDIT_FORGET,
    AUDIT_MERGE,
    AUDIT_POLICY,
    AUDIT_RESTORE,
    ForgetMemory,
    LinkKind,
    LinkMemories,
    MarkKind,
    MarkMemory,
    MergeMemory,
    RecordAudit,
    RestoreMemory,
    SetPolicy,
)
from memmcp_server.domain.memory import Acknowledgement, Provenance
from memmcp_server.domain.tracing.decisions import trace_beside
from memmcp_server.errors import IdempotencyConflict, InvalidInput, NotFound

from .plan import Last, Plan
from .prepare import KIND_TRAJECTORY, PreparedAct, PreparedUpdate, Text, decode_object, encode_object


def named_ids(command: PreparedUpdate | PreparedAct) -> tuple[MemoryId, ...]:
    """Return the memories whose present state the command depends on."""
    match command.command:
        case MergeMemory() as merge:
            return (merge.id, merge.into)
        case LinkMemories() as link:
            return (link.from_id, link.to_id)
        case RestoreMemory() | ForgetMemory() | MarkMemory():
            return (command.command.id,)
        case SetPolicy():
            return ()
        case RecordAudit() as record:
            return () if record.about is None else (record.about,)
        case update:
            return (update.id, *update.supersedes, *update.cites)


def plan_act(plan: Plan, prepared: PreparedAct) -> Acknowledgement:
    match prepared.command:
        case MergeMemory() as command:
            return _plan_merge(plan, command)
        case RestoreMemory() as command:
            return _plan_restore(plan, command)
        case ForgetMemory() as command:
            return _plan_forget(plan, command)
        case LinkMemories() as command:
            return _plan_link(plan, command)
        case MarkMemory() as command:
            return _plan_mark(plan, command)
        case SetPolicy() as command:
            return _plan_policy(plan, command, prepared.detail)
        case RecordAudit() as command:
            about = None if command.about is None else existing(plan, command.about, "about")
            seq = plan.note(command.action, command.provenance, command.reason, about, prepared.detail)
            return Acknowledgement(MemoryId(command.action), seq, 1, plan.known_at_ns)


def plan_update(plan: Plan, prepared: PreparedUpdate) -> Acknowledgement:
    command = prepared.command
    last = existing(plan, command.id)
    if last.kind == KIND_TRAJECTORY:
        msg = f"memory {command.id} is the head of a trajectory; its text changes when it is closed"
        raise InvalidInput(msg, field="id", hint="write a step into the trajectory, or close it")
    if not last.is_current:
        msg = f"memory {command.id} was superseded; only a current memory can be updated"
        raise InvalidInput(msg, field="id", hint="update what superseded it, or restore it first")
    if command.expected_version is not None and command.expected_version != last.version:
        msg = f"memory {command.id} is at version {last.version}, not {command.expected_version}: it was changed since"
        raise IdempotencyConflict(msg, field="expected_version", hint="read it again, then repeat the change")
    text = _next_text(last, prepared)
    plan.superseded.append((plan.known_at_ns, last.id, last.version))
    acknowledged = plan.append_next(last, text)
    plan_relations(plan, last.id, command.supersedes, command.cites, last.trajectory_id)
    _requeue_follower(plan, last)
    return acknowledged


def plan_relations(
    plan: Plan,
    memory_id: MemoryId,
    supersedes: Sequence[MemoryId],
    cites: Sequence[MemoryId],
    trajectory_id: TrajectoryId | None,
) -> None:
    """Plan what a memory that was just written (as a step of that trajectory) says of others."""
    for cited in cites:
        plan.link(LinkKind.CITES, memory_id, existing(plan, cited, "cites"), trajectory_id)
    for old_id in supersedes:
        old = existing(plan, old_id, "supersedes")
        if old.id == memory_id:
            msg = f"memory {memory_id} cannot supersede itself"
            raise InvalidInput(msg, field="supersedes")
        if old.kind == KIND_TRAJECTORY:
            msg = f"memory {old_id} is the head of a trajectory, which cannot be superseded"
            raise InvalidInput(
                msg, field="supersedes", hint="name the memory that was wrong, or write a lesson about it"
            )
        plan.link(LinkKind.SUPERSEDES, memory_id, old)
        if old.is_current:
            _retire(plan, old)


def existing(plan: Plan, memory_id: MemoryId, field: str = "id") -> Last:
    """Return the last version. Raises: NotFound."""
    last = plan.lasts.get(memory_id)
    if last is None:
        was = "was forgotten" if memory_id in plan.forgotten else "does not exist"
        msg = f"memory {memory_id[:128]} {was}"
        raise NotFound(msg, field=field, hint="search for its words; a write and a search return ids")
    return last


def _plan_merge(plan: Plan, command: MergeMemory) -> Acknowledgement:
    last, kept = existing(plan, command.id), existing(plan, command.into, "into")
    if last.id == kept.id:
        msg = f"memory {last.id} cannot be merged into itself"
        raise InvalidInput(msg, field="into")
    for each, name in ((last, "id"), (kept, "into")):
        if each.kind == KIND_TRAJECTORY or each.trajectory_id is not None:
            msg = f"memory {each.id} belongs to a trajectory, whose records are never merged"
            raise InvalidInput(msg, field=name)
    if not last.is_current:
        return last.repeated()
    if not kept.is_current:
        msg = f"memory {kept.id} is not current, so nothing can be merged into it"
        raise InvalidInput(msg, field="into")
    plan.link(LinkKind.MERGED, kept.id, last)
    _retire(plan, last)
    detail = encode_object({"into": kept.id})
    plan.note(AUDIT_MERGE, command.provenance, command.reason, last, detail)
    return Acknowledgement(last.id, last.seq, last.version, plan.known_at_ns)


def _plan_restore(plan: Plan, command: RestoreMemory) -> Acknowledgement:
    last = existing(plan, command.id)
    if last.is_current:
        return last.repeated()
    text = _text_of(last, command.provenance)
    acknowledged = plan.append_next(last, text)
    plan.memories_count += 1
    for kind in (LinkKind.SUPERSEDES, LinkKind.MERGED):
        plan.effects.append(("end_links", (plan.known_at_ns, last.id, kind.value)))
    plan.note(AUDIT_RESTORE, command.provenance, command.reason, last)
    _requeue_follower(plan, last)
    return acknowledged


def _plan_forget(plan: Plan, command: ForgetMemory) -> Acknowledgement:
    known = plan.forgotten.get(command.id)
    if known is not None:
        return known
    last = existing(plan, command.id)
    trace = trace_beside(last.id, last.namespace, last.kind, last.trajectory_id, decode_object(last.metadata))
    detail = encode_object({"versions": last.version, **trace})
    seq = plan.note(AUDIT_FORGET, command.provenance, command.reason, last, detail)
    plan.deleted.append(last.id)
    plan.queue(last.id, last.version, seq, last.kind)
    if last.is_current:
        plan.memories_count -= 1
    acknowledged = Acknowledgement(last.id, seq, last.version, plan.known_at_ns)
    plan.set(plan.lasts, last.id, None)
    plan.set(plan.heads, last.id, None)
    plan.set(plan.forgotten, last.id, Acknowledgement(last.id, seq, last.version, plan.known_at_ns, duplicate=True))
    _requeue_follower(plan, last)
    return acknowledged


def _plan_link(plan: Plan, command: LinkMemories) -> Acknowledgement:
    from_, to = existing(plan, command.from_id, "from_id"), existing(plan, command.to_id, "to_id")
    linked = to if command.to_version is None else to._replace(version=command.to_version)
    plan.link(command.kind, from_.id, linked, command.trajectory_id)
    if command.kind is LinkKind.SUPERSEDES and to.is_current and to.id != from_.id and to.kind != KIND_TRAJECTORY:
        _retire(plan, to)
    return Acknowledgement(from_.id, from_.seq, from_.version, plan.known_at_ns)


def _plan_mark(plan: Plan, command: MarkMemory) -> Acknowledgement:
    last = existing(plan, command.id)
    add_mark(plan, last.id, command.kind, command.source, command.value)
    return Acknowledgement(last.id, last.seq, last.version, plan.known_at_ns)


def add_mark(plan: Plan, memory_id: MemoryId, kind: MarkKind, source: str, value: int) -> None:
    plan.effects.append(("insert_marks", (memory_id, kind.value, source, value, plan.known_at_ns)))


def _plan_policy(plan: Plan, command: SetPolicy, policy: str) -> Acknowledgement:
    if command.policy is None:
        plan.effects.append(("delete_policy", (command.namespace,)))
    else:
        plan.effects.append(("write_policy", (command.namespace, policy, plan.known_at_ns)))
    detail = encode_object({"namespace": command.namespace, "policy": command.policy})
    seq = plan.note(AUDIT_POLICY, command.provenance, "", detail=detail)
    return Acknowledgement(MemoryId(command.namespace), Seq(seq), 1, plan.known_at_ns)


def _retire(plan: Plan, last: Last) -> None:
    """Plan the end of a memory's last version; the index learns when it ended."""
    plan.superseded.append((plan.known_at_ns, last.id, last.version))
    plan.queue(last.id, last.version, last.seq, last.kind)
    plan.memories_count -= 1
    plan.set(plan.lasts, last.id, last._replace(superseded_at_ns=plan.known_at_ns))
    _requeue_follower(plan, last)


def _requeue_follower(plan: Plan, last: Last) -> None:
    """The words of what follows in the thread hold those of this memory: it has to be indexed anew."""
    follower = plan.followers.get(last.id)
    if follower is not None:
        plan.queue_in_thread(follower)


def _text_of(last: Last, by: Provenance) -> Text:
    who = (by.agent, by.session, by.tool, by.source, last.trust)
    columns = (last.namespace, last.kind, last.content, last.tags, last.metadata, *who, last.ts_event_ns)
    more = (last.importance, bool(last.pinned), last.valid_from_ns, last.valid_to_ns, last.thread)
    return Text(columns, last.expires_at_ns, bool(last.embed), more)


def _next_text(last: Last, prepared: PreparedUpdate) -> Text:
    command, by = prepared.command, prepared.command.provenance
    columns = (
        last.namespace,
        last.kind if command.kind is None else command.kind,
        last.content if command.content is None else command.content,
        last.tags if prepared.tags is None else prepared.tags,
        last.metadata if prepared.metadata is None else prepared.metadata,
        *(by.agent, by.session, by.tool, by.source, by.trust.value),
        last.ts_event_ns if command.ts_event_ns is None else command.ts_event_ns,
    )
    more = (
        last.importance if command.importance is None else command.importance,
        bool(last.pinned) if command.pinned is None else command.pinned,
        _changed(last.valid_from_ns, command.valid_from_ns, is_cleared="valid_from" in command.cleared),
        _changed(last.valid_to_ns, command.valid_to_ns, is_cleared="valid_to" in command.cleared),
        last.thread,
    )
    expires_at_ns = _changed(last.expires_at_ns, command.expires_at_ns, is_cleared="expires_at" in command.cleared)
    return Text(columns, expires_at_ns, bool(last.embed), more)


def _changed(held: int | None, given: int | None, *, is_cleared: bool) -> int | None:
    return None if is_cleared else held if given is None else given
