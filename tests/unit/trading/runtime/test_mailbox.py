"""Questions that nobody waits for any more, and questions that break while they are answered."""

from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from trading.errors import InvalidInput, LedgerMismatch, Unavailable
from trading.runtime.mailbox import LEFT_MAX, Ask, Mailbox
from trading.runtime.session import Session

pytestmark = pytest.mark.anyio

SESSION = cast(Session, SimpleNamespace(cycles=7))


async def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    """Else a caller who was told to repeat with the same key would have it done twice."""
    mailbox = Mailbox(4, 0.01, lambda: None)
    done: list[str] = []
    with pytest.raises(Unavailable, match="did not answer"):
        await mailbox.ask(lambda _session: done.append("late"))
    with anyio.move_on_after(0.01):
        await mailbox.ask(lambda _session: done.append("cancelled"))
    for question in mailbox.drain():
        question.execute(SESSION)
    assert done == []


async def test_a_refusal_is_for_the_asker_and_anything_else_for_the_loop() -> None:
    def refuse(_session: Session) -> Any:
        raise InvalidInput("no", field="mint")

    refused = Ask(refuse)
    refused.execute(SESSION)
    refused.settle()
    with pytest.raises(InvalidInput):
        await refused.answer()
    for error in (LedgerMismatch("the books do not add up"), ValueError("a slip")):

        def broken(_session: Session, error: Exception = error) -> Any:
            raise error

        with pytest.raises(type(error)):
            Ask(broken).execute(SESSION)


async def test_a_question_asked_again_forgets_its_first_answer() -> None:
    answers: list[InvalidInput | int] = [InvalidInput("not yet", field="mint"), 7]

    def run(_session: Session) -> int:
        now = answers.pop(0)
        if isinstance(now, InvalidInput):
            raise now
        return now

    question = Ask(run)
    question.execute(SESSION)
    question.execute(SESSION)
    question.settle()
    assert await question.answer() == 7


@pytest.mark.requirement("T14")
async def test_what_is_left_wakes_nobody_takes_no_room_and_comes_before_questions() -> None:
    woken: list[int] = []
    mailbox = Mailbox(1, 0.01, lambda: woken.append(1))
    done: list[str] = []
    for number in range(LEFT_MAX + 2):
        mailbox.leave(lambda _session, number=number: done.append(f"left {number}"))  # type: ignore[misc]
    assert (woken, len(mailbox)) == ([], 0)
    with anyio.move_on_after(0):
        await mailbox.ask(lambda _session: done.append("asked"))
    for question in mailbox.drain():
        question.execute(SESSION)
    assert done == [f"left {number}" for number in range(2, LEFT_MAX + 2)]
    mailbox.close(Unavailable("it is over"))
    mailbox.leave(lambda _session: done.append("too late"))
    assert mailbox.drain() == []
