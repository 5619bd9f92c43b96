"""The alerts of this daemon: one memory each, every change a version of it, rebuilt from there after a restart."""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import anyio

from memmcp_server.domain.alert import (
    ALERTS_NAMESPACE,
    AUDIT_ALERT,
    KIND_ALERT,
    KIND_SILENCE,
    Alert,
    Labels,
    Moment,
    Overview,
    Rule,
    Sample,
    Severity,
    Silence,
    alert_of,
    silence_of,
)
from memmcp_server.domain.alerting import Evaluator
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import check_line
from memmcp_server.domain.identifiers import JsonObject, MemoryId, derived_id
from memmcp_server.domain.lifecycle import RecordAudit, UpdateMemory
from memmcp_server.domain.memory import Memory, MemoryDraft, MemoryFilter, Provenance, Trust
from memmcp_server.domain.messages import Told, of_test
from memmcp_server.domain.news import Batch
from memmcp_server.domain.secrets import redacted_document
from memmcp_server.domain.times import NS_PER_DAY, NS_PER_S, from_ns
from memmcp_server.errors import InvalidInput, NotFound, Refused, Unavailable
from memmcp_server.ports import Clock, Journal, JournalCommand, Messenger, SecretScanner

RESTORED_MAX: Final = 500
RECENT_MAX: Final = 100
NOTICES_MAX: Final = 50
NOTICES_DAYS: Final = 7
SILENCE_S_MAX: Final = 30 * 86_400
PREPARE_AFTER_S: Final = 10.0
"""Loading apprise takes a second of the processor, which agents that have just connected need more."""

BY: Final = Provenance(agent="memmcp", tool="alerts", source="readings of this daemon", trust=Trust.SYSTEM)
IMPORTANCE: Final = {Severity.INFO: 40, Severity.WARNING: 60, Severity.CRITICAL: 80}

logger = logging.getLogger(__name__)


