"""logs: the daemon's log for people, or as it stands."""

import re
import sys
import time
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape

from memmcp_server.daemon.log_lines import LEVELS, Follower, LogEntry, Wanted, newest
from memmcp_server.errors import InvalidInput

from .client import places_of
from .console import EXIT_FAILED, exit_codes, note, out, plain
from .options import DataDir

FOLLOW_POLL_S = 0.2
AGO = re.compile(r"([1-9]\d{0,5})([smhdw])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
STYLES = {"debug": "dim", "info": "", "warning": "yellow", "error": "red", "critical": "bold red"}


def logs(
    data_dir: DataDir = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000, help="How many records.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing what is added.")] = False,
    level: Annotated[str, typer.Option(help=f"Only this level and worse: {', '.join(LEVELS)}.")] = "",
    request: Annotated[str, typer.Option(help="Only what this request did, as its failure named it.")] = "",
    since: Annotated[str | None, typer.Option(help="A time ago (10m, 2h, 1d), or ISO 8601 with zone.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The lines as they stand in the file.")] = False,
) -> None:
    """Print the end of the daemon's log, with colour by level, over its rotated files too."""
    places = places_of(data_dir)
    with exit_codes():
        wanted = Wanted(_level(level), request, "" if since is None else _since(since, datetime.now(UTC)))
    if not places.log.exists():
        note(f"there is no log yet at {places.log}")
        raise typer.Exit(EXIT_FAILED)
    with closing(Follower(places.log)) as follower:
        for entry in newest(places.log, lines, wanted):
            _print(entry, as_json=json)
        while follow:
            with suppress(KeyboardInterrupt):
                for entry in follower.poll():
                    if wanted.takes(entry):
                        _print(entry, as_json=json)
                time.sleep(FOLLOW_POLL_S)
                continue
            break


def _level(given: str) -> str:
    level = given.lower()
    if level and level not in LEVELS:
        msg = f"level: one of {', '.join(LEVELS)}, not {given!r}"
        raise InvalidInput(msg, field="level")
    return level


def _since(given: str, now: datetime) -> str:
    """Return the time that is meant, as lines have it. Raises: InvalidInput."""
    if ago := AGO.fullmatch(given):
        at = now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    else:
        msg = f"since: a number with s, m, h, d or w behind it (10m), or ISO 8601 with zone, not {given!r}"
        try:
            at = datetime.fromisoformat(given)
        except ValueError as error:
            raise InvalidInput(msg, field="since") from error
        if at.tzinfo is None:
            raise InvalidInput(msg, field="since")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _print(entry: LogEntry, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(entry.raw + "\n")
        sys.stdout.flush()
        return
    if not entry.level:
        out().print(plain(entry.raw))
        return
    style = STYLES.get(entry.level, "")
    level = f"[{style}]{entry.level.upper():8}[/]" if style else f"{entry.level.upper():8}"
    whose = " ".join(part for part in (entry.tool, entry.agent, entry.request) if part)
    behind = f" [dim]({escape(plain_line(whose))})[/]" if whose else ""
    out().print(f"[dim]{entry.ts}[/] {level} {escape(entry.logger)}: {plain(entry.message)}{behind}")
    if entry.more:
        out().print(f"[dim]{plain(entry.more)}[/]")


def plain_line(text: str) -> str:
    """Return a text without anything that would steer a terminal, on one line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def register(app: typer.Typer) -> None:
    app.command()(logs)
