"""Arbitrage as the outside meets it: how it stands, its trips, what was seen, its transfers, and a person's answers."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from trading.config import ArbitrageSection
from trading.errors import InvalidInput
from trading.model.units import NS_PER_S, sol_to_lamports

from .arbitrage_texts import Units, sighting_document, tally_documents, transfer_document, trip_document
from .arbitraging import Arbitraging, Journals
from .clock import WallClock
from .documents import Document, amount
from .telling import before_of, bounded_limit

LIMIT_MAX: Final = 200
PROBLEM_MAX: Final = 300
DAY_NS: Final = 86_400 * NS_PER_S
PARTS: Final = ("status", "trips", "opportunities", "transfers")
ACTS: Final = ("resume", "settle", "give_up")


class ArbitrageView:
    """``works`` is None where no pair is configured; ``sol_usd`` is what a SOL costs, if that is known."""

    def __init__(self, section: ArbitrageSection, works: Arbitraging | None, sol_usd: Decimal | None) -> None:
        self._section = section
        self._works = works
        self._units = units_of(section, sol_usd)

    async def document(self, part: str, cursor: str | None, limit: int) -> Document:
        """Return one of ``PARTS``. Raises: InvalidInput; Unavailable while the journals are not open."""
        units, now_ns = self._units, WallClock().now_ns()
        before, limit = before_of(cursor), bounded_limit(limit, LIMIT_MAX)
        if part == "status":
            return await self._status(units, now_ns)
        works = self._working()
        if part == "trips":
            trips = await works.read(lambda journals: journals.trips.trips(limit, before))
            last = trips[-1].number if len(trips) == limit else None
            return {"trips": [trip_document(each, units) for each in trips]} | _next(last)
        if part == "transfers":
            found = await works.read(lambda journals: journals.transfers.page(limit, before))
            last = found[-1].number if len(found) == limit else None
            return {"transfers": [transfer_document(each, units) for each in found]} | _next(last)
        if part == "opportunities":
            seen = await works.read(lambda journals: journals.trips.sightings(limit))
            day = await works.read(lambda journals: journals.trips.tallies(now_ns - DAY_NS, now_ns))
            return {
                "opportunities": [sighting_document(each, units) for each in seen],
                "day": tally_documents(day, units)[:LIMIT_MAX],
            }
        msg = f"part: one of {', '.join(PARTS)}, not {part[:40]!r}"
        raise InvalidInput(msg, field="part")

    async def answer(self, request: Mapping[str, Any], actor: str) -> None:
        """Do what a person says. Raises: InvalidInput; Unavailable."""
        works, act = self._working(), str(request.get("act"))
        reason, name = str(request.get("reason") or ""), str(request.get("id") or "")
        if act == "resume":
            await works.read(lambda journals: journals.trips.resume(actor, reason))
        elif act == "settle":
            result = _lamports(request.get("result_sol"))
            await works.read(lambda journals: journals.trips.settle_by_hand(name, actor, reason, result))
        elif act == "give_up":
            await works.read(lambda journals: journals.transfers.give_up(name, actor, reason, WallClock().now_ns()))
        else:
            msg = f"act: one of {', '.join(ACTS)}, not {act[:40]!r}"
            raise InvalidInput(msg, field="act")

    def _working(self) -> Arbitraging:
        if self._works is None:
            msg = "arbitrage is off: no pair is configured"
            raise InvalidInput(msg, field="arbitrage.pairs", hint="TRADING_ARBITRAGE__PAIRS, see docs/arbitrage.md")
        return self._works

    async def _status(self, units: Units, now_ns: int) -> Document:
        section, works = self._section, self._works

        def sol(value: Any) -> Document:
            return amount(int(sol_to_lamports(value)), units.sol_usd)

        found: Document = {
            "arbitrage_money": section.money,
            "state": "off",
            "problem": "",
            "halted": "",
            "trips_open": 0,
            "open_max": section.open_max,
            "size_max": sol(section.size_max_sol),
            "day_loss_max": sol(section.day_loss_sol),
            "day_result": amount(0, units.sol_usd),
            "venues": [],
            "by_hand": [],
            "day": [],
        }
        if works is None:
            return found
        found |= {"state": "starting" if not works.problem else "resting", "problem": works.problem}
        if works.journals is None:
            return found

        def read(journals: Journals) -> Document:
            trips = journals.trips
            return {
                "halted": trips.halted(),
                "trips_open": trips.open_count(),
                "day_result": amount(trips.day_result(now_ns), units.sol_usd),
                "day": tally_documents(trips.tallies(now_ns - DAY_NS, now_ns), units)[:LIMIT_MAX],
            }

        found |= await works.read(read)
        if works.pairs:
            found["state"] = "halted" if found["halted"] else "working"
        found["venues"] = _venues(works, units)
        found["by_hand"] = sorted(works.by_hand.values())
        return found


def units_of(section: ArbitrageSection, sol_usd: Decimal | None) -> Units:
    return Units({each.name: each.decimals for each in section.pairs}, sol_usd)


def _venues(works: Arbitraging, units: Units) -> list[Document]:
    """Return every venue, also one that was never seen: what keeps it away is what has to be read here."""
    lies = dict.fromkeys((name for pair in works.pairs for name in pair.venues), (0, 0)) | works.lies()
    return [
        {
            "name": name,
            "money": amount(money, units.sol_usd),
            "middle": units.middle(name, middle),
            "problem": works.troubles.get(name, "")[:PROBLEM_MAX],
            "going": sum(each.target == name for each in works.on_its_way),
        }
        for name, (money, middle) in sorted(lies.items())
    ]


def _next(number: int | None) -> Document:
    return {"next_cursor": None if number is None else str(number)}


def _lamports(given: Any) -> int:
    text = str(given if given is not None else "")
    try:
        return int(sol_to_lamports(text.removeprefix("-"))) * (-1 if text.startswith("-") else 1)
    except ValueError as error:
        msg = f"result_sol: a plain decimal number of SOL such as -0.05, not {text[:40]!r}"
        raise InvalidInput(msg, field="result_sol") from error
