"""Readings of what reaches out of this machine: the dead man's switch and the operator's phone."""

from collections.abc import Sequence

from memmcp_server.domain.alert import Reading
from memmcp_server.services.heartbeat import Heartbeat
from memmcp_server.services.phone import Phone

from .sources import GivenReadings, Source, reading


def door_readings(heartbeat: Heartbeat | None, phone: Phone | None) -> Sequence[Source]:
    """Return a source for each of them that there is."""
    found: list[Source] = []
    if heartbeat is not None:
        found.append(GivenReadings("heartbeat", frozenset({"heartbeat_failures"}), lambda: _heartbeat(heartbeat)))
    if phone is not None:
        names = frozenset({"phone_failures", "phone_strangers_hour"})
        found.append(GivenReadings("phone", names, lambda: _phone(phone)))
    return found


def _heartbeat(heartbeat: Heartbeat) -> list[Reading]:
    beats = heartbeat.beats
    return [reading("heartbeat_failures", float(beats.failures), beats.last_error)]


def _phone(phone: Phone) -> list[Reading]:
    told = phone.reading()
    failures, strangers = told["failures"], told["strangers_hour"]
    assert isinstance(failures, int)
    assert isinstance(strangers, int)
    return [
        reading("phone_failures", float(failures), phone.last_error),
        reading("phone_strangers_hour", float(strangers), f"{phone.strangers} since the beginning."),
    ]
