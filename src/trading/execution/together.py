"""Questions that do not wait for each other: asked at once, answered when all are, over when one of them fails."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, ParamSpec, TypeVar

import anyio
from anyio.abc import TaskGroup

from trading.errors import TradingError

P = ParamSpec("P")
T = TypeVar("T")


class Answer(Generic[T]):
    """What was asked; ``value`` is there once the block of ``together`` has ended."""

    def __init__(self) -> None:
        self._values: list[T] = []

    @property
    def value(self) -> T:
        return self._values[0]

    def is_now(self, value: T) -> None:
        self._values.append(value)


class Asking:
    """Made by ``together``."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self.problems: list[TradingError] = []

    def __call__(self, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> Answer[T]:
        answer: Answer[T] = Answer()

        async def ask() -> None:
            try:
                answer.is_now(await call(*args, **kwargs))
            except TradingError as error:
                self.problems.append(error)
                self._tasks.cancel_scope.cancel()

        self._tasks.start_soon(ask)
        return answer


@asynccontextmanager
async def together() -> AsyncIterator[Asking]:
    """Ask what is named within the block at once, and leave it when all have answered.

    Raises: what the first of them failed with, by itself and not as one of a group; the others are given up then.
    """
    async with anyio.create_task_group() as tasks:
        asking = Asking(tasks)
        yield asking
    if asking.problems:
        raise asking.problems[0]
