"""A long trajectory in a few lines: an extract of its steps, made without a language model and bounded in tokens.

The first and the last step come first. Of the others those are told that weigh most: by their kind, their importance,
the largest change, and by having been cited later. Steps keep their order; what is left out is counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .episodes import headline
from .identifiers import MemoryId
from .memory import IMPORTANCE_DEFAULT, Memory
from .times import NS_PER_S
from .trajectory import Trajectory

RECAP_TOKENS_MAX = 400
"""Of a recap that is read. What is embedded at closing has less: the model reads 256 tokens."""

CLOSING_TOKENS_MAX = 220
STEP_CHARS_MAX = 200
KINDS_TOLD_MAX = 12
BYTES_PER_TOKEN = 3
"""A cautious estimate over common tokenizers."""

KIND_WEIGHTS: Mapping[str, float] = {
    "error": 4.0,
    "failure": 4.0,
    "lesson": 4.0,
    "decision": 3.0,
    "fill": 3.0,
    "rejection": 3.0,
    "result": 3.0,
    "verdict": 2.0,
    "signal": 2.0,
    "order": 1.0,
}
CHANGE_FIELDS = ("change", "delta", "pnl", "profit", "reward", "realised_lamports", "return_bps", "change_bps")
"""Numbers in a step's metadata that say how much it changed; the largest of each field matters."""

CHANGE_WEIGHT = 3.0
CITED_WEIGHT = 2.0
PINNED_WEIGHT = 2.0
IMPORTANCE_STEP = 25


@dataclass(frozen=True, slots=True)
class RecapStep:
    """``text`` is the beginning of the step on one line; ``why`` names what it was chosen for."""

    id: MemoryId
    position: int
    kind: str
    ts_event_ns: int
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Recap:
    """``kinds`` counts all steps, the most frequent kind first. ``unread`` lie between those that were looked at."""

    heading: str
    lasted_ns: int
    kinds: tuple[tuple[str, int], ...]
    steps: tuple[RecapStep, ...]
    steps_total: int
    left_out: int
    unread: int

    @property
    def text(self) -> str:
        """The whole recap as lines."""
        return "\n".join([self.heading, *self.body])

    @property
    def body(self) -> list[str]:
        """The lines after the heading."""
        if not self.steps_total:
            return ["No steps were written."]
        counts = ", ".join(f"{number} {kind}" for kind, number in self.kinds[:KINDS_TOLD_MAX])
        lines = [f"{_counted(self.steps_total, 'step')} in {duration_text(self.lasted_ns)}: {counts}."]
        lines += [f"- {step.kind}: {step.text}" for step in self.steps]
        if self.left_out:
            lines.append(f"({_counted(self.left_out, 'step')} left out.)")
        return lines


def recap(
    trajectory: Trajectory,
    steps: Sequence[Memory],
    *,
    kinds: Mapping[str, int],
    cited: Mapping[MemoryId, int],
    tokens_max: int = RECAP_TOKENS_MAX,
) -> Recap:
    """Return the trajectory retold within the budget.

    Args:
        trajectory: its head; an open one is told as far as it has come
        steps: those that were looked at, in order, the first and the last among them
        kinds: how many steps there are of each kind, all together
        cited: how often a step was cited by others
        tokens_max: bound of ``Recap.text``; heading and counts are told whatever it is
    """
    total = max(trajectory.steps, len(steps))
    counted = tuple(sorted(kinds.items(), key=lambda each: (-each[1], each[0])))
    end_ns = trajectory.closed_at_ns or (steps[-1].ts_event_ns if steps else trajectory.opened_at_ns)
    heading = _heading(trajectory)

    def made(chosen: Sequence[RecapStep]) -> Recap:
        ordered = tuple(sorted(chosen, key=lambda step: step.position))
        lasted_ns = max(0, end_ns - trajectory.opened_at_ns)
        left_out, unread = total - len(ordered), total - len(steps)
        return Recap(heading, lasted_ns, counted, ordered, total, left_out, unread)

    chosen: list[RecapStep] = []
    for step in _by_weight(steps, cited):
        tried = [*chosen, step]
        if tokens_of(made(tried).text) <= tokens_max:
            chosen = tried
    return made(chosen)


def tokens_of(text: str) -> int:
    """Return a cautious estimate of what a text costs a model."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def duration_text(nanoseconds: int) -> str:
    """Return the two largest units, as people say them."""
    seconds = nanoseconds // NS_PER_S
    parts = []
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number} {name}")
    return " ".join(parts[:2]) or "0 s"


def one_line(text: str, chars_max: int = STEP_CHARS_MAX) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text[: 4 * chars_max].split())
    return line if len(line) <= chars_max else f"{line[: chars_max - 3].rstrip()}..."


def _heading(trajectory: Trajectory) -> str:
    if trajectory.outcome is None:
        return f"Under way: {trajectory.title}."
    return headline(trajectory, trajectory.outcome, trajectory.reward, trajectory.reward_unit)


def _by_weight(steps: Sequence[Memory], cited: Mapping[MemoryId, int]) -> list[RecapStep]:
    """Return the steps in the order in which they are worth a line: the ends first, then by weight, the later first."""
    if not steps:
        return []
    changed = _largest_changes(steps)
    weighed = []
    for step in steps:
        reasons = _reasons(step, cited.get(step.id, 0), is_largest=step.id in changed)
        if step is steps[0] or step is steps[-1]:
            name = "first" if step is steps[0] else "last"
            reasons = {name: 100.0, **reasons}
        weighed.append((sum(reasons.values()), step, ", ".join(name for name, weight in reasons.items() if weight > 0)))
    weighed.sort(key=lambda each: (-each[0], -each[1].position))
    return [
        RecapStep(step.id, step.position, step.kind, step.ts_event_ns, one_line(step.content), why or "room was left")
        for _, step, why in weighed
    ]


def _reasons(step: Memory, times_cited: int, *, is_largest: bool) -> dict[str, float]:
    weights = {
        step.kind: KIND_WEIGHTS.get(step.kind, 0.0),
        "important": (step.importance - IMPORTANCE_DEFAULT) / IMPORTANCE_STEP,
        "pinned": PINNED_WEIGHT if step.pinned else 0.0,
        "largest change": CHANGE_WEIGHT if is_largest else 0.0,
        "cited": CITED_WEIGHT + min(times_cited, 4) / 4 if times_cited else 0.0,
    }
    return {name: weight for name, weight in weights.items() if weight}


def _largest_changes(steps: Sequence[Memory]) -> set[MemoryId]:
    """Return the step with the largest number under each of the fields that tell a change."""
    largest: dict[str, tuple[float, MemoryId]] = {}
    for step in steps:
        for name in CHANGE_FIELDS:
            value = step.metadata.get(name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not value:
                continue
            if name not in largest or abs(value) > largest[name][0]:
                largest[name] = (abs(value), step.id)
    return {memory_id for _, memory_id in largest.values()}


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
