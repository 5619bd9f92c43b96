"""The desk's losses become tasks: an agent looks why a trade lost, as long as few enough are asked for in a day."""

import logging
from collections.abc import Iterator
from typing import Final

import anyio

from memmcp_server.config import TasksSection
from memmcp_server.domain.memory import Memory
from memmcp_server.domain.news import Batch
from memmcp_server.domain.task import TaskFields
from memmcp_server.domain.times import NS_PER_S
from memmcp_server.errors import MemoryServerError, Unavailable
from memmcp_server.ports import Clock

from .news import News
from .tasks import RUNTIME, Tasks

KIND_REVIEW_LOSS: Final = "review_loss"
TRADING_NAMESPACE: Final = "trading"
WAITING_MAX: Final = 64
RETRY_S: Final = 5.0
_DAY_NS: Final = 86_400 * NS_PER_S

logger = logging.getLogger(__name__)


class LossReviews:
    """Follows the journal. Each trade is asked about once, also over restarts: its trajectory is the task's key."""

    def __init__(self, news: News, tasks: Tasks, clock: Clock, section: TasksSection) -> None:
        self._news = news
        self._tasks = tasks
        self._clock = clock
        self._section = section
        self._waiting: list[Memory] = []
        self._wake = anyio.Event()
        self._day = 0
        self._filed = 0

    async def run(self) -> None:
        """File tasks for ever; nothing where the operator wants none."""
        if not self._section.loss_reviews_per_day_max:
            return
        with self._news.listening(self._note):
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                while self._waiting:
                    try:
                        await self._file(self._waiting[0])
                    except Unavailable as error:
                        logger.warning("a loss is reviewed later: %s", error)
                        await anyio.sleep(RETRY_S)
                        continue
                    except MemoryServerError as error:
                        logger.warning("a loss is not reviewed: %s", error)
                    del self._waiting[0]

    def _note(self, batch: Batch) -> None:
        found = list(losses_in(batch, self._section.loss_lamports_min))
        self._waiting += found[: max(0, WAITING_MAX - len(self._waiting))]
        if found:
            self._wake.set()

    async def _file(self, loss: Memory) -> None:
        day = self._clock.now_ns() // _DAY_NS
        if day != self._day:
            self._day, self._filed = day, 0
        if self._filed >= self._section.loss_reviews_per_day_max:
            return
        fields = TaskFields(
            title=f"Why did trade {loss.id[:64]} lose?",
            kind=KIND_REVIEW_LOSS,
            text=(
                "Read its trajectory (why, trajectory://) and say what led to the loss: signal, size, timing, costs or "
                "luck. Keep what holds beyond this trade with memory_write(kind=lesson), and answer with one paragraph."
            ),
            context=(loss.id,),
            key=f"loss:{loss.id}",
        )
        done = await self._tasks.file(fields, RUNTIME)
        self._filed += not done.duplicate


def losses_in(batch: Batch, lamports_min: int) -> Iterator[Memory]:
    """Yield trades of the desk that ended with a loss of that many lamports or more."""
    for change in batch.changes:
        memory = change.memory
        if memory is None or memory.kind != "trajectory" or memory.namespace != TRADING_NAMESPACE:
            continue
        reward, unit = memory.metadata.get("reward"), memory.metadata.get("reward_unit")
        if type(reward) is int and unit == "lamports" and -reward >= lamports_min:
            yield memory
