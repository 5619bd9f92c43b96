"""What a desk tells of its own work beside its trading: its node, transactions, profile log and sidecar log."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import anyio.to_thread

from trading.errors import InvalidInput

from .daily_results import daily_results, with_results
from .documents import Document
from .history import RunView
from .nodes import node_document
from .profile_log import profile_log
from .running_costs import RunningCosts
from .sidecar_log import sidecar_log
from .stage import Stage
from .transactions import Executing, Facts, facts_of, live_page, paper_page

LIMIT_MAX: Final = 200
CURSOR_DIGITS_MAX: Final = 18
COST_DAYS_MAX: Final = 400


def before_of(cursor: str | None) -> int | None:
    """Return the number that a cursor stands for. Raises: InvalidInput."""
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > CURSOR_DIGITS_MAX:
        msg = f"cursor: {cursor!r} is none that this desk gave"
        raise InvalidInput(msg, field="cursor")
    return int(cursor)


def bounded_limit(limit: int, most: int = LIMIT_MAX) -> int:
    """Return the limit. Raises: InvalidInput."""
    if not 1 <= limit <= most:
        msg = f"limit: 1 to {most}, not {limit}"
        raise InvalidInput(msg, field="limit")
    return limit


class Telling:
    """Reads committed rows in a worker thread; the loop waits for none of it. ``live`` None: the money is paper."""

    def __init__(self, stage: Stage, figures: Callable[[], Document]) -> None:
        self._stage = stage
        self._figures = figures
        self.live: Executing | None = None
        self.others: Callable[[Decimal | None], list[Document]] = lambda _sol_usd: []
        """Tells of the execution nodes beside this desk, where there are any."""
        self._known: tuple[tuple[str, int], Facts] | None = None

    async def nodes(self, run: RunView) -> Document:
        # What the event loop owns is taken here, rows are read beside it.
        snapshot, figures = self._stage.document(), self._figures()
        facts = await anyio.to_thread.run_sync(self._facts, run)
        own = node_document(self._stage, snapshot, figures, facts, self.live)
        return {"nodes": [own, *self.others(self._stage.current.sol_usd)]}

    def _facts(self, run: RunView) -> Facts:
        """Return what the rows say; on paper they are read again only after more of them came."""
        key, known = (run.run_id, run.journal.horizon()), self._known
        if self.live is None and known is not None and known[0] == key:
            return known[1]
        found = facts_of(run, self.live)
        self._known = (key, found)
        return found

    async def costs(self, run: RunView, counted: RunningCosts | None, days: int) -> Document:
        """Return wire.CostsAnswer without its context; ``counted`` None: nobody counts."""
        if not 1 <= days <= COST_DAYS_MAX:
            msg = f"days: 1 to {COST_DAYS_MAX}, not {days}"
            raise InvalidInput(msg, field="days")
        found = self._stage.document()
        rows = [] if counted is None else counted.rows(days)
        if counted is not None and found["feed"]["kind"] == "market":  # only there are its days those of the costs
            results = await anyio.to_thread.run_sync(daily_results, run, counted.first_day(days))
            rows = with_results(rows, results, self._stage.current.sol_usd)
        return {"costs": found["costs"], "running": found.get("running_costs"), "days": rows}

    async def transactions(self, run: RunView, *, cursor: str | None, limit: int) -> Document:
        before, limit = before_of(cursor), bounded_limit(limit)
        if self.live is None:
            return await anyio.to_thread.run_sync(paper_page, run, before, limit)
        return await anyio.to_thread.run_sync(live_page, run, self.live, before, limit)

    async def profile_log(self, run: RunView, *, cursor: str | None, limit: int) -> Document:
        return await anyio.to_thread.run_sync(profile_log, run, before_of(cursor), bounded_limit(limit))

    async def sidecar_log(self, run: RunView, *, cursor: str | None, limit: int) -> Document:
        page = await anyio.to_thread.run_sync(sidecar_log, run, before_of(cursor), bounded_limit(limit))
        standing: Any = self._stage.document()["sidecar"]
        return {**page, "standing": standing}
