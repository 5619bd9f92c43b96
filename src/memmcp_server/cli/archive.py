"""export, backup and rebuild-index."""

import json as jsonlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from memmcp_server.adapters.back_ups import restore, verified
from memmcp_server.daemon.lease import Lease
from memmcp_server.errors import InvalidInput

from .client import LONG_TIMEOUT_S, Client, Failed, found_or_started, places_of
from .console import exit_codes, print_json, say
from .index import begin_rebuild
from .options import DataDir, Json
from .parquet import SUFFIX, Wish, export_tables, tables_of

PARTS = ("heading", "trajectories", "memories", "versions", "links", "marks", "policies", "outcomes")

File = Annotated[Path, typer.Argument(metavar="FILE", help="FILE.jsonl, TABLE.parquet, or a directory.")]
Moment = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z"], metavar="ISO", help="Bounds equity; a day, or a time with zone."
    ),
]


def export(
    file: File,
    parquet: Annotated[bool, typer.Option("--parquet", help="All tables into a directory, for analysis.")] = False,
    table: Annotated[str | None, typer.Option(help="memories, trajectories, trades or equity, as Parquet.")] = None,
    resolution: Annotated[int, typer.Option(help="Of the table equity: seconds a point.")] = 60,
    since: Moment = None,
    until: Moment = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write every memory and trajectory to a file, one JSON object a line; or tables as Parquet, for analysis.

    FILE.jsonl can be imported again. As Parquet (newest first): the tables memories, trajectories, trades and equity,
    each into TABLE.parquet, or with --parquet all of them into a directory; --since and --until bound equity, a day
    without a zone is UTC. An existing file is not touched.
    """
    if parquet or table is not None or file.suffix == SUFFIX:
        wish = Wish(resolution, _in_utc(since), _in_utc(until))
        with exit_codes():
            names = tables_of(file, table)
            with found_or_started(places_of(data_dir)) as daemon:
                written = export_tables(daemon, names, file, wish)
        if json:
            print_json({"place": str(file), "rows": written})
        else:
            say(f"{', '.join(f'{count} {name}' for name, count in written.items())} are in {file}")
        return
    with exit_codes(), found_or_started(places_of(data_dir)) as daemon:
        count = _export(daemon, file)
    if json:
        print_json({"file": str(file), "lines": count})
    else:
        say(f"{count} lines are in {file}")


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _export(daemon: Client, file: Path) -> int:
    draft = file.with_name(f"{file.name}.part")
    count = 0
    try:
        if file.exists():
            msg = f"{file} exists"
            raise InvalidInput(msg, field="file", hint="name another file, or remove this one")
        # Memories are private: nobody else may read the file, whatever the umask says.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            for line in _exported(daemon, file):
                out.write(f"{_compact(line)}\n")
                count += 1
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    except OSError as error:
        msg = f"{file} cannot be written: {error.strerror or error}"
        raise Failed(msg) from error
    finally:
        draft.unlink(missing_ok=True)
    return count


def _compact(line: dict[str, Any]) -> str:
    return jsonlib.dumps(line, ensure_ascii=False, separators=(",", ":"))


def _exported(daemon: Client, file: Path) -> Iterator[dict[str, Any]]:
    for part in PARTS:
        cursor: str | None = None
        while True:
            wanted = {"part": part, "cursor": cursor, "file": str(file.absolute())}
            page = daemon.get("/admin/export", wanted, LONG_TIMEOUT_S)
            yield from page["lines"]
            cursor = page["next_cursor"]
            if cursor is None:
                break


def backup(
    directory: Annotated[Path, typer.Argument(metavar="DIR")], data_dir: DataDir = None, json: Json = False
) -> None:
    """Copy both journals while the daemon runs, as of one point, with a manifest of hashes; never keys or tokens."""
    with exit_codes(), found_or_started(places_of(data_dir)) as daemon:
        answer = daemon.post("/admin/backup", {"directory": str(directory.absolute())}, LONG_TIMEOUT_S)
    if json:
        print_json(answer)
    else:
        say(f"{', '.join(answer['files'])} are in {directory}; the manifest is {answer['manifest']}")


Backup = Annotated[Path, typer.Argument(metavar="BACKUP", help="The directory, or a manifest-....json in it.")]


def verify_backup(place: Backup, json: Json = False) -> None:
    """Compare every file of a back-up with its manifest. Without a daemon; nothing is changed."""
    with exit_codes():
        path, manifest = verified(place)
    if json:
        print_json(
            {"manifest": str(path), "made_at": manifest.made_at, "files": [each.name for each in manifest.files]}
        )
    else:
        say(f"{path}: {len(manifest.files)} files of {manifest.made_at} are as they were written")


def restore_backup(
    place: Backup,
    replace: Annotated[bool, typer.Option("--replace", help="Move what is there aside first.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Put a back-up into a data directory that no daemon uses, after comparing it with its manifest.

    Live trading then starts under review: nothing is signed until the chain agrees and a person resumes.
    """
    places = places_of(data_dir)
    with exit_codes():
        lease = Lease.take(places)
        try:
            manifest, aside = restore(place, places.data_dir, replaces=replace)
        finally:
            lease.release()
    if json:
        print_json({"data_dir": str(places.data_dir), "made_at": manifest.made_at, "aside": aside and str(aside)})
        return
    say(f"{places.data_dir} holds the back-up of {manifest.made_at}; the search index is made anew at the next start")
    if aside is not None:
        say(f"what was there is in {aside}")


def rebuild_index(
    wait: Annotated[bool, typer.Option("--wait", help="Return when the new generation is searched.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Make the search index anew from the journal, as `memmcp index rebuild`; search goes on meanwhile."""
    begin_rebuild(data_dir, wait=wait, json=json)


def register(app: typer.Typer) -> None:
    app.command()(export)
    app.command()(backup)
    app.command("verify-backup")(verify_backup)
    app.command("restore-backup")(restore_backup)
    app.command("rebuild-index")(rebuild_index)
