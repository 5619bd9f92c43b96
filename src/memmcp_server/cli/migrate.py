"""migrate: move the memory journal to another database, with a proof that nothing was lost on the way."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from memmcp_server.adapters.sql_journal.engines import SECRET_PARAMETERS, Place, place_of
from memmcp_server.config import JournalSection
from memmcp_server.daemon.lease import Lease
from memmcp_server.daemon.places import Places
from memmcp_server.errors import DataDirectoryError, InvalidInput
from memmcp_server.settings import load

from .client import Failed, places_of
from .console import exit_codes, note, out, plain, print_json, say, table
from .options import DataDir, Json

if TYPE_CHECKING:
    from memmcp_server.adapters.journal_move import Moved, Progress

URL_BYTES_MAX = 4_096
TOLD_EACH_S = 2.0
SHOWN_DIGITS = 16

app = typer.Typer(help="Move the memory journal to another database.", no_args_is_help=True, rich_markup_mode=None)

To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="URL", help="The database, without a password: every program of this machine sees it here."
    ),
]
ToFile = Annotated[
    Path | None,
    typer.Option("--to-file", metavar="FILE", help="A file with the URL, which may hold the password; - is stdin."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Look through both sides and change nothing.")]


@app.callback()
def _migrate() -> None:
    """Move the memory journal to another database."""


@app.command("sqlite-to-postgres")
def sqlite_to_postgres(
    to: To = None, to_file: ToFile = None, dry_run: DryRun = False, data_dir: DataDir = None, json: Json = False
) -> None:
    """Copy the journal of a data directory into an empty PostgreSQL database and compare both, row by row.

    The database is named by journal.url (MEMMCP_JOURNAL__URL or memmcp.toml), --to-file or --to. No daemon may run. The
    SQLite file is only read, and stays. When this ends half way, repeat it: it goes on where it was, and no daemon
    opens the database before all of it is there and equal. Exit code 1: it is not.
    """
    # Imported here: no other command should wait for the drivers.
    from memmcp_server.adapters.journal_move import Move, open_source, open_target

    places = places_of(data_dir)
    with exit_codes():
        source_path, target_place = _sides(places, to, to_file)
        if not source_path.is_file():
            msg = f"there is no journal at {source_path}"
            raise DataDirectoryError(msg, hint="name the data directory whose memories are to be moved")
        lease = Lease.take(places)
        try:
            with open_source(source_path) as source, open_target(target_place) as target:
                move = Move(source, target, _Teller(is_quiet=json))
                if dry_run:
                    found = move.look()
                    done = found.mark is not None and found.mark.finished_at_ns is not None
                    _print_look(found.rows, target.shown, is_done=done, is_begun=found.mark is not None, json=json)
                    return
                moved = move.run()
        finally:
            lease.release()
        _print_moved(moved, source_path, target_place.shown, json=json)


def _sides(places: Places, to: str | None, to_file: Path | None) -> tuple[Path, Place]:
    """Return the SQLite file and the database. Raises: InvalidInput, Failed."""
    set_url = load(places.data_dir, os.environ).journal.url
    set_place = place_of(JournalSection(url=set_url), places.data_dir)
    source = set_place.path or place_of(JournalSection(), places.data_dir).path
    if to is not None and to_file is not None:
        msg = "both --to and --to-file are given; one of them names the database"
        raise InvalidInput(msg, field="--to")
    if to is not None:
        _refuse_password(to)
        given = SecretStr(to)
    elif to_file is not None:
        given = SecretStr(_read_url(to_file))
    elif set_place.path is None:
        return _some(source), set_place
    else:
        msg = "no PostgreSQL database is named"
        hint = "set MEMMCP_JOURNAL__URL=postgresql://USER:PASSWORD@HOST/NAME, or give --to-file FILE or --to URL"
        raise InvalidInput(msg, field="journal.url", hint=hint)
    target = place_of(JournalSection(url=given), places.data_dir)
    if target.path is not None:
        msg = f"the target {target.shown} is a SQLite file; a PostgreSQL database is needed"
        raise InvalidInput(msg, field="--to", hint="postgresql://USER@HOST/NAME")
    return _some(source), target


def _some(path: Path | None) -> Path:
    if path is None:
        msg = "no SQLite journal is named"
        raise Failed(msg)
    return path


def _refuse_password(url: str) -> None:
    try:
        parsed = make_url(url)
    except ArgumentError:
        return  # said by ``place_of``, without the URL
    if parsed.password is not None or any(name in parsed.query for name in SECRET_PARAMETERS):
        msg = "--to holds a password, which every program of this machine and the shell's history can read"
        hint = "put the URL into a file that only you can read (--to-file), into MEMMCP_JOURNAL__URL, or use ~/.pgpass"
        raise InvalidInput(msg, field="--to", hint=hint)


def _read_url(file: Path) -> str:
    try:
        raw = sys.stdin.buffer.read(URL_BYTES_MAX + 1) if str(file) == "-" else _head_of(file)
        text = raw.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        msg = f"--to-file {file} cannot be read: {reason}"
        raise InvalidInput(msg, field="--to-file") from error
    if not text or len(raw) > URL_BYTES_MAX or "\n" in text:
        msg = f"--to-file {file} must hold one URL of at most {URL_BYTES_MAX} bytes and nothing else"
        raise InvalidInput(msg, field="--to-file", hint="postgresql://USER:PASSWORD@HOST/NAME")
    return text


def _head_of(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(URL_BYTES_MAX + 1)


class _Teller:
    """Says on stderr how far it is, every few seconds and at each new stage."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._stage = ""
        self._told_at_s = 0.0

    def __call__(self, progress: "Progress") -> None:
        now_s = time.monotonic()
        is_new = progress.stage != self._stage
        if self._is_quiet or not (is_new or now_s - self._told_at_s >= TOLD_EACH_S):
            return
        self._stage, self._told_at_s = progress.stage, now_s
        of = f"{progress.rows:,} of {progress.rows_total:,}"
        note(f"{progress.stage} {progress.table}: {of}")


