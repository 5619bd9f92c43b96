"""Sinks ``langfuse`` and ``otlp``: carry memories from the journal to receivers of traces.

An entry names a version of a memory, and what is sent is that version, which never changes: so a repeat, a refill or a
late entry sends the same span under the same ids again.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import anyio.to_thread

from memmcp_server.domain.identifiers import Json, MemoryId
from memmcp_server.domain.lifecycle import AUDIT_FORGET
from memmcp_server.domain.memory import Memory
from memmcp_server.domain.outbox import OutboxEntry
from memmcp_server.domain.secrets import looks_clean
from memmcp_server.domain.tracing.decisions import Content, is_of_the_runtime, span_of
from memmcp_server.domain.tracing.spans import Span, is_sampled, trace_id_of
from memmcp_server.ports import Journal, SecretScanner

from .encoding import encoded, encoded_scores
from .receiver import LangfuseReceiver, Receiver

DELETED_LEN_MAX: Final = 100
"""Traces that one request takes back."""


class Identity:
    """Who sends, and how much of it. ``resource``: service, version and instance, on every request."""

    def __init__(self, resource: Mapping[str, str], environment: str, content: Content) -> None:
        self.resource = dict(resource)
        self.environment = environment
        self.content: Content = content


class TraceSink:
    """Any receiver of OTLP. What was sent there cannot be taken back: the protocol has no word for it."""

    def __init__(
        self,
        journal: Journal,
        receiver: Receiver,
        scanner: SecretScanner,
        identity: Identity,
        *,
        sample_rate: float,
        batch_len_max: int,
    ) -> None:
        self._journal = journal
        self._receiver = receiver
        self._scanner = scanner
        self._identity = identity
        self._sample_rate = sample_rate
        self._batch_len_max = batch_len_max

    @property
    def name(self) -> str:
        return self._receiver.name

    @property
    def batch_len_max(self) -> int:
        return self._batch_len_max

    async def close(self) -> None:
        await self._receiver.close()

    async def deliver(self, entries: Sequence[OutboxEntry]) -> None:
        wanted = list(dict.fromkeys(entry.memory_id for entry in entries))
        versions = await self._journal.all_versions(wanted)
        body, scores = await anyio.to_thread.run_sync(self._encoded, entries, versions)
        if body:
            await self._receiver.post_spans(body)
        await self._post_scores(scores)
        forgotten = [memory_id for memory_id in wanted if memory_id not in versions]
        if forgotten:
            await self._take_back(forgotten)

    def _encoded(
        self, entries: Sequence[OutboxEntry], versions: Mapping[MemoryId, Sequence[Memory]]
    ) -> tuple[bytes, list[bytes]]:
        """Return the spans as a request, empty for none, and their scores as others. For a thread."""
        spans: dict[bytes, Span] = {}
        for entry in entries:
            for memory in versions.get(entry.memory_id, ()):
                if memory.version == entry.version and (span := self._span(memory, versions[entry.memory_id][0])):
                    spans[span.span_id] = span
        kept = [span for span in spans.values() if is_sampled(span.trace_id, self._sample_rate)]
        identity = self._identity
        body = encoded(kept, identity.resource, identity.environment) if kept else b""
        return body, self._encoded_scores(kept)

    def _span(self, memory: Memory, first: Memory) -> Span | None:
        content = self._identity.content
        if content == "all" and not is_of_the_runtime(memory.namespace):
            # What the runtime writes was looked through when it was written. An import may be older than the rules.
            texts: list[Json] = [memory.content, first.content, *memory.tags, dict(memory.metadata)]
            content = "all" if looks_clean(texts, self._scanner.scan) else "none"
        return span_of(memory, first, content)

    def _encoded_scores(self, _spans: Sequence[Span]) -> list[bytes]:
        """Return nothing: OTLP knows no scores, they are events of the spans."""
        return []

    async def _post_scores(self, bodies: Sequence[bytes]) -> None:
        """OTLP has no place for them."""

    async def _take_back(self, forgotten: Sequence[MemoryId]) -> None:
        """OTLP cannot."""


class LangfuseSink(TraceSink):
    """Langfuse: scores beside the spans, and what is forgotten here is deleted there, with the decision it was in."""

    _receiver: LangfuseReceiver

    def _encoded_scores(self, spans: Sequence[Span]) -> list[bytes]:
        return encoded_scores(spans, self._identity.environment)

    async def _post_scores(self, bodies: Sequence[bytes]) -> None:
        for body in bodies:
            await self._receiver.post_scores(body)

    async def _take_back(self, forgotten: Sequence[MemoryId]) -> None:
        traces: dict[bytes, None] = {}
        for memory_id in forgotten:
            traces[trace_id_of(memory_id)] = None
            for entry in await self._journal.audit(action=AUDIT_FORGET, memory_id=memory_id, limit=1):
                if isinstance(trace := entry.detail.get("trace"), str):
                    traces[bytes.fromhex(trace)] = None
        wanted = [each for each in traces if is_sampled(each, self._sample_rate)]
        for start in range(0, len(wanted), DELETED_LEN_MAX):
            await self._receiver.delete_traces(wanted[start : start + DELETED_LEN_MAX])
