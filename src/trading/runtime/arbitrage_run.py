"""Puts arbitrage beside a desk: on paper, or with real money where the desk's is real and the operator wishes so."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread

from trading.arbitrage.transfer_ports import Asset, TransferDoor
from trading.config import Sections
from trading.config.arbitrage import EXCHANGE, SOLANA
from trading.model.units import SOL_DECIMALS, sol_to_lamports
from trading.ports import Clock, Memory

from .arbitrage_venues import OpenedPair, real_venues, venue_name
from .arbitrage_view import units_of
from .arbitraging import Arbitraging, Journals, Surroundings
from .clock import WallClock
from .stage import Stage

if TYPE_CHECKING:
    from .live_run import LiveDesk


class PlaceBound(Protocol):
    """The desk's execution journal, as far as it knows where it belongs."""

    @property
    def problem(self) -> str: ...


def arbitraging_of(
    sections: Sections, folder: Path, memory: Memory, stage: Stage, live: "LiveDesk | None"
) -> Arbitraging:
    """Return what works between venues while it runs. ``live`` is used only where arbitrage's own money is real."""
    is_real = sections.arbitrage.money == "real"
    around = Surroundings(
        folder=folder,
        memory=memory,
        clock=WallClock(),
        closed=_closed(stage, live if is_real else None),
        units=lambda: units_of(sections.arbitrage, stage.current.sol_usd),
    )
    works = Arbitraging(sections, around)
    if is_real:
        assert live is not None  # the settings were checked
        desk = live

        @asynccontextmanager
        async def venues(journals: Journals) -> AsyncIterator[list[OpenedPair]]:
            await anyio.to_thread.run_sync(strand_if_moved, journals, desk.parts.journal, WallClock())
            async with real_venues(sections, desk, folder, WallClock(), works.use_review) as pairs:
                yield pairs

        works.venues, works.doors = venues, partial(_real_doors, sections, desk)
    return works


def strand_if_moved(journals: Journals, own: PlaceBound, clock: Clock) -> None:
    """Leave what was under way to a person where the desk's own journal was restored, or is of another place: an order
    that was sent since is not known here, and would be sent again under the same name."""
    if why := own.problem:
        journals.strand(f"the data directory is not as it was left: {why}", clock.now_ns())


def _closed(stage: Stage, live: "LiveDesk | None") -> Callable[[], str]:
    """Return what says why no trip may be opened now: the desk is halted or reduces, takes no entries, is not armed."""

    def why() -> str:
        snapshot = stage.current.snapshot
        if snapshot["state"] != "ACTIVE":
            return f"desk_{snapshot['state'].lower()}"
        if not snapshot["entries_allowed"]:
            return "entries_stopped"
        return "not_armed" if live is not None and live.arming.problem else ""

    return why


def _real_doors(
    sections: Sections, live: "LiveDesk", pairs: Sequence[OpenedPair]
) -> Mapping[tuple[str, str], TransferDoor]:
    """Return what withdraws from the exchange to arbitrage's wallet: of the coins that the settings name, no others."""
    from trading.adapters.exchange.withdrawals import Coin, ExchangeWithdrawals, WithdrawalRules

    section, doors = sections.arbitrage, {}
    networks = dict(each.split(":") for each in section.withdraw_to)
    for pair in pairs:
        of = pair.section
        if pair.market is None or not of.solana:
            continue  # only on Solana is an arrival proven
        token = next(each for each in of.market.split("/") if each != "SOL")
        most = int(sol_to_lamports(section.withdraw_max_sol))
        coins: dict[Asset, Coin] = {}
        if "SOL" in networks:
            coins["money"] = Coin("SOL", networks["SOL"], "", SOL_DECIMALS, most)
        if token in networks:
            coins["middle"] = Coin(token, networks[token], of.mint, of.decimals, section.withdraw_max_units)
        if not coins:
            continue
        rules = WithdrawalRules(sections.exchange.id, section.wallet, coins, lambda: live.arming.problem)
        way = (venue_name(of.name, EXCHANGE), venue_name(of.name, SOLANA))
        doors[way] = ExchangeWithdrawals(pair.market.private, live.parts.chain, rules, WallClock())
    return doors
