"""What the desk takes to run: calls, plans and a model, priced by the settings and set against what trading brought.

Counted in the event loop, beside the kernel and unknown to it: nothing here is in a run's journal. What is not priced
is named; a sum with something unknown in it is said to be the least, never the whole.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from trading.adapters.call_meter import CallMeter, Counts, metered
from trading.adapters.costs_file import CostsFile, CostsHeld, DayRow
from trading.adapters.spend_file import SpendFile
from trading.config import CostsSection
from trading.model.units import LAMPORTS_PER_SOL
from trading.sidecar.budget import DAY_NS

from .documents import Document, amount

DAYS_A_YEAR: Final = 365
MONTHS: Final = 12
MICRO: Final = Decimal(1_000_000)
SHOWN: Final = Decimal("0.0001")
RUNS_MAX: Final = 64
SAVE_TIMEOUT_S: Final = 3.0
ROWS_MAX: Final = 400

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Priced:
    """A sum in USD; ``unknown`` names what is in it without a price."""

    usd: Decimal
    unknown: tuple[str, ...] = ()

    def document(self) -> Document:
        return {"usd": _usd(self.usd), "is_complete": not self.unknown, "unknown": list(self.unknown)}


@dataclass(frozen=True, slots=True)
class _Summed:
    """What was counted until the last time that it was written down, for one run and day."""

    run_id: str
    day: int
    total: Priced
    document: Document


class RunningCosts:
    """Rows of days, kept in a file. ``now_ns`` is wall time: providers charge by it, whatever the market's time is."""

    def __init__(
        self,
        directory: Path,
        section: CostsSection,
        now_ns: Callable[[], int],
        *,
        has_model: bool = False,
        meter: CallMeter | None = None,
    ) -> None:
        self.meter = meter or CallMeter(section.credits)
        self._section = section
        self._now_ns = now_ns
        self._file = CostsFile(directory)
        self._spent = SpendFile(directory) if has_model else None
        self._held = CostsHeld()
        self._is_open = False
        self._is_saved = True
        self._summed: _Summed | None = None

    async def run(self) -> None:
        """Take in and write down what was counted until cancelled, and once more then."""
        try:
            while True:
                await self._noted()
                await anyio.sleep(self._section.save_s)
        finally:
            with anyio.move_on_after(SAVE_TIMEOUT_S, shield=True):
                await self._noted()

    async def _noted(self) -> None:
        try:
            await self.note()
        except Exception:
            logger.exception("running costs cannot be counted")

    async def note(self) -> None:
        """Take in what was counted. What cannot be written is kept and written the next time."""
        try:
            if not self._is_open:
                self._held = await anyio.to_thread.run_sync(self._file.load)
                self._is_open = True
            await self._take_in()
            if not self._is_saved:
                await anyio.to_thread.run_sync(self._file.save, self._held)
                self._is_saved = True
        except OSError as error:
            logger.warning("running costs cannot be kept: %s", error)
        self._summed = None

    async def _take_in(self) -> None:
        counted = self.meter.take()
        for name, counts in counted.items():
            self._row(self._today).endpoints.setdefault(name, Counts()).add(counts)
        self._is_saved = self._is_saved and not counted
        if self._spent is not None:
            with suppress(OSError):  # a file that nobody understands stops the sidecar, which says so
                spent = await anyio.to_thread.run_sync(self._spent.load)
                if spent.calls:
                    row, told = self._row(spent.day), (spent.calls, spent.tokens, spent.micro_usd)
                    if (row.model_calls, row.model_tokens, row.model_micro_usd) != told:
                        row.model_calls, row.model_tokens, row.model_micro_usd = told
                        self._is_saved = False

    @property
    def _today(self) -> int:
        return self._now_ns() // DAY_NS

    def _row(self, day: int) -> DayRow:
        """Return the row of a day; the oldest ones go into the sum of those before."""
        rows = self._held.rows
        if day not in rows:
            rows[day] = DayRow(day)
            self._held.rows = rows = dict(sorted(rows.items()))
        while len(rows) > self._section.days_max:
            oldest = rows.pop(next(iter(rows)))
            _add(self._held.before, oldest)
            self._held.days_before += 1
        return rows.get(day) or self._held.before

    def began(self, run_id: str) -> None:
        """Keep on which day a run began; costs of its days are set against its result."""
        if self._is_open and run_id not in self._held.runs:
            self._row(self._today)
            self._held.runs[run_id] = self._today
            while len(self._held.runs) > RUNS_MAX:
                self._held.runs.pop(next(iter(self._held.runs)))
            self._is_saved = False

    # Documents

    def document(self, snapshot: Mapping[str, object], sol_usd: Decimal | None) -> Document:
        """Return wire.RunningCosts: the sums, and the net result of the run that the snapshot is of."""
        run_id = str(snapshot["run_id"])
        self.began(run_id)
        found = self._summed
        # Snapshots are asked for far more often than anything is counted in.
        if found is None or (found.run_id, found.day) != (run_id, self._today):
            found = self._summed = self._summed_for(run_id)
        return {**found.document, "net": self._net(snapshot, sol_usd, found.total)}

    def _summed_for(self, run_id: str) -> "_Summed":
        first = self._held.runs.get(run_id, self._today)
        total = self._priced(first)
        document = {
            "since": date_of(first),
            "until": date_of(self._today),
            "total": total.document(),
            "today": self._priced(self._today).document(),
            "endpoints": self._endpoints(first),
            "plans": self._plans(first),
            "model": self._model(first),
        }
        return _Summed(run_id, self._today, total, document)

    def first_day(self, days: int) -> int:
        """Return the oldest day of so many newest rows, today where there is none."""
        return next(iter(list(self._held.rows)[-days:]), self._today)

    def rows(self, days: int) -> list[Document]:
        """Return the newest rows, the newest first."""
        found = list(self._held.rows.values())[-days:]
        return [
            {
                "day": date_of(row.day),
                **self._priced(row.day, row.day).document(),
                "calls": sum(each.calls for each in row.endpoints.values()),
                "credits": sum(each.credits for each in row.endpoints.values()),
                "limited": sum(each.limited for each in row.endpoints.values()),
                "model_calls": row.model_calls,
                "model_tokens": row.model_tokens,
                "model_usd": _usd(row.model_micro_usd / MICRO),
            }
            for row in reversed(found)
        ]

    def _net(self, snapshot: Mapping[str, object], sol_usd: Decimal | None, found: Priced) -> Document:
        """Return trading's result, what running took, and what is left. Costs are turned into SOL at its price now."""
        equity, deposits = snapshot["equity"], snapshot["net_deposits"]
        assert isinstance(equity, dict)
        assert isinstance(deposits, dict)
        trading = equity["lamports"] - deposits["lamports"]
        costs = snapshot["costs"]
        assert isinstance(costs, dict)
        on_chain = sum(value for name, value in costs.items() if name != "rent_lamports")
        running = None
        if sol_usd:
            running = int((found.usd / sol_usd * LAMPORTS_PER_SOL).to_integral_value(ROUND_HALF_EVEN))
        return {
            "trading": amount(trading, sol_usd),
            "on_chain": amount(on_chain, sol_usd),
            "running": None if running is None else amount(running, sol_usd),
            "net": None if running is None else amount(trading - running, sol_usd),
            "is_complete": running is not None and not found.unknown,
            "unknown": [*found.unknown, *([] if running is not None else ["the price of SOL"])],
        }

    def _priced(self, first: int, last: int | None = None) -> Priced:
        last = self._today if last is None else last
        days = max(0, last - first + 1)
        total = sum((self._plan_usd(name, days) for name in self._section.plans_usd_a_month), Decimal(0))
        unknown: set[str] = set()
        for name, counts in self._sum(first, last).endpoints.items():
            usd = self._endpoint_usd(name, counts)
            if usd is None:
                unknown.add(name)
            else:
                total += usd
        total += self._sum(first, last).model_micro_usd / MICRO
        return Priced(total, tuple(sorted(unknown)))

    def _sum(self, first: int, last: int | None = None) -> DayRow:
        total = DayRow(first)
        for row in self._held.rows.values():
            if first <= row.day and (last is None or row.day <= last):
                _add(total, row)
        if self._held.rows and first < next(iter(self._held.rows)):
            _add(total, self._held.before)
        return total

    def _plan_usd(self, name: str, days: int) -> Decimal:
        return self._section.plans_usd_a_month[name] * MONTHS * days / DAYS_A_YEAR

    def _endpoint_usd(self, name: str, counts: Counts) -> Decimal | None:
        """Return what an endpoint's calls cost beside its plan, None where nobody has said."""
        if not counts.calls:
            return Decimal(0)
        price = self._section.usd_a_million_credits.get(name)
        if price is not None:
            return price * counts.credits / MICRO
        return Decimal(0) if name in self._section.plans_usd_a_month else None

    def _endpoints(self, first: int) -> list[Document]:
        found = self._sum(first).endpoints
        return [
            {"name": name, **asdict(counts), "usd": None if usd is None else _usd(usd)}
            for name, counts in sorted(found.items(), key=lambda each: (-each[1].calls, each[0]))
            for usd in (self._endpoint_usd(name, counts),)
        ]

    def _plans(self, first: int) -> list[Document]:
        days = max(0, self._today - first + 1)
        return [
            {"name": name, "usd_a_month": _usd(price), "usd": _usd(self._plan_usd(name, days))}
            for name, price in sorted(self._section.plans_usd_a_month.items())
        ]

    def _model(self, first: int) -> Document:
        total = self._sum(first)
        spent = _usd(total.model_micro_usd / MICRO)
        return {"calls": total.model_calls, "tokens": total.model_tokens, "usd": spent}


@asynccontextmanager
async def counted(
    directory: Path, section: CostsSection, now_ns: Callable[[], int], *, has_model: bool
) -> AsyncIterator[RunningCosts]:
    """Count what the block opens and asks, and keep it in the directory."""
    costs = RunningCosts(directory, section, now_ns, has_model=has_model)
    with metered(costs.meter):
        async with anyio.create_task_group() as tasks:
            await costs._noted()
            tasks.start_soon(costs.run)
            try:
                yield costs
            finally:
                tasks.cancel_scope.cancel()


def _add(total: DayRow, row: DayRow) -> None:
    for name, counts in row.endpoints.items():
        total.endpoints.setdefault(name, Counts()).add(counts)
    total.model_calls += row.model_calls
    total.model_tokens += row.model_tokens
    total.model_micro_usd += row.model_micro_usd


def _usd(value: Decimal) -> str:
    return f"{value.quantize(SHOWN, rounding=ROUND_HALF_EVEN):f}"


def date_of(day: int) -> str:
    """Return the date of a day, counted since 1970."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(days=day)).date().isoformat()
