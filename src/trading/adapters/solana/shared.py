"""One question for all who ask it while it is under way."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from trading.errors import ChainUnavailable

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class _Asked(Generic[_Value]):
    def __init__(self) -> None:
        self.done = anyio.Event()
        self.values: list[_Value] = []
        self.problem = "the endpoints were closed"


class Shared(Generic[_Key, _Value]):
    """Questions live in ``tasks``: that one of those who wait for the answer is cancelled concerns nobody else."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._asked: dict[_Key, _Asked[_Value]] = {}

    async def get(self, key: _Key, ask: Callable[[], Awaitable[_Value]]) -> _Value:
        """Return the answer. Raises: ChainUnavailable as ``ask`` does."""
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = _Asked()
            self._tasks.start_soon(self._run, key, asked, ask)
        await asked.done.wait()
        if not asked.values:
            raise ChainUnavailable(asked.problem, hint="nothing is known about the chain because of this")
        return asked.values[0]

    async def _run(self, key: _Key, asked: _Asked[_Value], ask: Callable[[], Awaitable[_Value]]) -> None:
        try:
            asked.values.append(await ask())
        except ChainUnavailable as error:
            asked.problem = error.message
        finally:
            del self._asked[key]
            asked.done.set()
