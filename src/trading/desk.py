"""The only door to the trading runtime for outsiders: what it takes, what it raises, and ``open``."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .config import Sections
from .errors import (
    FeedUnavailable,
    InvalidInput,
    JournalUnavailable,
    KeyTaken,
    MemoryUnavailable,
    TradingError,
    Unavailable,
)
from .model.units import sol_to_lamports
from .ports import Memory, MemoryRecord
from .runtime.arming_view import ArmingView
from .runtime.paper_desk import PaperDesk as Desk
from .runtime.paper_run import PaperOptions, paper_desk
from .settings import load, unknown_variables
from .signing.client import SignerSocket, SocketSigner
from .signing.frames import uid_of
from .strategies.registry import strategy_class

__all__ = [
    "Desk",
    "DeskOptions",
    "FeedUnavailable",
    "InvalidInput",
    "JournalUnavailable",
    "KeyTaken",
    "Memory",
    "MemoryRecord",
    "MemoryUnavailable",
    "TradingError",
    "Unavailable",
    "arming_of",
    "open",
    "signer_of",
    "unknown_variables",
]

MARKET_DIR_VARIABLE = "MEMMCP_MARKET_DIR"
"""Where recorded bars lie, for the feed ``auto`` when the market cannot be reached."""
BARS_FOLDER = "ohlcv_5m"


@dataclass(frozen=True, slots=True)
class DeskOptions:
    """``data_dir`` is the desk's own: its journal lies there. ``feed``: auto, market, synthetic[:SEED] or
    replay:PATH[,PATH...]. ``profile`` names the limits to trade under (what the desk calls its godmode): a shipped one,
    one of the operator's own in ``profiles_dir``, or a TOML file. ``candidates_dir`` holds the candidates and trials
    that promotions go by."""

    data_dir: Path
    feed: str = "auto"
    money: Literal["paper", "real"] = "paper"
    profile: str = "foundation"
    profiles_dir: Path | None = None
    candidates_dir: Path | None = None


@asynccontextmanager
async def open(environ: Mapping[str, str], memory: Memory, options: DeskOptions) -> AsyncIterator[Desk]:  # noqa: A001
    """Open the desk, go on where it stopped, and trade until the block is left; ``memory`` gets the copies.

    Raises: InvalidInput (a setting, the feed, the profile, real money), DataError (recorded data),
    JournalUnavailable (the desk's own disk).
    """
    is_real = options.money == "real"
    wishes = PaperOptions(
        data_dir=options.data_dir,
        feed=options.feed,
        profile=options.profile,
        recorded=_recorded(environ),
        profiles_dir=options.profiles_dir,
        is_real=is_real,
        candidates_dir=options.candidates_dir,
    )
    sections = load(environ)
    async with paper_desk(wishes, sections, memory) as desk, _evolving(desk, wishes, sections):
        yield desk


@asynccontextmanager
async def _evolving(desk: Desk, wishes: PaperOptions, sections: Sections) -> AsyncIterator[None]:
    """Search in the background while the block lasts, where the operator wishes so."""
    section = sections.evolution
    if not section.strategies:
        yield
        return
    from .evolution.errand import Errand
    from .evolution.keeper import Keeper, kept

    folder = wishes.candidates_dir or wishes.data_dir
    errand = Errand(
        strategies=section.strategies,
        data=tuple(str(each.expanduser().absolute()) for each in section.data),
        trials_per_day=section.trials_per_day,
        cpu_budget_percent=section.cpu_budget_percent,
        days_max=section.days_max,
        run_dir=str(wishes.data_dir.absolute()),
        folder=str(folder.absolute()),
        profile=wishes.profile,
        profiles_dir=None if wishes.profiles_dir is None else str(wishes.profiles_dir.absolute()),
        equity_lamports=int(sol_to_lamports(sections.account.equity_sol)),
    )
    for strategy in section.strategies:
        strategy_class(strategy)
    async with kept(Keeper(errand.line(), section.cpu_budget_percent)) as document:
        desk.evolving = document
        yield


def signer_of(environ: Mapping[str, str], data_dir: Path) -> SocketSigner:
    """Return the signer that the environment names, or that of the data directory. Raises: InvalidInput (a setting)."""
    section = load(environ).live
    socket = section.signer_socket or data_dir / "signer" / "signer.sock"
    uid = os.geteuid() if section.signer_user is None else uid_of(section.signer_user)
    return SocketSigner(SignerSocket(socket.expanduser().absolute(), uid))


def arming_of(environ: Mapping[str, str], data_dir: Path, signer: SocketSigner) -> ArmingView:
    """Return what shows and ends an arming. Raises: InvalidInput (a setting)."""
    section = load(environ).live
    return ArmingView(signer, data_dir, section.signer_socket, section.signer_user)


def _recorded(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the recorded bars that the environment names; none where the folder does not exist."""
    named = environ.get(MARKET_DIR_VARIABLE)
    if not named:
        return ()
    folder = Path(named).expanduser()
    bars = folder / BARS_FOLDER if (folder / BARS_FOLDER).is_dir() else folder
    return (bars,) if bars.is_dir() else ()
