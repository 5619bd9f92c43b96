"""doctor: what is wrong here, and what to do about it."""

import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from memmcp_server import __version__, settings
from memmcp_server.adapters.phone_files import PhoneFiles
from memmcp_server.config import LangfuseSection, PhoneSection
from memmcp_server.daemon.finding import read_record
from memmcp_server.daemon.places import Places
from memmcp_server.errors import DataDirectoryError, InvalidInput, ReceiverUnavailable

from . import client_doctor
from .client import Client, Failed, NoDaemon, find, is_served, places_of
from .console import EXIT_FAILED, out, print_json, table
from .finding import Finding, Level
from .options import DataDir, Json

MARKS: dict[str, str] = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "problem": "[bold red]problem[/]"}
HEALTH_TIMEOUT_S = 10.0
FREE_BYTES_MIN = 256 * 1024 * 1024


def doctor(
    data_dir: DataDir = None,
    config: Annotated[Path | None, typer.Option(help="Configuration file to check.")] = None,
    start: Annotated[
        bool, typer.Option("--start", help="Try the clients' entries also where that starts the daemon.")
    ] = False,
    json: Json = False,
) -> None:
    """Check settings, data directory, daemon and the clients' entries; exit code 1 when something needs mending."""
    places = places_of(data_dir)
    around = client_doctor.here(places, may_start=start)
    findings = [*examine(places, config), *client_doctor.examine_clients(around)]
    if json:
        print_json({"findings": [vars(finding) for finding in findings]})
    else:
        rows = table("", "", "")
        for finding in findings:
            text = escape(finding.text)
            hint = escape(finding.hint)
            rows.add_row(MARKS[finding.level], finding.name, f"{text}\n[dim]{hint}[/]" if hint else text)
        out().print(rows)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(EXIT_FAILED)


def examine(places: Places, config: Path | None) -> Iterator[Finding]:
    yield Finding("version", "ok", f"memmcp {__version__}, Python {platform.python_version()} on {sys.platform}")
    yield from _settings(places, config)
    yield from _directory(places)
    yield from _daemon(places)


def _settings(places: Places, config: Path | None) -> Iterator[Finding]:
    try:
        sections = settings.load(places.data_dir, os.environ, file=config)
    except InvalidInput as error:
        for line in error.message.splitlines():
            yield Finding("settings", "problem", line, error.hint or "")
    else:
        file = config or places.settings
        yield Finding("settings", "ok", f"{file}" if file.exists() else "defaults and environment; no file")
        yield from _phone(places, sections.phone)
        yield from _langfuse(sections.langfuse)
    for name in settings.unknown_variables(os.environ):
        yield Finding("environment", "note", f"{name} is no setting of memMCP", "a slip of the pen? it has no effect")


def _phone(places: Places, section: PhoneSection) -> Iterator[Finding]:
    if section.token is None:
        return
    if not section.users:
        yield Finding("phone", "note", "nobody may speak with the bot", "name your own user id in phone.users")
    try:
        pin = PhoneFiles(places.data_dir).pin()
    except DataDirectoryError as error:
        yield Finding("phone", "problem", error.message, error.hint or "")
        return
    if pin is None:
        yield Finding("phone", "note", "no PIN is set, so it changes nothing", "`memmcp phone pin`")
    elif section.users:
        yield Finding("phone", "ok", f"{len(section.users)} may speak with it", "`memmcp phone check` asks Telegram")


def _langfuse(section: LangfuseSection) -> Iterator[Finding]:
    if not section.is_on:
        return
    from memmcp_server.adapters.langfuse_account import project_behind

    try:
        yield Finding("langfuse", "ok", f"the keys open the project {project_behind(section)!r} at {section.base_url}")
    except InvalidInput as error:
        yield Finding("langfuse", "problem", error.message, error.hint or "")
    except ReceiverUnavailable as error:
        yield Finding("langfuse", "note", error.message, error.hint or "")


def _directory(places: Places) -> Iterator[Finding]:
    path = places.data_dir
    if not path.exists():
        yield Finding("data directory", "ok", f"{path} does not exist yet; the first start makes it")
        return
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        hint = "make it writable for this user, or name another one with --data-dir or MEMMCP_DATA_DIR"
        yield Finding("data directory", "problem", f"{path}: {error.strerror or error}", hint)
        return
    yield Finding("data directory", "ok", str(path))
    if sys.platform != "win32":
        yield from _privacy(path)
        room = os.statvfs(path)
        free = room.f_bavail * room.f_frsize
        if free < FREE_BYTES_MIN:
            yield Finding("disk", "problem", f"{free // 1_000_000} MB free", "writes fail when the disk is full")


def _privacy(path: Path) -> Iterator[Finding]:
    state = path.stat()
    if state.st_uid != os.getuid():
        yield Finding("data directory", "note", f"{path} belongs to another user (uid {state.st_uid})")
    if state.st_mode & 0o077:
        hint = f"chmod 700 {path}"
        yield Finding(
            "data directory", "note", f"others on this machine can look into it ({state.st_mode & 0o777:o})", hint
        )


def _daemon(places: Places) -> Iterator[Finding]:
    if not is_served(places):
        stopped = "; it was stopped on purpose" if places.stopped.exists() else ""
        yield Finding("daemon", "ok", f"none is running{stopped}", "the next agent, or `memmcp serve`, starts one")
        return
    record = read_record(places)
    if record is None:
        hint = "it may be starting; if this stays, end it by hand: `memmcp logs` names its pid"
        yield Finding("daemon", "problem", "one holds the lease but has not said where it listens", hint)
        return
    yield Finding("daemon", "ok", f"pid {record.get('pid')} at {record.get('http')}, version {record.get('version')}")
    if record.get("version") != __version__:
        text = f"it runs {record.get('version')}, installed is {__version__}"
        yield Finding("version", "note", text, "`memmcp stop`; the next client starts the installed one")
    yield from _answers(places)


def _answers(places: Places) -> Iterator[Finding]:
    try:
        client = find(places)
        health: dict[str, Any] = client.get("/health", timeout_s=HEALTH_TIMEOUT_S)
    except (NoDaemon, Failed) as error:
        yield Finding("daemon", "problem", str(error), "`memmcp stop` ends it; the next client starts it anew")
        return
    for name, state in health["checks"].items():
        level: Level = "ok" if state in ("ok", "off") else "note"
        yield Finding(name, level, str(state))
    yield from _page(client)


def _page(client: Client) -> Iterator[Finding]:
    yield Finding("page", "ok", str(client.record.get("http")))


def register(app: typer.Typer) -> None:
    app.command()(doctor)
