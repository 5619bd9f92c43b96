"""From readings to alerts: one state machine for each rule and set of labels. Pure; time comes in with every call.

    ok -> pending -> firing -> resolved -> ok
    pending -> ok        it did not last for ``for_s``
    resolved -> firing   it came back within ``FLAP_S``: the same episode, counted; each time it takes twice as long to
                         be called over, so that what flaps is told seldom

A reading that is unknown moves nothing. Every wait is measured by the monotonic clock: a wall clock that jumps neither
raises, ends, escalates nor unsilences anything.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from .alert import (
    NOTE_CHARS_MAX,
    Alert,
    AlertState,
    Change,
    Labels,
    Moment,
    Reading,
    Rule,
    Sample,
    Silence,
    shown,
)
from .times import NS_PER_S

FLAP_S: Final = 300.0
CLEAR_S_MAX: Final = 3_600.0
ESCALATIONS_MAX: Final = 3
KEYS_MAX: Final = 512
"""So many rules and labels are followed at once; what comes beyond that is logged, not followed."""

SILENCES_MAX: Final = 256

Key = tuple[str, Labels]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Track:
    """What is known of one rule and its labels. Times are monotonic. ``alert`` None: nothing was raised (lately)."""

    pending_since_s: float | None = None
    clear_since_s: float | None = None
    alert: Alert | None = None
    resolved_s: float = 0.0
    escalates_s: float | None = None
    silent_until_s: float | None = None


class Evaluator:
    """Takes samples and says which alerts changed. Holds no clock and does no I/O."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        # A rule that keeps another one quiet is looked at before it.
        self._rules = {rule.name: rule for rule in sorted(rules, key=lambda rule: bool(rule.inhibited_by))}
        self._tracks: dict[Key, _Track] = {}
        self._silences: dict[Key, tuple[Silence, float]] = {}
        self._is_overflow_told = False

    @property
    def alerts(self) -> list[Alert]:
        """Every alert of the present and of the last ``FLAP_S``, the most severe first, then the oldest."""
        found = [track.alert for track in self._tracks.values() if track.alert is not None]
        return sorted(found, key=lambda alert: (not alert.is_active, -alert.severity.rank, alert.raised_ns))

    @property
    def silences(self) -> list[Silence]:
        return [silence for silence, _ in self._silences.values()]

    def rule(self, name: str) -> Rule | None:
        return self._rules.get(name)

    def restore(self, alerts: Iterable[Alert], silences: Iterable[Silence], now: Moment) -> None:
        """Go on with what was there before a restart: waits go on with what is left of them by the wall clock.

        Both oldest first: what was said last holds.
        """
        for silence in silences:
            self._silences.pop((silence.rule, silence.labels), None)
            if silence.until_ns > now.wall_ns:
                self._silences[silence.rule, silence.labels] = (silence, _ahead(silence.until_ns, now))
        for alert in alerts:
            rule = self._rules.get(alert.rule)
            passed_s = max(0.0, (now.wall_ns - alert.updated_ns) / NS_PER_S)
            track = _Track(alert=alert)
            if not alert.is_active:
                track.resolved_s = now.monotonic_s - passed_s
            if rule is not None and rule.escalate_after_s is not None and alert.state is AlertState.FIRING:
                wait_s = rule.escalate_after_s * 2.0**alert.escalation
                track.escalates_s = now.monotonic_s + max(0.0, wait_s - passed_s)
            if alert.silenced_until_ns is not None:
                track.silent_until_s = _ahead(alert.silenced_until_ns, now)
            self._tracks[alert.key] = track

    def take(self, sample: Sample, now: Moment) -> list[Alert]:
        """Return the alerts that changed, in the order of the rules."""
        for key in [key for key, (_, until_s) in self._silences.items() if until_s <= now.monotonic_s]:
            del self._silences[key]
        changed: list[Alert] = []
        for rule in self._rules.values():
            if rule.enabled and rule.reading in sample.known:
                changed += self._judge_rule(rule, sample, now)
        changed += self._pass_time(now)
        for alert in changed:
            self._keep(alert)
        self._forget(now)
        return changed

    def close_unknown_rules(self, now: Moment) -> list[Alert]:
        """Resolve what rules have raised that are not there any more, or are switched off; nobody would end it."""
        changed = []
        for key, track in self._tracks.items():
            rule = self._rules.get(key[0])
            if track.alert is not None and track.alert.is_active and (rule is None or not rule.enabled):
                changed.append(self._resolved(track, track.alert, now, "the rule is not in force any more"))
        for alert in changed:
            self._keep(alert)
        return changed

    def acknowledge(self, alert: Alert, by: str, now: Moment) -> Alert:
        """Note that a person sees to a firing alert: it is not escalated any more."""
        if alert.state is not AlertState.FIRING:
            return alert
        self._tracks.setdefault(alert.key, _Track(alert=alert)).escalates_s = None
        state = AlertState.ACKNOWLEDGED
        return self._keep(_next(alert, "acknowledged", now, state=state, acknowledged_by=by))

    def silence(self, silence: Silence, now: Moment) -> list[Alert]:
        """Tell nobody of this rule (and labels) until then; return the alerts that are silent from now on."""
        key = (silence.rule, silence.labels)
        if silence.until_ns <= now.wall_ns:
            self._silences.pop(key, None)
        elif key in self._silences or len(self._silences) < SILENCES_MAX:
            self._silences[key] = (silence, _ahead(silence.until_ns, now))
        changed = []
        for track in self._tracks.values():
            alert = track.alert
            if alert is not None and alert.is_active and silence.covers(alert):
                changed.append(self._silenced(track, alert, silence, now))
        return changed

    def silence_one(self, alert: Alert, silence: Silence, now: Moment) -> Alert:
        """As ``silence``, of this one alert alone; an end that has passed lets it be told again."""
        return self._silenced(self._tracks.setdefault(alert.key, _Track(alert=alert)), alert, silence, now)

    def keep(self, alert: Alert) -> None:
        """Remember what became of writing it: its memory, version and words."""
        track = self._tracks.get(alert.key)
        if track is not None and track.alert is not None and track.alert.raised_ns == alert.raised_ns:
            track.alert = replace(
                track.alert,
                memory_id=alert.memory_id,
                version=alert.version,
                title=alert.title,
                text=alert.text,
            )

    # What a reading does

    def _judge_rule(self, rule: Rule, sample: Sample, now: Moment) -> Iterator[Alert]:
        seen: set[Labels] = set()
        for reading in sample.readings:
            if not rule.is_about(reading) or reading.labels in seen:
                continue
            seen.add(reading.labels)
            if reading.value is None:
                continue
            changed = self._judge(rule, reading, reading.value, now)
            if changed is not None:
                yield changed
        for key in [key for key in self._tracks if key[0] == rule.name and key[1] not in seen]:
            changed = self._gone(rule, key, now)
            if changed is not None:
                yield changed

    def _judge(self, rule: Rule, reading: Reading, value: float, now: Moment) -> Alert | None:
        key = (rule.name, reading.labels)
        track = self._tracks.get(key)
        if track is None:
            if not rule.is_raised_by(value):
                return None
            if len(self._tracks) >= KEYS_MAX:
                self._tell_overflow(key)
                return None
            track = self._tracks[key] = _Track()
        if track.alert is not None and track.alert.is_active:
            return self._judge_firing(rule, track, track.alert, reading, value, now)
        if not rule.is_raised_by(value):
            track.pending_since_s = None
            return None
        if track.pending_since_s is None:
            track.pending_since_s = now.monotonic_s
        if now.monotonic_s - track.pending_since_s < rule.for_s or self._is_inhibited(rule, reading.labels):
            return None
        return self._raise(rule, track, reading, value, now)

    def _judge_firing(
        self, rule: Rule, track: _Track, alert: Alert, reading: Reading, value: float, now: Moment
    ) -> Alert | None:
        track.alert = alert = replace(alert, value=value, trajectory_id=reading.trajectory_id or alert.trajectory_id)
        if not rule.is_cleared_by(value):
            track.clear_since_s = None
            return None
        if track.clear_since_s is None:
            track.clear_since_s = now.monotonic_s
        hold_s = min(CLEAR_S_MAX, rule.clear_for_s * 2.0 ** min(alert.count - 1, 20))
        if now.monotonic_s - track.clear_since_s < hold_s:
            return None
        return self._resolved(track, alert, now, "")

    def _gone(self, rule: Rule, key: Key, now: Moment) -> Alert | None:
        """What was measured is not there any more: it can be no trouble either, once that has lasted."""
        track = self._tracks[key]
        track.pending_since_s = None
        if track.alert is None or not track.alert.is_active:
            return None
        if track.clear_since_s is None:
            track.clear_since_s = now.monotonic_s
        if now.monotonic_s - track.clear_since_s < rule.clear_for_s:
            return None
        return self._resolved(track, track.alert, now, "what it was about is not there any more")

    def _raise(self, rule: Rule, track: _Track, reading: Reading, value: float, now: Moment) -> Alert:
        earlier = track.alert
        alert = _raised(rule, reading, value, now)
        if earlier is not None:
            alert = replace(
                alert,
                change="reopened",
                count=earlier.count + 1,
                raised_ns=earlier.raised_ns,
                memory_id=earlier.memory_id,
                version=earlier.version,
            )
        track.pending_since_s = track.clear_since_s = None
        track.escalates_s = None if rule.escalate_after_s is None else now.monotonic_s + rule.escalate_after_s
        track.silent_until_s = None
        for silence, until_s in self._silences.values():
            if silence.covers(alert):
                alert = replace(alert, silenced_until_ns=silence.until_ns, silenced_by=silence.by)
                track.silent_until_s = until_s
        track.alert = alert
        return alert

    def _resolved(self, track: _Track, alert: Alert, now: Moment, why: str) -> Alert:
        track.pending_since_s = track.clear_since_s = track.escalates_s = None
        track.resolved_s = now.monotonic_s
        text = f"{alert.text} Over: {why}." if why else alert.text
        done = _next(alert, "resolved", now, state=AlertState.RESOLVED, resolved_ns=now.wall_ns, text=text)
        track.alert = done
        return done

    def _is_inhibited(self, rule: Rule, labels: Labels) -> bool:
        other = self._tracks.get((rule.inhibited_by, labels))
        return other is not None and other.alert is not None and other.alert.is_active

    # What time does

    def _pass_time(self, now: Moment) -> Iterator[Alert]:
        for track in self._tracks.values():
            alert = track.alert
            if alert is None or not alert.is_active:
                continue
            if track.silent_until_s is not None:
                if now.monotonic_s < track.silent_until_s:
                    continue
                track.silent_until_s = None
                yield _next(alert, "unsilenced", now, silenced_until_ns=None, silenced_by="")
            elif track.escalates_s is not None and now.monotonic_s >= track.escalates_s:
                yield from self._escalated(track, alert, now)

    def _escalated(self, track: _Track, alert: Alert, now: Moment) -> Iterator[Alert]:
        rule = self._rules.get(alert.rule)
        if rule is None or rule.escalate_after_s is None or alert.escalation >= ESCALATIONS_MAX:
            track.escalates_s = None
            return
        escalation = alert.escalation + 1
        track.escalates_s = now.monotonic_s + rule.escalate_after_s * 2.0**escalation
        if not self._is_inhibited(rule, alert.labels):
            yield _next(alert, "escalated", now, escalation=escalation, severity=alert.severity.raised())

    def _silenced(self, track: _Track, alert: Alert, silence: Silence, now: Moment) -> Alert:
        if silence.until_ns <= now.wall_ns:
            track.silent_until_s = None
            return self._keep(_next(alert, "unsilenced", now, silenced_until_ns=None, silenced_by=""))
        track.silent_until_s = _ahead(silence.until_ns, now)
        fields = {"silenced_until_ns": silence.until_ns, "silenced_by": silence.by}
        return self._keep(_next(alert, "silenced", now, **fields))

    def _keep(self, alert: Alert) -> Alert:
        self._tracks[alert.key].alert = alert
        return alert

    def _forget(self, now: Moment) -> None:
        """Drop what is in order: nothing pending, nothing raised lately."""
        over = [
            key
            for key, track in self._tracks.items()
            if track.pending_since_s is None
            and (track.alert is None or (not track.alert.is_active and now.monotonic_s - track.resolved_s >= FLAP_S))
        ]
        for key in over:
            del self._tracks[key]

    def _tell_overflow(self, key: Key) -> None:
        if not self._is_overflow_told:
            _log.error("%d alerts are followed, so %s of %s is not", KEYS_MAX, key[0], dict(key[1]))
        self._is_overflow_told = True


