"""changes: what anybody wrote, changed or forgot, once or as it happens."""

import json as jsonlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any

import typer

from .client import Client, NoDaemon, find, found_or_started, places_of
from .console import exit_codes, note, out, plain, print_json
from .options import DataDir, Json

PAGE = 100
WAIT_S = 20.0
TIMEOUT_S = 40.0
LIMIT_DEFAULT = 50
PATIENCE_S = 60.0
"""So long a follower waits for a daemon that went away."""

RETRY_S = 0.25
CONTENT_CHARS_MAX = 160


def changes(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, also over a restart.")] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="Keep the place under this name and go on there the next time.")
    ] = None,
    since_cursor: Annotated[
        str | None,
        typer.Option("--since-cursor", help="A next_cursor, start or now. [default: start, with --follow now]"),
    ] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", help="Exact, or a subtree that ends in /.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="End after so many. [default: 50, with --follow endless]")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show what was written and done in memory, in order, each once; JSON lines with --follow --json."""
    places = places_of(data_dir)
    if since_cursor is None and follow and name is None:
        since_cursor = "now"
    with exit_codes(), found_or_started(places) as daemon:
        reader = Reader(daemon, lambda: find(places), {"name": name, "namespace": namespace}, since_cursor)
        if follow:
            with suppress(KeyboardInterrupt):
                reader.follow(limit, _print_line if json else _print_row)
            return
        found, more = reader.take(limit or LIMIT_DEFAULT)
        if json:
            print_json({"changes": found, "next_cursor": reader.cursor, "more": more})
        else:
            for change in found:
                _print_row(change)
            note(f"{'more' if more else 'nothing more'} after --since-cursor {reader.cursor}")
        reader.acknowledge()


class Reader:
    """Reads page by page; what was shown is acknowledged by the request for the next page."""

    def __init__(
        self, daemon: Client, find_again: Callable[[], Client], wish: Mapping[str, str | None], cursor: str | None
    ) -> None:
        self.cursor = cursor
        self._daemon = daemon
        self._find_again = find_again
        self._wish = wish

    def take(self, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """Return up to ``limit`` changes, and whether there are more."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._page(limit - len(found), 0.0)
            found += page["changes"]
            if not page["more"] or len(found) >= limit:
                return found, page["more"]

    def follow(self, limit: int | None, show: Callable[[dict[str, Any]], None]) -> None:
        """Show changes as they come, until there were ``limit``."""
        left = limit
        while left is None or left > 0:
            page = self._patient_page(PAGE if left is None else left)
            for change in page["changes"]:
                show(change)
            left = None if left is None else left - len(page["changes"])
        self.acknowledge()

    def acknowledge(self) -> None:
        """Tell the daemon that everything was shown, where it keeps the place."""
        if self._wish["name"] is not None:
            self._page(1, 0.0)

    def _patient_page(self, limit: int) -> dict[str, Any]:
        """Ask, also a daemon that was started anew meanwhile. Raises: NoDaemon."""
        gone_at_s: float | None = None
        while True:
            try:
                if gone_at_s is not None:
                    self._daemon = self._find_again()
                return self._page(limit, WAIT_S)
            except NoDaemon as error:
                if gone_at_s is None:
                    gone_at_s = time.monotonic()
                    note(f"waiting for the daemon to come back: {error}")
                if time.monotonic() - gone_at_s > PATIENCE_S:
                    raise
                time.sleep(RETRY_S)

    def _page(self, limit: int, wait_s: float) -> dict[str, Any]:
        query = {**self._wish, "cursor": self.cursor, "limit": min(limit, PAGE), "wait_s": wait_s}
        page: dict[str, Any] = self._daemon.get("/memory/changes", query, TIMEOUT_S)
        self.cursor = page["next_cursor"]
        return page


def _print_line(change: dict[str, Any]) -> None:
    typer.echo(jsonlib.dumps(change, ensure_ascii=False))


def _print_row(change: dict[str, Any]) -> None:
    when = str(change["at"])[:19].replace("T", " ")
    said = change["content"] if change["content"] is not None else change["reason"] or ""
    line = " ".join(said[: 2 * CONTENT_CHARS_MAX].split())[:CONTENT_CHARS_MAX]
    where = f"{change['namespace'] or '-'}/{change['kind'] or '-'}"
    out().print(
        f"[bold]{change['seq']}[/]  {when} UTC  {plain(change['agent'])}  {change['action']}  {where}  "
        f"[dim]{change['id'] or ''}[/]  {plain(line)}"
    )


def register(app: typer.Typer) -> None:
    app.command()(changes)
