"""Snapshots of a desk: one row per trading cycle, or per post of an outside engine."""

from dataclasses import dataclass

from .identifiers import JsonObject

LOCAL_DESK = "local"


@dataclass(frozen=True, slots=True)
class RecordSnapshot:
    """Command: keep a desk's snapshot. (desk_id, key) is unique: repeating it changes nothing.

    ``body`` is a ``wire.TradingSnapshot`` (own desk) or ``wire.ForeignTelemetry`` (outside engine) as JSON.
    An outside desk's equity is never added to ours.
    """

    desk_id: str
    key: str
    ts_event_ns: int
    body: JsonObject


@dataclass(frozen=True, slots=True)
class Snapshot:
    desk_id: str
    ts_event_ns: int
    recorded_at_ns: int
    body: JsonObject
