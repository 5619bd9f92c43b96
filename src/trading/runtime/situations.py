"""What an earlier run remembers, for a run that begins with it: its situations with what came of them, and when."""

import hashlib
from collections.abc import Sequence
from math import isqrt
from typing import Any, Final

from trading.adapters.canonical import canonical_json, parse_json
from trading.engine.control import Control
from trading.engine.kernel import Kernel
from trading.errors import InvalidInput
from trading.model import commands
from trading.model.event_codec import decode_record, encode_record
from trading.model.profile import Profile
from trading.model.recall import Outcome, PastSituation, Situation
from trading.ports import Journal

from .documents import Document
from .recorded_runs import recorded_run

KINDS: Final = ("give_situations", "situation_met", "forecast_scored", "position_closed")
AT_ONCE: Final = 1_000
"""Situations in a row of the journal."""
ACTOR: Final = "operator"


def past_situations(journal: Journal) -> list[PastSituation]:
    """Return the situations of a run whose outcome its rows know, those that it was given itself among them, in the
    order in which that was known.

    One that was traded is known when its forecast was scored and its trade was closed, whichever came later.
    """
    met: dict[str, Situation] = {}
    first_of: dict[str, str] = {}
    moves: dict[str, tuple[int, int]] = {}
    nets: dict[str, tuple[int, int]] = {}
    given: dict[str, PastSituation] = {}
    for row in journal.rows(kinds=KINDS):
        body = parse_json(row.body)
        if row.kind == "situation_met":
            situation = Situation(**body["situation"])
            met[situation.id] = situation
            first_of.setdefault(situation.trajectory_id, situation.id)
        elif row.kind == "forecast_scored":
            moves[body["score"]["forecast_id"]] = (row.ts_ns, body["score"]["realised_bps"])
        elif row.kind == "position_closed":
            name = first_of.get(body["trajectory_id"])
            if name is not None:
                nets[name] = (row.ts_ns, body["return_bps"])
        else:
            each_of = [decode_record(PastSituation, each) for each in body["situations"]]
            given.update((each.situation.id, each) for each in each_of)
    found = given | {name: _past(situation, moves, nets) for name, situation in met.items() if name in moves}
    return sorted(found.values(), key=lambda each: (each.outcome.known_ns, each.situation.id))


def _past(situation: Situation, moves: dict[str, tuple[int, int]], nets: dict[str, tuple[int, int]]) -> PastSituation:
    scored_ns, move = moves[situation.id]
    closed_ns, net = nets.get(situation.id, (scored_ns, move - situation.cost_bps))
    return PastSituation(situation, Outcome(max(scored_ns, closed_ns), move, net))


def situations_of(named: str, profile: Profile) -> tuple[PastSituation, ...]:
    """Return what the recorded run of that name remembers (``recorded_runs``), nothing for "".

    Raises: InvalidInput for a run that is not there or a profile that recalls nothing, JournalUnavailable.
    """
    if not named:
        return ()
    if not profile.recall.is_on:
        msg = f"situations: the profile {profile.name} recalls nothing (recall.is_on)"
        raise InvalidInput(msg, field="situations", hint="switch recall on in a profile of your own, and name it")
    with recorded_run(named) as run:
        return tuple(past_situations(run.journal))


def standing(kernel: Kernel, strategy: str) -> Document | None:
    """Return how recall stands with a strategy, None where the profile recalls nothing: how many situations it knows,
    how many answers were scored, their root mean square errors in bps, and whether it shifts what is stated."""
    rules, memory = kernel.state.profile.recall, kernel.state.situations
    if not rules.is_on:
        return None
    scored, stated, recalled = memory.scores(strategy)
    return {
        "known": memory.known(strategy),
        "scored": scored,
        "stated_error_bps": isqrt(stated // scored) if scored else None,
        "recalled_error_bps": isqrt(recalled // scored) if scored else None,
        "shifts": rules.scores_min == 0 or memory.shifts(strategy),
    }


def digest_of(past: Sequence[PastSituation]) -> str:
    """Return a hash of the situations, "" of none: what a run rests on is part of its name."""
    if not past:
        return ""
    digest = hashlib.sha256()
    for each in past:
        body: dict[str, Any] = encode_record(each)
        digest.update(canonical_json(body))
    return digest.hexdigest()


def give(kernel: Kernel, past: Sequence[PastSituation]) -> None:
    """Write situations of earlier runs into a run that has just begun, so that its own rows hold all it rests on."""
    control = Control(kernel)
    for begin in range(0, len(past), AT_ONCE):
        part = tuple(past[begin : begin + AT_ONCE])
        control.take(commands.GiveSituations(f"situations/{begin}", ACTOR, "what earlier runs remember", part))
