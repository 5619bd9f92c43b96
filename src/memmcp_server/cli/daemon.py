"""serve, stdio, status and stop."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from memmcp_server.daemon.places import Places
from memmcp_server.daemon.start import serve as serve_daemon
from memmcp_server.errors import LeaseHeld

from .client import Client, Failed, NoDaemon, find, is_served, places_of, wait_until_free
from .console import exit_codes, note, out, print_json, say, table
from .options import DataDir, Json

STOP_TIMEOUT_S = 30.0


def serve(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for any free one. [default: 8765]")] = None,
    feed: Annotated[
        str | None, typer.Option(help="auto, market, synthetic[:SEED] or replay:PATH[,PATH...]. [default: auto]")
    ] = None,
    money: Annotated[str | None, typer.Option(help="paper or real. [default: paper]")] = None,
    profile: Annotated[str | None, typer.Option(help="Risk profile of the desk. [default: foundation]")] = None,
    no_trading: Annotated[bool, typer.Option("--no-trading", help="Memory only.")] = False,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file. [default: memmcp.toml in the data directory]")
    ] = None,
) -> None:
    """Run the daemon in the foreground: shared memory, trading loop and page. Ctrl-C ends it."""
    http = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    given = (("feed", feed), ("money", money), ("profile", profile), ("enabled", False if no_trading else None))
    trading = {name: value for name, value in given if value is not None}
    places = places_of(data_dir)
    options: dict[str, dict[str, Any]] = {"http": http, "trading": trading}
    with exit_codes():
        try:
            code = serve_daemon(places.data_dir, dict(os.environ), file=config, options=options)
        except LeaseHeld as error:
            raise Failed(error.message, hint=error.hint) from error
    raise typer.Exit(code)


def stdio(data_dir: DataDir = None) -> None:
    """Speak MCP on stdin and stdout: find the daemon or start it. Agents run this."""
    from memmcp_server.daemon.bridge import main

    raise typer.Exit(main(["--data-dir", str(data_dir)] if data_dir else []))


def status(data_dir: DataDir = None, json: Json = False) -> None:
    """Show the daemon: process, journal, queues, trading."""
    with exit_codes():
        document = find(places_of(data_dir)).get("/admin/status")
    if json:
        print_json(document)
        return
    rows = table("", "")
    for name in ("pid", "version", "data_dir", "http", "clients"):
        rows.add_row(name, str(document[name]))
    rows.add_row("uptime", f"{document['uptime_s']:.0f} s")
    rows.add_row("journal", f"seq {document['journal']['seq']}, {document['journal']['path']}")
    for sink, queue in document["outbox"].items():
        state = f"{queue['pending']} pending (oldest {queue['oldest_s']:.0f} s), {queue['dead']} dead"
        rows.add_row(f"outbox {sink}", state)
    rows.add_row("index", f"{document['index']['state']} {document['index']['detail']}".rstrip())
    rows.add_row("trading", _trading_line(document["trading"]))
    out().print(rows)


def _trading_line(trading: dict[str, Any]) -> str:
    if "money" not in trading:
        return f"{trading['state']} {trading.get('reason', '')}".rstrip()
    feed = trading.get("feed") or {}
    equity = trading.get("equity_lamports")
    money = "" if equity is None else f", equity {equity / 1_000_000_000:.9f} SOL"
    return (
        f"{str(trading['money']).upper()} {trading['state']}, feed {feed.get('kind')} ({feed.get('detail')}), "
        f"profile {trading['profile']}, tier {trading['tier']}, cycle {trading['cycle']}{money}"
    )


def stop(data_dir: DataDir = None, json: Json = False) -> None:
    """End the daemon in order. Connected agents start it again with their next message."""
    places = places_of(data_dir)
    with exit_codes():
        was_running = is_served(places)
        if was_running:
            _stop(places)
    if json:
        print_json({"stopped": was_running, "data_dir": str(places.data_dir)})
    else:
        say("the daemon has ended" if was_running else f"no daemon serves {places.data_dir}: nothing to stop")


def _stop(places: Places) -> None:
    client: Client | None = None
    try:
        client = find(places)
        client.post("/admin/stop")
    except (NoDaemon, Failed) as error:
        note(f"{error}; sending a signal instead")
        _signal(client)
    if not wait_until_free(places, STOP_TIMEOUT_S):
        pid = client.record.get("pid") if client else "unknown"
        msg = f"the daemon (pid {pid}) did not end within {STOP_TIMEOUT_S:.0f} s"
        raise Failed(msg, hint=f"see `memmcp logs`; `kill -9 {pid}` loses nothing that was acknowledged")


def _signal(client: Client | None) -> None:
    # The lease is held, so the record is that of a living daemon and its pid is not somebody else's.
    pid = client.record.get("pid") if client else None
    if isinstance(pid, int) and pid > 1:
        with suppress(OSError):
            os.kill(pid, signal.SIGTERM)


def register(app: typer.Typer) -> None:
    for command in (serve, stdio, status, stop):
        app.command()(command)
