"""Questions asked at once: one error as itself, the others given up, nothing lost when all answer."""

import anyio
import anyio.lowlevel
import pytest

from trading.errors import RouteRefused
from trading.execution.together import together

pytestmark = pytest.mark.anyio


async def test_all_are_out_at_once_and_each_answer_is_its_own() -> None:
    asked: list[str] = []
    all_asked = anyio.Event()

    async def question(name: str) -> str:
        asked.append(name)
        if len(asked) == 3:
            all_asked.set()
        await all_asked.wait()
        return name.upper()

    with anyio.fail_after(30):
        async with together() as ask:
            answers = [ask(question, name) for name in "abc"]
    assert [each.value for each in answers] == ["A", "B", "C"]


async def test_the_first_error_comes_as_itself_and_the_others_are_given_up() -> None:
    given_up: list[str] = []

    async def endless() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            given_up.append("endless")

    async def refused() -> None:
        await anyio.lowlevel.checkpoint()
        raise RouteRefused("no way", reason="no_route")

    async def both() -> None:
        async with together() as ask:
            ask(endless)
            ask(refused)

    with anyio.fail_after(30), pytest.raises(RouteRefused, match="no way"):
        await both()
    assert given_up == ["endless"]


async def test_two_that_fail_in_the_same_moment_are_one_error() -> None:
    async def refused(text: str) -> None:
        raise RouteRefused(text, reason="no_route")

    async def both() -> None:
        async with together() as ask:
            ask(refused, "one")
            ask(refused, "two")

    with pytest.raises(RouteRefused, match="one"):
        await both()


async def test_who_is_cancelled_gets_no_error_of_the_questions() -> None:
    begun = anyio.Event()
    ended: list[str] = []

    async def endless() -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("endless")

    with anyio.CancelScope() as scope:
        async with together() as ask:
            ask(endless)
            await begun.wait()
            scope.cancel()
    assert scope.cancelled_caught
    assert ended == ["endless"]