def _print_look(rows: dict[str, int], shown: str, *, is_done: bool, is_begun: bool, json: bool) -> None:
    state = "finished" if is_done else "begun" if is_begun else "empty"
    if json:
        print_json({"target": shown, "state": state, "rows": rows, "rows_total": sum(rows.values())})
        return
    if is_done:
        say(f"{shown} has this journal already")
        return
    listed = table("table", "rows")
    for name, count in rows.items():
        listed.add_row(name, f"{count:,}")
    out().print(listed)
    begun = "a migration has begun it and would go on" if is_begun else "it is empty"
    say(f"{sum(rows.values()):,} rows would be copied to {shown}: {begun}; nothing was changed")


def _print_moved(moved: "Moved", source: Path, shown: str, *, json: bool) -> None:
    if json:
        print_json(_document(moved, source, shown))
    else:
        listed = table("table", "rows", "sha256")
        for each in moved.tables:
            listed.add_row(each.name, f"{each.rows:,}", f"{each.sha256[:SHOWN_DIGITS]}...")
        out().print(listed)
        for difference in moved.differences:
            say(f"not equal: {plain(str(difference))}")
    if not moved.is_equal:
        msg = f"{shown} is not equal to {source}; no daemon will open it"
        raise Failed(msg, hint="something else wrote there: repeat with an empty database; the old journal is unharmed")
    if json:
        return
    say(f"equal: {len(moved.tables)} tables, {moved.rows:,} rows, sha256 {moved.sha256}")
    if moved.was_done:
        say(f"{shown} has had this journal since an earlier run; nothing was done now")
    say("set journal.url (MEMMCP_JOURNAL__URL, or memmcp.toml) to it and start the daemon; the index is kept")
    note(f"{source} is as it was and used no more: what is forgotten from now on stays in it until you delete it")


def _document(moved: "Moved", source: Path, shown: str) -> dict[str, Any]:
    return {
        "source": str(source),
        "target": shown,
        "equal": moved.is_equal,
        "resumed": moved.is_resumed,
        "was_done": moved.was_done,
        "seq": moved.seq,
        "rows": moved.rows,
        "sha256": moved.sha256,
        "tables": [{"name": each.name, "rows": each.rows, "sha256": each.sha256} for each in moved.tables],
        "differences": [{"table": each.table, "key": each.key, "what": each.what} for each in moved.differences],
    }
