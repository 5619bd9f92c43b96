"""The folded state of a run at one row, so that a restart need not fold the whole run again.

A checkpoint is a convenience and never the truth: the rows are. It holds what ``Kernel.restore`` would make of the rows
up to it, exactly; one that is damaged, of another version or of another kind of desk is refused, and the rows are
folded instead.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from trading.errors import DataError, InvalidInput
from trading.execution.reported_venue import ReportedVenue
from trading.execution.simulated_venue import SimulatedVenue
from trading.model.memento import Memento
from trading.model.profile_content import content_of, profile_of
from trading.model.tier import tier_named
from trading.risk.after_gap import GapBook
from trading.risk.drawdown import DrawdownGuard
from trading.risk.levels import LevelBook
from trading.risk.protections import ProtectionBook
from trading.risk.returns import ReturnBook
from trading.strategies.tokens import PerToken

from .kernel import Kernel
from .state import DeskState

VERSION: Final = 2
"""Raised when the same fields come to mean something else; other fields are noticed without it."""


def taken(kernel: Kernel) -> dict[str, Any]:
    """Return the state between two cycles, as JSON values without floats."""
    memento = _memento()
    kernel.levels.refresh()
    state = kernel.state
    return {
        "version": VERSION,
        "profile": content_of(state.profile),
        "rules": _rules(kernel),
        "tier": state.tier.name,
        "cycles": kernel.cycles,
        "bars": kernel.bars,
        "unwritten": kernel.unwritten,
        "seen_ns": memento.encode(kernel.seen_ns),
        "state": memento.encode(state),
        "venue": memento.encode(kernel.venue),
        "instruments": memento.encode(kernel.valuer.instruments),
        "listed_ns": memento.encode(kernel.valuer.listed_ns),
        "facts": memento.encode(kernel.valuer.facts),
        "strategies": [[each.name, memento.encode(each)] for each in kernel.strategies],
        **_recalled(kernel),
    }


def put_back(kernel: Kernel, body: Mapping[str, Any]) -> None:
    """Bring a kernel that has not begun to the state that was taken. After an error the kernel is of no use.

    Raises: DataError when it does not fit.
    """
    memento = _memento()
    try:
        if body["version"] != VERSION:
            msg = f"the checkpoint is of version {body['version']}, this is {VERSION}"
            raise DataError(msg)
        profile = profile_of(body["profile"])
        if kernel.state.profile != profile:
            kernel.state.profile = profile
            kernel.switch_profile(profile)
            kernel.state.use_limits()
        if _rules(kernel) != body["rules"] or [each.name for each in kernel.strategies] != [
            name for name, _ in body["strategies"]
        ]:
            msg = f"the profile {profile.name} has other rules or strategies than when the checkpoint was written"
            raise DataError(msg)
        memento.fill(kernel.state, body["state"])
        kernel.state.use_zone(kernel.state.zone)
        kernel.state.tier = tier_named(body["tier"])
        memento.fill(kernel.venue, body["venue"])
        kernel.valuer.instruments.update(memento.decode(body["instruments"]))
        kernel.valuer.listed_ns.update(memento.decode(body["listed_ns"]))
        kernel.valuer.facts.update(memento.decode(body["facts"]))
        for strategy, (_, encoded) in zip(kernel.strategies, body["strategies"], strict=True):
            memento.fill(strategy, encoded)
        if "recall" in body:
            kernel.state.situations.put_back(body["recall"]["situations"])
            kernel.recaller.histories.put_back(body["recall"]["histories"])
        kernel.seen_ns.update(memento.decode(body["seen_ns"]))
        kernel.go_on_with(*body["unwritten"])
        kernel.cycles, kernel.bars = int(body["cycles"]), int(body["bars"])
    except (KeyError, TypeError, ValueError, InvalidInput) as error:
        msg = f"the checkpoint does not fit: {error!r}"
        raise DataError(msg) from error


def _memento() -> Memento:
    return Memento(
        {
            DeskState: frozenset({"_appliers", "day", "profile", "situations", "tier", "trades"}),
            DrawdownGuard: frozenset({"_calendar", "_limits"}),
            LevelBook: frozenset({"_calendar", "_limits", "is_watching"}),
            GapBook: frozenset({"_least_ns"}),
            ProtectionBook: frozenset({"_rules"}),
            ReturnBook: frozenset({"_spans"}),
            PerToken: frozenset({"_make"}),
            SimulatedVenue: frozenset({"conditions", "_chance"}),
            ReportedVenue: frozenset({"conditions", "_chance"}),
        }
    )


def _recalled(kernel: Kernel) -> dict[str, Any]:
    """Return what recall rests on, nothing for a desk that never remembered."""
    if not kernel.recaller.is_on and kernel.state.situations.is_empty:
        return {}
    situations, histories = kernel.state.situations.document(), kernel.recaller.histories.document()
    return {"recall": {"situations": situations, "histories": histories}}


def _rules(kernel: Kernel) -> str:
    """Return what the strategies and the locks of protections were made from; their state means nothing to others."""
    strategies = [[each.name, dict(each.parameters())] for each in kernel.strategies]
    protections = [each.model_dump(mode="json") for each in kernel.state.profile.limits.protections]
    return json.dumps([strategies, protections], sort_keys=True)
