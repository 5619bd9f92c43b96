"""When which profile, tier and parameters came into force, by whom, and why: read from the run's own rows."""

from collections.abc import Mapping
from typing import Any, Final

from trading.adapters.canonical import parse_json
from trading.adapters.journal_archive import Range
from trading.model import commands, events
from trading.model.event_codec import decode
from trading.model.rotation import RotationVerdict
from trading.model.units import sol_text
from trading.ports import JournalRow

from .documents import Document, iso
from .history import RunView

KINDS: Final = (
    "run_started",
    "profile_switched",
    "tier_changed",
    "strategy_promoted",
    "strategy_demoted",
    "shares_rotated",
    "recall_judged",
)
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "profile_switched": ("switch_profile", "promote_strategy"),
    "strategy_promoted": ("promote_strategy",),
    "strategy_demoted": ("demote_strategy",),
}
"""What may have led to an event. It is journalled right before it, with who gave it."""
DESK: Final = "desk"
CHANGES_MAX: Final = 40
ROWS_BACK: Final = 64
"""So many rows lie between a command and its last event at most; what is further away led to something else."""
TEXT_MAX: Final = 600


def profile_log(run: RunView, before: int | None, limit: int) -> Document:
    """Return wire.ProfileLog without its context, newest first; the cursor is the seq of the oldest entry given."""
    found = run.journal.newest(KINDS, before=before, limit=limit + 1)
    page = found[:limit]
    return {
        "entries": [_entry(run, row) for row in page],
        "next_cursor": str(page[-1].seq) if len(found) > limit else None,
    }


def _entry(run: RunView, row: JournalRow) -> Document:
    event = decode(row.kind, parse_json(row.body))
    told: Document = {
        "seq": row.seq,
        "ts": iso(row.ts_ns or _first_ns(run)),
        "strategy": None,
        "changes": [],
        "gates": [],
    }
    return told | {"kind": row.kind, "by": _by(run, row), **_said(event)}


def _first_ns(run: RunView) -> int:
    """Return the time of the first cycle: what was before it has no time of the market."""
    span = run.archive.span(Range())
    return run.now_ns if span is None else span[0]


def _by(run: RunView, row: JournalRow) -> str:
    """Return who it was: the actor of the command that it followed, or the desk by its own rules."""
    if row.kind == "run_started":
        return "operator"
    kinds = COMMANDS.get(row.kind)
    if kinds is None:
        return DESK
    found = run.journal.newest(kinds, before=row.seq)
    if not found or row.seq - found[0].seq > ROWS_BACK or found[0].ts_ns != row.ts_ns:
        return DESK
    command: Any = decode(found[0].kind, parse_json(found[0].body))
    assert isinstance(command, commands.SwitchProfile | commands.PromoteStrategy | commands.DemoteStrategy)
    return command.actor


def _said(event: object) -> Document:
    match event:
        case events.RunStarted():
            why = f"the run {event.run_id} began ({event.mode}) on {event.feed}"
            return _document("profile", "", event.profile, why)
        case events.ProfileSwitched():
            changes = [
                {"field": each.field, "before": each.before[:200], "after": each.after[:200]}
                for each in event.changes[:CHANGES_MAX]
            ]
            said = _document("profile", event.before, event.after, event.reason)
            return said | {"changes": changes, "changes_total": len(event.changes)}
        case events.TierChanged():
            why = f"equity without flows came to {sol_text(event.equity_lamports)} SOL"
            return _document("tier", event.before, event.after, why)
        case events.StrategyPromoted():
            after = f"{event.stage.value}, {event.candidate}"
            said = _document("parameters", event.before.value, after, event.reason, event.strategy)
            return said | {"gates": _gates(event)}
        case events.StrategyDemoted():
            said = _document("parameters", event.before.value, "demoted", event.reason, event.strategy)
            return said | {"gates": _gates(event)}
        case events.SharesRotated():
            moved = event.verdict is RotationVerdict.MOVED
            changes = [
                {"field": each.strategy, "before": _percent(each.before_bps), "after": _percent(each.after_bps)}
                for each in event.shares[:CHANGES_MAX]
                if each.before_bps != each.after_bps
            ]
            what = "moved" if moved else event.verdict.value.replace("_", " ")
            return _document("shares", "", what, event.reason) | {"changes": changes, "changes_total": len(changes)}
        case events.RecallJudged():
            after = "shifts what it states" if event.shifts else "is not used"
            return _document("recall", "", after, event.reason, event.strategy)
        case _:
            msg = f"{type(event).__name__} is in no log of profiles"
            raise TypeError(msg)


def _document(what: str, before: str, after: str, why: str, strategy: str | None = None) -> Document:
    return {
        "what": what,
        "before": before,
        "after": after,
        "why": why[:TEXT_MAX],
        "strategy": strategy,
        "changes_total": 0,
    }


def _gates(event: events.StrategyPromoted | events.StrategyDemoted) -> list[Document]:
    return [{"name": each.name, "passed": each.passed, "note": each.note[:200]} for each in event.gates[:CHANGES_MAX]]


def _percent(bps: int) -> str:
    return f"{bps / 100:g} %"
