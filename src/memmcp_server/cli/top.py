"""top: the daemon and its desk at a glance, live, in a terminal of any width."""

import sys
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.live import Live

from .client import Client, Failed, NoDaemon, find, places_of
from .console import exit_codes, print_json
from .options import DataDir, Json
from .top_view import TRADES_MAX, view

PIPED_WIDTH: Final = 100
FAILURES_MAX: Final = 30


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one screen and end.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.2, max=3_600, help="Seconds between two looks.")] = 2.0,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Watch equity, state, positions, limits, queues, alerts and trades live. Ctrl-C ends it."""
    with exit_codes():
        client = find(places_of(data_dir))
        seen = look(client)
    if json:
        print_json(seen)
        return
    console = _console()
    if once or not console.is_terminal:
        console.print(view(seen, console.width, is_plain=is_plain(console)))
        return
    try:
        _watch(client, console, seen, interval)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def look(client: Client) -> dict[str, Any]:
    """Return what is shown, as one document; what the daemon does not have is None. Raises: NoDaemon, Failed."""
    seen: dict[str, Any] = {"at": datetime.now(UTC).isoformat(), "status": client.get("/admin/status"), "no_desk": ""}
    questions = {
        "metrics": ("/telemetry/metrics", {}),
        "alerts": ("/alerts", {}),
        "snapshot": ("/telemetry/trading", {}),
        "trades": ("/telemetry/trading/trades", {"limit": TRADES_MAX}),
    }
    for name, (path, query) in questions.items():
        try:
            seen[name] = client.get(path, query)
        except Failed as error:
            seen[name] = None
            seen["no_desk"] = str(error) if name == "snapshot" else seen["no_desk"]
    return seen


def _watch(client: Client, console: Console, seen: dict[str, Any], interval_s: float) -> None:
    """Look again and again; a daemon that is away for a moment leaves the last screen, with what is wrong below it."""
    failures = 0
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(view(seen, console.width, is_plain=is_plain(console)), refresh=True)
            time.sleep(interval_s)
            try:
                seen = look(client)
                failures = 0
            except (NoDaemon, Failed) as error:
                failures += 1
                if failures >= FAILURES_MAX:
                    raise typer.Exit(3) from error
                seen = {**seen, "no_desk": str(error), "snapshot": None}


def is_plain(console: Console) -> bool:
    """Say whether block characters would not come out."""
    return not str(console.encoding).lower().startswith("utf")


def _console() -> Console:
    console = Console(highlight=False)
    if not sys.stdout.isatty() and "COLUMNS" not in (console._environ or {}):
        console.width = PIPED_WIDTH
    return console


def register(app: typer.Typer) -> None:
    app.command()(top)
