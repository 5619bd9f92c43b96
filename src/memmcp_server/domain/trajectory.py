"""Ordered steps of a session or a trade, closed with an outcome.

A trajectory is itself a memory (kind ``trajectory``, same id, embedded when opened and when closed);
its steps are memories that carry its ``trajectory_id``, in journal order. The trajectory's own memory carries none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .identifiers import Json, Namespace, Seq, TrajectoryId
from .memory import Memory, Provenance


@dataclass(frozen=True, slots=True)
class OpenTrajectory:
    """Command: begin a trajectory. Repeating it with the same id changes nothing.

    ``text`` is what the trajectory's memory says until it is closed.
    """

    id: TrajectoryId
    namespace: Namespace
    kind: str
    title: str
    text: str
    ts_event_ns: int
    metadata: Mapping[str, Json] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True, slots=True)
class CloseTrajectory:
    """Command: end a trajectory with its outcome; ``text`` becomes the next version of its memory.

    Closing a closed trajectory with the same outcome changes nothing; with another outcome it is a conflict.
    ``reward`` is a plain number in the unit that ``reward_unit`` names (``lamports`` for trades).
    """

    id: TrajectoryId
    outcome: str
    text: str
    ts_event_ns: int
    reward: int | None = None
    reward_unit: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)


CREDIT_UNIT = 1_000
_WON = frozenset(
    """won win success succeeded done complete completed profit passed solved fixed worked good""".split()  # noqa: SIM905
)
_LOST = frozenset(
    """lost loss failure failed error aborted abandoned crashed broken bad timed_out timeout stopped_out liquidated
    rugged""".split()  # noqa: SIM905
)
_REMARK = re.compile(r"[:;,.(]")
"""What follows the outcome's own word: "failed: the build was red"."""


def credit_of(outcome: str, reward: int | None) -> int:
    """Return the credit that an outcome gives to what was cited: plus or minus ``CREDIT_UNIT``, 0 when it says nothing.

    The reward decides by its sign; without one the outcome's own word does, the remark behind it set aside.
    """
    if reward:
        return CREDIT_UNIT if reward > 0 else -CREDIT_UNIT
    word = "_".join(_REMARK.split(outcome, maxsplit=1)[0].casefold().replace("-", " ").split())
    return CREDIT_UNIT * ((word in _WON) - (word in _LOST))


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A trajectory as the journal holds it; ``steps`` counts its step memories."""

    id: TrajectoryId
    namespace: Namespace
    kind: str
    title: str
    tags: tuple[str, ...]
    metadata: Mapping[str, Json]
    agent: str
    opened_at_ns: int
    closed_at_ns: int | None
    outcome: str | None
    reward: int | None
    reward_unit: str
    steps: int


@dataclass(frozen=True, slots=True)
class TrajectorySteps:
    """One trajectory with a page of its steps; ``next_after`` None: no more."""

    trajectory: Trajectory
    steps: tuple[Memory, ...]
    next_after: Seq | None


@dataclass(frozen=True, slots=True)
class TrajectoryList:
    """A page of trajectories, newest opened first; ``next_cursor`` None: no more."""

    trajectories: tuple[Trajectory, ...]
    next_cursor: str | None