class Alerts:
    """Raises everywhere: JournalBusy, JournalUnavailable, StorageFull."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        rules: Sequence[Rule],
        messengers: Mapping[str, Messenger] | None = None,
        told: Told | None = None,
        scanner: SecretScanner | None = None,
    ) -> None:
        """``messengers``: the channels by name, to be tried out by hand; sinks of the outbox carry the alerts.

        ``scanner``: cuts secrets out of what others say (an endpoint's error may quote its address).
        """
        self._scanner = scanner
        self._notices: OrderedDict[MemoryId, Memory] = OrderedDict()
        self._messengers = dict(messengers or {})
        self._told = told or Told("", "")
        self._journal = journal
        self._clock = clock
        self._rules = rules
        self._evaluator = Evaluator(rules)
        self._unwritten: dict[tuple[str, Labels], Alert] = {}
        self._lock = anyio.Lock()
        self._changed = anyio.Event()
        self._is_open = False

    @property
    def rules(self) -> Sequence[Rule]:
        return self._rules

    def next_change(self) -> anyio.Event:
        """Return the bell of the next change: take it before looking, so that no change is missed."""
        return self._changed

    def current(self) -> list[Alert]:
        """Return what fires now, with its value of now, and what ended a moment ago; the most severe first."""
        return self._evaluator.alerts

    async def begin(self) -> None:
        """Go on with the alerts that the journal holds. Once it has succeeded a repeat does nothing."""
        async with self._lock:
            if self._is_open:
                return
            held = await self._memories(KIND_ALERT, ("state:firing",), RESTORED_MAX)
            held += await self._memories(KIND_ALERT, ("state:acknowledged",), RESTORED_MAX)
            held += await self._memories(KIND_ALERT, ("state:resolved",), RECENT_MAX)
            silenced = await self._memories(KIND_SILENCE, (), RESTORED_MAX)
            await self._read_notices()
            now = self._now()
            # Of one rule and labels the newest episode counts; one that ended must not hide one that goes on.
            found = [alert for memory in held if (alert := alert_of(memory)) is not None]
            found.sort(key=lambda alert: (alert.is_active, alert.raised_ns))
            silenced.reverse()  # the oldest first: what was said last holds
            silences = [silence for memory in silenced if (silence := silence_of(memory)) is not None]
            self._evaluator.restore(found, silences, now)
            self._is_open = True
            self._note(self._evaluator.close_unknown_rules(now))
            await self._write_down()

    async def take(self, sample: Sample) -> list[Alert]:
        """Judge a sample and write down what changed. What cannot be written is kept and written with the next one."""
        await self.begin()
        async with self._lock:
            changed = self._evaluator.take(sample, self._now())
            self._note(changed)
            await self._write_down()
            return changed

    async def overview(self, *, with_past: bool) -> Overview:
        """Return the alerts, the silences and the notices; ``with_past``: also alerts that are over."""
        await self.begin()
        now_ns = self._clock.now_ns()
        current = [alert for alert in self.current() if alert.is_active]
        past: list[Alert] = []
        if with_past:
            resolved = await self._memories(KIND_ALERT, ("state:resolved",), RECENT_MAX)
            past = [alert for memory in resolved if (alert := alert_of(memory)) is not None]
        since_ns = now_ns - NOTICES_DAYS * NS_PER_DAY
        notices = [notice for notice in reversed(self._notices.values()) if notice.known_at_ns >= since_ns]
        return Overview(now_ns, (*current, *past), tuple(notices), tuple(self._evaluator.silences))

    def hear(self, batch: Batch) -> None:
        """Note what the desk and the tasks tell by themselves; for ``News.listening``."""
        for change in batch.changes:
            memory = change.memory
            if memory is not None and memory.kind == KIND_ALERT and memory.namespace != ALERTS_NAMESPACE:
                self._keep_notice(memory)
                self._ring()

    async def get(self, alert_id: str) -> Alert:
        """Return an alert as it stands now. Raises: NotFound."""
        for alert in self.current():
            if alert.memory_id == alert_id:
                return alert
        memory = await self._journal.memory(MemoryId(alert_id))
        held = None if memory is None else alert_of(memory)
        if held is None:
            msg = f"there is no alert {alert_id[:128]}"
            raise NotFound(msg, field="id", hint="GET /alerts and `memmcp alerts` show them with their ids")
        return held

    async def acknowledge(self, alert_id: str, caller: Caller) -> Alert:
        """Note that the operator sees to an alert; a repeat changes nothing. Raises: Refused, NotFound."""
        _require_operator(caller)
        async with self._lock:
            alert = await self.get(alert_id)
            if not alert.is_active:
                return alert
            done = self._evaluator.acknowledge(alert, caller.agent or "operator", self._now())
            if done is not alert:
                await self._act(done, caller, {"act": "acknowledge"})
            return done

    async def silence(self, alert_id: str, until_ns: int, caller: Caller) -> Alert:
        """Tell nobody of this alert until then; a time that has passed takes it back.

        Raises: Refused, NotFound, InvalidInput (too long, or it is over already).
        """
        _require_operator(caller)
        async with self._lock:
            alert = await self.get(alert_id)
            if not alert.is_active:
                msg = f"alert {alert_id} is over, so there is nothing to silence"
                raise InvalidInput(msg, field="id", hint="silence its rule: memmcp alerts silence RULE --for 2h")
            silence = Silence(alert.rule, alert.labels, self._checked(until_ns), caller.agent or "operator")
            done = self._evaluator.silence_one(alert, silence, self._now())
            await self._act(done, caller, {"act": "silence", "until": from_ns(until_ns).isoformat()})
            return done

    async def silence_rule(self, rule: str, labels: Labels, until_ns: int, caller: Caller) -> Silence:
        """Tell nobody of what a rule raises, with these labels where any are named, until then.

        Raises: Refused, InvalidInput (no such rule, too long).
        """
        _require_operator(caller)
        if self._evaluator.rule(rule) is None:
            msg = f"there is no rule {rule[:64]!r}"
            raise InvalidInput(msg, field="rule", hint=f"rules are: {', '.join(each.name for each in self._rules)}")
        for key, value in labels:
            check_line("labels", f"{key}={value}", 128)
        async with self._lock:
            silence = Silence(rule, labels, self._checked(until_ns), caller.agent or "operator")
            changed = self._evaluator.silence(silence, self._now())
            await self._keep_silence(silence, caller)
            self._note(changed)
            await self._write_down()
            return silence

    async def prepare_channels(self) -> None:
        """Load what the channels take, so that the first alert is as quick as the others; agents come first."""
        await anyio.sleep(PREPARE_AFTER_S)
        for messenger in self._messengers.values():
            await messenger.prepare()

    async def test(self, channel: str, caller: Caller) -> tuple[bool, str, int]:
        """Send a test message; return whether it was taken, what came back, and how long it took in milliseconds.

        Raises: Refused, NotFound (no such channel).
        """
        _require_operator(caller)
        messenger = self._messengers.get(channel)
        if messenger is None:
            known = ", ".join(self._messengers) or "none: see channels.named in memmcp.toml"
            msg = f"there is no channel {channel[:32]!r}; there are {known}"
            raise NotFound(msg, field="channel")
        began_s = self._clock.monotonic_s()
        try:
            await messenger.send(of_test(channel, self._told, self._clock.now_ns()))
        except Unavailable as error:
            taken, detail = False, error.message
        else:
            taken, detail = True, "the channel's server took it"
        return taken, detail, round((self._clock.monotonic_s() - began_s) * 1_000)

    # Writing

    async def _read_notices(self) -> None:
        """Read once what was told lately; what comes later is heard."""
        since_ns = self._clock.now_ns() - NOTICES_DAYS * NS_PER_DAY
        where = MemoryFilter(kinds=(KIND_ALERT,), since_ns=since_ns, hidden=(ALERTS_NAMESPACE,))
        found = await self._journal.page(where, after=None, limit=NOTICES_MAX, newest_first=True)
        for memory in reversed(found):
            self._keep_notice(memory)

    def _keep_notice(self, memory: Memory) -> None:
        self._notices.pop(memory.id, None)
        self._notices[memory.id] = memory
        while len(self._notices) > NOTICES_MAX:
            self._notices.popitem(last=False)

    def _clean(self, alert: Alert) -> Alert:
        if self._scanner is None:
            return alert
        texts: JsonObject = {"title": alert.title, "text": alert.text, "labels": dict(alert.labels)}
        clean, found = redacted_document(texts, self._scanner.scan)
        if not found:
            return alert
        assert isinstance(clean, dict)
        logger.warning("alert %s held %d secrets, which are cut out", alert.rule, len(found))
        return replace(alert, title=str(clean["title"]), text=str(clean["text"]))

    def _now(self) -> Moment:
        return Moment(self._clock.monotonic_s(), self._clock.now_ns())

    def _checked(self, until_ns: int) -> int:
        longest_ns = self._clock.now_ns() + SILENCE_S_MAX * NS_PER_S
        if until_ns > longest_ns:
            msg = f"until is {from_ns(until_ns).isoformat()}; at most {SILENCE_S_MAX // 86_400} days ahead are allowed"
            raise InvalidInput(msg, field="until")
        return until_ns

    def _note(self, changed: Sequence[Alert]) -> None:
        for alert in changed:
            level = logging.INFO if alert.severity is Severity.INFO or not alert.is_active else logging.WARNING
            logger.log(level, "alert %s %s: %s", alert.rule, alert.change, alert.title)
            self._unwritten[alert.key] = alert
        if changed:
            self._ring()

    async def _act(self, alert: Alert, caller: Caller, detail: JsonObject) -> None:
        self._note([alert])
        await self._write_down()
        by = Provenance(agent=caller.agent, session=caller.session, tool=caller.tool)
        about = self._written(alert)
        await self._journal.commit([RecordAudit(AUDIT_ALERT, by, detail={"rule": alert.rule, **detail}, about=about)])

    def _written(self, alert: Alert) -> MemoryId | None:
        held = next((each for each in self._evaluator.alerts if each.key == alert.key), alert)
        return held.memory_id or None

    async def _write_down(self) -> None:
        """Write what changed, the newest state of each alert. Raises: Unavailable; what is left comes next time."""
        for key, alert in list(self._unwritten.items()):
            alert = self._clean(self._with_memory(alert))
            [acknowledged] = await self._journal.commit([_command(alert)])
            self._evaluator.keep(replace(alert, memory_id=acknowledged.id, version=acknowledged.version))
            if self._unwritten.get(key) is not None and self._unwritten[key].updated_ns == alert.updated_ns:
                del self._unwritten[key]
            self._ring()

    def _with_memory(self, alert: Alert) -> Alert:
        """Return it with the memory that it has got meanwhile."""
        if alert.memory_id:
            return alert
        held = next((each for each in self._evaluator.alerts if each.key == alert.key), None)
        if held is None or held.raised_ns != alert.raised_ns or not held.memory_id:
            return alert
        return replace(alert, memory_id=held.memory_id, version=held.version)

    async def _keep_silence(self, silence: Silence, caller: Caller) -> None:
        by = Provenance(agent=caller.agent, session=caller.session, tool=caller.tool)
        labels = ", ".join(f"{key}={value}" for key, value in silence.labels) or "any labels"
        draft = MemoryDraft(
            content=f"Nobody is told of {silence.rule} ({labels}) until {from_ns(silence.until_ns).isoformat()}.",
            key=f"silence:{silence.rule}:{derived_id(labels, str(silence.until_ns), str(self._clock.now_ns()))}",
            ts_event_ns=self._clock.now_ns(),
            namespace=ALERTS_NAMESPACE,
            kind=KIND_SILENCE,
            tags=(silence.rule,),
            metadata=silence.document(),
            provenance=BY,
            embed=False,
        )
        audit = RecordAudit(AUDIT_ALERT, by, detail={"act": "silence", **silence.document()})
        await self._journal.commit([draft, audit])

    async def _memories(self, kind: str, tags: tuple[str, ...], limit: int) -> list[Memory]:
        where = MemoryFilter(namespace=ALERTS_NAMESPACE, kinds=(kind,), tags=tags)
        return await self._journal.page(where, after=None, limit=limit, newest_first=True)

    def _ring(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _command(alert: Alert) -> JournalCommand:
    if not alert.memory_id:
        labels = (part for pair in alert.labels for part in pair)
        return MemoryDraft(
            content=alert.content(),
            key=f"{alert.rule}:{derived_id(*labels, str(alert.raised_ns))}",
            ts_event_ns=alert.raised_ns,
            namespace=ALERTS_NAMESPACE,
            kind=KIND_ALERT,
            tags=alert.tags,
            metadata=alert.document(),
            provenance=BY,
            importance=IMPORTANCE[alert.severity],
        )
    return UpdateMemory(
        id=alert.memory_id,
        key=f"{alert.memory_id}:{alert.change}:{alert.updated_ns}",
        provenance=BY,
        content=alert.content(),
        tags=alert.tags,
        metadata=alert.document(),
        importance=IMPORTANCE[alert.severity],
    )


def _require_operator(caller: Caller) -> None:
    if caller.role != "operator":
        msg = "only the operator acknowledges and silences alerts"
        raise Refused(msg, hint="on the page, or with: memmcp alerts acknowledge ID")
