"""serve, stdio, status and stop."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

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
    for name, value in status_rows(document):
        rows.add_row(name, Text(value))
    out().print(rows)


def status_rows(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a status in words: the process, its queues, the desk, and what reaches out of this machine."""
    up_s = document["uptime_s"]
    up = f"{up_s:.0f} s" if up_s < 300 else f"{up_s / 60:.0f} min" if up_s < 7_200 else f"{up_s / 3_600:.1f} h"
    rows = [(name, str(document[name])) for name in ("pid", "version", "data_dir", "http", "clients")]
    rows += [("uptime", up), ("journal", f"seq {document['journal']['seq']}, {document['journal']['path']}")]
    for sink, queue in document["outbox"].items():
        state = f"{queue['pending']} pending (oldest {queue['oldest_s']:.0f} s), {queue['dead']} dead"
        relay = queue.get("relay") or {}
        trouble = f", backing off: {relay.get('last_error')}" if relay.get("state") == "backing_off" else ""
        rows.append((f"outbox {sink}", state + trouble))
    rows.append(("index", f"{document['index']['state']} {document['index']['detail']}".rstrip()))
    rows += [("trading", line) for line in _trading_lines(document["trading"])]
    rows += _outside_rows(document)
    return rows


def _outside_rows(document: dict[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    if (alerts := document.get("alerts")) is not None:
        told = ", ".join(f"{count} {severity}" for severity, count in sorted(alerts.items()))
        rows.append(("alerts", f"{told}: memmcp alerts" if told else "none open"))
    for receiver, spans in (document.get("spans") or {}).items():
        lost = f", {spans['dropped']} dropped" if spans["dropped"] else ""
        trouble = f": {spans['problem']}" if spans["problem"] else ""
        rows.append((f"calls to {receiver}", f"{spans['pending']} spans pending{lost}{trouble}"))
    if (beats := document.get("heartbeat")) is not None:
        trouble = beats["problem"] or (f"not sent, {beats['failures']} in a row" if beats["failures"] else "")
        rows.append(("heartbeat", trouble or f"{beats['sent']} sent, the last at {beats['last_sent']}"))
    if (phone := document.get("phone")) is not None:
        heard = f"not heard: {phone['last_error']}" if phone["failures"] else "heard"
        strangers = f", {phone['strangers']} messages of strangers" if phone["strangers"] else ""
        rows.append(("phone", heard + strangers))
    return rows


def _trading_lines(trading: dict[str, Any]) -> list[str]:
    if "money" not in trading:
        return [f"{trading['state']} {trading.get('reason', '')}".rstrip()]
    feed = trading.get("feed") or {}
    equity = trading.get("equity_lamports")
    money = "" if equity is None else f", equity {equity / 1_000_000_000:.9f} SOL"
    is_open = trading.get("entries_allowed", True) and trading["state"] == "ACTIVE"
    entries = "" if is_open else ", no entries"
    stale = ", STALE" if feed.get("stale") else ""
    source = f"feed {feed.get('kind')} ({feed.get('detail')}{stale})"
    under = f"profile {trading['profile']}, tier {trading['tier']}, cycle {trading['cycle']}"
    lines = [f"{str(trading['money']).upper()} {trading['state']}{entries}, {source}, {under}{money}"]
    if trading.get("drawdown_bps") is not None:
        lines.append(f"drawdown {trading['drawdown_bps'] / 100:.2f} %, {trading.get('positions', 0)} positions open")
    if costs := trading.get("running_costs"):
        net = costs["net"]
        known = "not known" if net["net"] is None else f"{net['net']['sol']} SOL"
        least = f"; without a price: {', '.join(net['unknown'])}" if net["unknown"] else ""
        lines.append(f"result {net['trading']['sol']} SOL, net of running costs {known}{least}")
    return lines


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
