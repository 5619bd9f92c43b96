"""Episodes: closed trajectories and the lessons drawn from them, told apart by what came of them."""

from typing import Literal

from .memory import Memory
from .trajectory import Trajectory, credit_of

KIND_TRAJECTORY = "trajectory"
KIND_STEP = "step"
KIND_LESSON = "lesson"

Sign = Literal[-1, 0, 1]

LAMPORTS = "lamports"
LAMPORTS_PER_SOL = 1_000_000_000

_RESULTS: dict[Sign, str] = {-1: "Failed", 0: "Ended", 1: "Succeeded"}
_RESULTS_OF_TRADES: dict[Sign, str] = {-1: "Failed, a losing trade", 0: "Ended even", 1: "Succeeded, a winning trade"}


def sign_of(outcome: str, reward: float | None) -> Sign:
    """Return 1 for what went well, -1 for what went badly, 0 for what does not say: the sign of the credit it gives."""
    if reward:
        return 1 if reward > 0 else -1
    credit = credit_of(outcome, None)
    return 1 if credit > 0 else -1 if credit < 0 else 0


def outcome_of(memory: Memory) -> Sign:
    """Return what came of what the memory tells: 1 it went well, -1 badly, 0 it does not say.

    Closing a trajectory writes ``outcome`` and ``reward`` into the metadata of its memory and of its lesson. An open
    trajectory has neither. Metadata is what anybody wrote there: a value of another type says nothing.
    """
    outcome, reward = memory.metadata.get("outcome"), memory.metadata.get("reward")
    is_number = isinstance(reward, int | float) and not isinstance(reward, bool)
    return sign_of(outcome if isinstance(outcome, str) else "", reward if is_number else None)  # type: ignore[arg-type]


_LEARNED: dict[Sign, str] = {
    -1: "Learned from a mistake, from what went wrong and failed",
    0: "Learned from",
    1: "Learned from a success, from what worked well",
}


def headline(trajectory: Trajectory, outcome: str, reward: int | None, reward_unit: str) -> str:
    """Return the first sentence of an episode: whether it went well, what it was, and what came of it.

    The result stands first and in common words, so that "what failed" and "what worked" find it by words and meaning.
    """
    is_trade = trajectory.kind == "trade" or reward_unit == LAMPORTS
    results = _RESULTS_OF_TRADES if is_trade else _RESULTS
    return f"{results[sign_of(outcome, reward)]}: {_what_came(trajectory, outcome, reward, reward_unit)}."


def learned_from(trajectory: Trajectory, outcome: str, reward: int | None, reward_unit: str) -> str:
    """Return what a lesson says of where it comes from, in the words in which people ask for lessons."""
    return f"{_LEARNED[sign_of(outcome, reward)]}: {_what_came(trajectory, outcome, reward, reward_unit)}."


def _what_came(trajectory: Trajectory, outcome: str, reward: int | None, reward_unit: str) -> str:
    came = f"outcome {outcome}" if reward is None else f"outcome {outcome}, reward {reward_text(reward, reward_unit)}"
    return f"{trajectory.title} ({came})"


def reward_text(reward: int, unit: str) -> str:
    """Return the reward as people read it; lamports in SOL."""
    if unit != LAMPORTS:
        return f"{reward} {unit}".strip()
    whole, rest = divmod(abs(reward), LAMPORTS_PER_SOL)
    digits = f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
    return f"{'-' if reward < 0 else ''}{digits} SOL"