def _raised(rule: Rule, reading: Reading, value: float, now: Moment) -> Alert:
    words = dict(reading.labels) | {
        "value": shown(value, rule.unit),
        "threshold": shown(rule.raise_at, rule.unit),
        "note": reading.note[:NOTE_CHARS_MAX],
    }
    about = ", ".join(text for _, text in reading.labels)
    return Alert(
        rule=rule.name,
        labels=reading.labels,
        severity=rule.severity,
        state=AlertState.FIRING,
        title=_filled(rule.title, words, about),
        text=_filled(rule.text, words, about),
        value=value,
        threshold=rule.raise_at,
        unit=rule.unit,
        raised_ns=now.wall_ns,
        updated_ns=now.wall_ns,
        advice=rule.advice,
        trajectory_id=reading.trajectory_id,
        channels=rule.channels,
        runbook=rule.runbook,
    )


class _Words(dict[str, str]):
    """A text of the operator's may name a label that this reading does not have."""

    def __missing__(self, key: str) -> str:
        return ""


def _filled(text: str, words: dict[str, str], about: str) -> str:
    return " ".join(text.format_map(_Words(words, about=about)).split())


def _next(alert: Alert, change: Change, now: Moment, **fields: object) -> Alert:
    # A wall clock that was set back must not make a later change the earlier one.
    updated_ns = max(now.wall_ns, alert.updated_ns + 1_000)
    return replace(alert, change=change, updated_ns=updated_ns, **fields)  # type: ignore[arg-type]


def _ahead(until_ns: int, now: Moment) -> float:
    return now.monotonic_s + max(0.0, (until_ns - now.wall_ns) / NS_PER_S)
