"""``paper``: a paper session in this process, with a directory of its own and no daemon."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
import anyio.to_thread
import orjson
import typer
from rich.live import Live
from rich.text import Text

from trading.cli.client import data_dir_of
from trading.cli.console import amount_text, bps_text, err, out, print_json, reporting
from trading.cli.options import (
    EQUITY_DEFAULT,
    PROFILE_DEFAULT,
    EquitySol,
    JsonFlag,
    Profile,
    lamports_of,
    profiles_dir,
    speed_of,
)
from trading.cli.views import desk_table, positions_table
from trading.errors import InvalidInput, MemoryUnavailable, Unavailable
from trading.model.units import sol_text
from trading.ports import MemoryRecord

STOPPED: Final = "the desk stopped"


class FileMemory:
    """A body of ``ports.Memory``: one JSON line a record, durable. A line with a known key repeats that record."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def write(self, records: Sequence[MemoryRecord]) -> None:
        lines = b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records)
        try:
            await anyio.to_thread.run_sync(self._append, lines)
        except OSError as exc:
            msg = f"{self._path} cannot be written: {exc.strerror or exc}"
            raise MemoryUnavailable(msg) from exc

    def _append(self, lines: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("paper")(paper)


def paper(
    feed: Annotated[
        str, typer.Option("--feed", help="auto, market, synthetic[:SEED] or replay:PATH[,PATH...].")
    ] = "auto",
    speed: Annotated[
        str | None,
        typer.Option("--speed", help="max, or a multiple of real time. Default: a bar a second; market keeps its own."),
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", help="Where the session lives; it goes on there when started again.")
    ] = None,
    cycles: Annotated[
        int | None, typer.Option("--cycles", min=1, help="Stop once so many cycles are done, at the next pause.")
    ] = None,
    profile: Profile = PROFILE_DEFAULT,
    equity_sol: EquitySol = EQUITY_DEFAULT,
    as_json: JsonFlag = False,
) -> None:
    """Trade on paper in this process until the feed ends, --cycles is reached or Ctrl-C. No daemon takes part.

    What the daemon's desk would write to the shared memory goes to memory.jsonl in the run directory.
    """
    with reporting(as_json=as_json):
        from trading.feeds.select import parse_feed

        parse_feed(feed)
        directory = (run_dir or data_dir_of(None) / "paper").expanduser().absolute()
        environ = {**os.environ, "TRADING_ACCOUNT__EQUITY_SOL": sol_text(lamports_of("equity_sol", equity_sol))}
        if speed is not None:
            environ["TRADING_PAPER__SPEED"] = str(speed_of(speed))
        _make(directory)
        last: dict[str, Any] = {}
        with _line() as show, _interrupt_ends():
            anyio.run(_session, environ, directory, (feed, profile), cycles, _Watcher(last, show))
    if as_json:
        print_json(last)
        return
    console = out()
    if not last:
        console.print(Text(f"nothing happened yet; the session is kept in {directory}"))
        return
    console.print(desk_table(last))
    if last["positions"]:
        console.print(positions_table(last["positions"]))
    console.print(Text(f"the session is kept in {directory}"))


class _Watcher:
    """Keeps the newest snapshot and shows a line about it."""

    def __init__(self, last: dict[str, Any], show: Callable[[str], None]) -> None:
        self._last = last
        self._show = show

    def take(self, snapshot: Mapping[str, Any]) -> None:
        self._last.clear()
        self._last.update(snapshot)
        self._show(
            f"PAPER {snapshot['feed']['kind']}  {snapshot['ts']}  cycle {snapshot['cycle']:,}  "
            f"equity {amount_text(snapshot['equity'])}  drawdown {bps_text(snapshot['drawdown_bps'])}  "
            f"trades {snapshot['trades_total']}  {snapshot['state']}"
        )


async def _session(
    environ: Mapping[str, str], directory: Path, chosen: tuple[str, str], cycles: int | None, watcher: _Watcher
) -> None:
    from trading import desk

    feed, profile = chosen
    options = desk.DeskOptions(
        data_dir=directory, feed=feed, money="paper", profile=profile, profiles_dir=profiles_dir(None)
    )
    async with desk.open(environ, FileMemory(directory / "memory.jsonl"), options) as opened:
        snapshot: Mapping[str, Any] = await opened.snapshot()
        err().print(Text(f"PAPER on {snapshot['feed']['detail']}"))
        watcher.take(snapshot)
        if _is_over(snapshot, cycles):
            return
        async for snapshot in opened.changes():
            watcher.take(snapshot)
            if _is_over(snapshot, cycles):
                return


def _is_over(snapshot: Mapping[str, Any], cycles: int | None) -> bool:
    """Return whether the session has reached its end. Raises Unavailable when the loop has stopped for good."""
    if str(snapshot["state_reason"]).startswith(STOPPED):
        raise Unavailable(str(snapshot["state_reason"]))
    has_begun = snapshot["feed"]["last_event"] is not None
    return (has_begun and snapshot["next_evaluation"] is None) or (cycles is not None and snapshot["cycle"] >= cycles)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        msg = f"run_dir {directory} cannot be made: {exc.strerror or exc}"
        raise InvalidInput(msg, field="run_dir") from exc


@contextmanager
def _interrupt_ends() -> Iterator[None]:
    """Let Ctrl-C end the session, as it is meant to: what it did so far is kept and shown."""
    try:
        yield
    except KeyboardInterrupt:
        err().print("stopped")


@contextmanager
def _line() -> Iterator[Callable[[str], None]]:
    """Show one line that changes on a terminal; say nothing elsewhere."""
    console = err()
    if not console.is_terminal:
        yield lambda _text: None
        return
    with Live(Text("starting"), console=console, refresh_per_second=4, transient=True) as live:
        yield lambda text: live.update(Text(text))
