"""What came of a memory: a sign that ranking, credit and summaries agree on."""

import pytest
from tests.doubles.memories import T0_NS, a_memory

from memmcp_server.domain.episodes import headline, learned_from, outcome_of, reward_text, sign_of
from memmcp_server.domain.identifiers import Namespace, TrajectoryId
from memmcp_server.domain.trajectory import CREDIT_UNIT, Trajectory, credit_of

pytestmark = pytest.mark.requirement("M13")


@pytest.mark.parametrize(
    ("metadata", "sign"),
    [
        ({}, 0),
        ({"outcome": "won"}, 1),
        ({"outcome": "lost"}, -1),
        ({"outcome": "LOST"}, -1),
        ({"outcome": "failed: the build was red"}, -1),
        ({"outcome": "timed out"}, -1),
        ({"outcome": "done, at last"}, 1),
        ({"outcome": "whatever"}, 0),
        ({"outcome": "won", "reward": -5}, -1),
        ({"outcome": "lost", "reward": 5}, 1),
        ({"outcome": "lost", "reward": 0}, -1),
        ({"reward": 0.5}, 1),
        ({"reward": True, "outcome": "lost"}, -1),
        ({"reward": "7"}, 0),
        ({"outcome": ["won"]}, 0),
        ({"outcome": None, "reward": None}, 0),
    ],
)
def test_the_reward_decides_by_its_sign_and_without_one_the_word_does(metadata: dict[str, object], sign: int) -> None:
    assert outcome_of(a_memory("m", "x", metadata=metadata)) == sign


@pytest.mark.parametrize("outcome", ["won", "lost", "even", "failed: x", "stopped-out"])
@pytest.mark.parametrize("reward", [None, -3, 0, 3])
def test_the_sign_is_that_of_the_credit(outcome: str, reward: int | None) -> None:
    assert sign_of(outcome, reward) * CREDIT_UNIT == credit_of(outcome, reward)


def a_trajectory(**fields: object) -> Trajectory:
    given: dict[str, object] = {
        "id": TrajectoryId("t"),
        "namespace": Namespace("team"),
        "kind": "task",
        "title": "Mend the flaky test",
        "tags": (),
        "metadata": {},
        "agent": "cursor",
        "opened_at_ns": T0_NS,
        "closed_at_ns": None,
        "outcome": None,
        "reward": None,
        "reward_unit": "",
        "steps": 0,
        **fields,
    }
    return Trajectory(**given)  # type: ignore[arg-type]


def test_a_headline_says_first_in_common_words_whether_it_went_well() -> None:
    task, trade = a_trajectory(), a_trajectory(kind="trade", title="momentum buys BONK")
    assert headline(task, "failed", None, "") == "Failed: Mend the flaky test (outcome failed)."
    assert headline(task, "done", 3, "points") == "Succeeded: Mend the flaky test (outcome done, reward 3 points)."
    assert headline(task, "paused", None, "") == "Ended: Mend the flaky test (outcome paused)."
    assert headline(trade, "lost", -12_300_000, "lamports") == (
        "Failed, a losing trade: momentum buys BONK (outcome lost, reward -0.0123 SOL)."
    )


def test_a_lesson_says_in_common_words_what_it_was_learned_from() -> None:
    task = a_trajectory()
    assert learned_from(task, "lost", None, "").startswith(
        "Learned from a mistake, from what went wrong and failed: Me"
    )
    assert learned_from(task, "won", 1, "x").startswith("Learned from a success, from what worked well: Mend")
    assert learned_from(task, "paused", None, "") == "Learned from: Mend the flaky test (outcome paused)."


@pytest.mark.parametrize(
    ("reward", "unit", "text"),
    [
        (0, "lamports", "0 SOL"),
        (1, "lamports", "0.000000001 SOL"),
        (-1_000_000_000, "lamports", "-1 SOL"),
        (2**63 - 1, "lamports", "9223372036.854775807 SOL"),
        (7, "", "7"),
        (-7, "tests", "-7 tests"),
    ],
)
def test_a_reward_is_told_exactly(reward: int, unit: str, text: str) -> None:
    assert reward_text(reward, unit) == text
