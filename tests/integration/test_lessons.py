"""The replays of ``benchmarks/lessons``, a few of them and by words alone: is the lesson of a loss found?"""

from pathlib import Path

import pytest
from benchmarks import lessons
from tests.support.stage import staged

from memmcp_server.domain.episodes import outcome_of
from memmcp_server.domain.identifiers import TrajectoryId
from memmcp_server.domain.memory import MemoryFilter

pytestmark = pytest.mark.anyio
REPLAYS = 20
SEED = 3


@pytest.mark.requirement("M13")
async def test_the_planted_lesson_of_a_loss_is_found_by_words_alone(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        ranks = await lessons.asked(stage.services, await lessons.played(stage.services, REPLAYS, SEED))
    told = lessons.table(ranks)
    assert sum(map(len, ranks.values())) == 3 * REPLAYS
    assert lessons.share(ranks["with the token"], 3) >= 0.95, told
    assert lessons.share(ranks["plain"], 3) >= 0.5, told  # "what should I avoid" shares no word with any lesson
    assert lessons.share(ranks["by the situation"], 10) >= 0.6, told


async def test_a_replay_holds_the_lesson_of_the_last_loss_among_others_and_the_desks_trades(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        [first] = await lessons.played(stage.services, 1, SEED)
        journal = stage.services.journal
        where = MemoryFilter(namespace=first.namespace)
        held = await journal.page(where, after=None, limit=500, newest_first=False)
        learned = [memory for memory in held if memory.kind == "lesson"]
        of_losses = [memory for memory in learned if outcome_of(memory) < 0]
        assert max(of_losses, key=lambda memory: memory.ts_event_ns).id == first.lesson_id
        assert len(of_losses) == lessons.OTHERS - lessons.WINNERS
        assert sum(outcome_of(memory) > 0 for memory in learned) == lessons.WINNERS
        trades = [memory for memory in held if memory.kind == "trajectory" and memory.provenance.agent == "xavier"]
        assert len(trades) == lessons.DESK_TRADES
        assert all(outcome_of(memory) for memory in trades)
        steps = await journal.steps(TrajectoryId(trades[0].id), after=None, limit=50)
        assert [step.kind for step in steps] == ["signal", "verdict", "order", "fill", "verdict", "order", "fill"]
        of_agents = [memory for memory in held if memory.kind == "trajectory" and memory.provenance.agent != "xavier"]
        last = max(of_agents, key=lambda memory: memory.ts_event_ns)
        [planted] = await journal.memories([first.lesson_id])
        assert planted.metadata["trajectory_id"] == last.id


async def test_the_same_seed_is_the_same_replay_and_another_is_another(tmp_path: Path) -> None:
    questions = []
    for place, seed in enumerate((SEED, SEED, SEED + 1)):
        async with staged(tmp_path / str(place)) as stage:
            questions.append([each.questions for each in await lessons.played(stage.services, 2, seed)])
    assert questions[0] == questions[1] != questions[2]


@pytest.mark.parametrize(
    ("ranks", "within", "expected"), [([1, 3, None, 4], 3, 0.5), ([1, 3, None, 4], 1, 0.25), ([None], 10, 0.0)]
)
def test_shares_count_what_was_not_found(ranks: list[int | None], within: int, expected: float) -> None:
    assert lessons.share(ranks, within) == expected


def test_the_table_ends_with_all_questions_together() -> None:
    made = lessons.table({"plain": [1, None], "with the token": [3, 9]}).splitlines()
    assert made[2] == "| plain | 2 | 50.0% | 50.0% | 50.0% |"
    assert made[-1] == "| all | 4 | 25.0% | 50.0% | 75.0% |"
