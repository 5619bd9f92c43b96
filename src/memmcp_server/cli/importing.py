"""import: what ``export`` wrote, or what another memory store left on disk."""

import contextlib
import json as jsonlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from memmcp_server.adapters.importers.found import Damaged, Found, Item, NotReadable
from memmcp_server.adapters.importers.lines import Line as Raw
from memmcp_server.adapters.importers.lines import open_lines, read_lines
from memmcp_server.adapters.importers.stores import OWN, OWN_LINE_BYTES_MAX, open_store, recognise
from memmcp_server.domain.drafts import check_namespace
from memmcp_server.domain.identifiers import derived_id
from memmcp_server.domain.memory import DEFAULT_NAMESPACE, is_reserved
from memmcp_server.errors import InvalidInput

from .client import LONG_TIMEOUT_S, Client, Failed, found_or_started, places_of
from .console import EXIT_FAILED, complain, err, exit_codes, note, print_json, say
from .options import DataDir, Json

CHUNK_LINES_MAX = 200
CHUNK_BYTES_MAX = 400_000
PROBLEMS_SHOWN_MAX = 20
PROBLEMS_LISTED_MAX = 1_000


class From(StrEnum):
    MEMMCP = "memmcp"
    MCP_SERVER_QDRANT = "mcp-server-qdrant"
    SERVER_MEMORY = "server-memory"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an archive as the daemon takes it. ``done``: how much of the store has been read with this one."""

    place: str
    document: dict[str, Any]
    size: int
    done: int


@dataclass(frozen=True, slots=True)
class Source:
    lines: Iterator[Line | Damaged]
    total: int


@dataclass(slots=True)
class Tally:
    """What has become of the lines so far. Of the skipped ones the first are listed, all are counted."""

    taken: int = 0
    duplicates: int = 0
    redacted: int = 0
    skipped: int = 0
    problems: list[dict[str, str]] = field(default_factory=list)

    def skip(self, place: str, reason: str) -> None:
        self.skipped += 1
        if len(self.problems) < PROBLEMS_LISTED_MAX:
            self.problems.append({"place": place, "reason": reason})


def import_(
    path: Annotated[Path, typer.Argument(metavar="PATH")],
    from_: Annotated[From | None, typer.Option("--from", help="What PATH is. [default: told by what is there]")] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", help="Where another store's memories go. [default: default]")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Take in an export, the folder of mcp-server-qdrant, or the file of the reference server-memory.

    Repeating it changes nothing; what is there already stays. What cannot be read is named and left out, and the
    command then ends with 1.
    """
    tally = Tally()
    with (
        exit_codes(),
        _source(path, from_, namespace) as source,
        found_or_started(places_of(data_dir)) as daemon,
        _progress(source.total, hidden=json) as advance,
    ):
        _take_in(daemon, source, tally, advance)
    if json:
        counts = {name: getattr(tally, name) for name in ("taken", "duplicates", "skipped", "redacted")}
        print_json({"file": str(path), **counts, "problems": tally.problems})
    else:
        _report(path, tally)
    if tally.skipped:
        raise typer.Exit(EXIT_FAILED)


@contextlib.contextmanager
def _source(path: Path, given: From | None, namespace: str | None) -> Iterator[Source]:
    """Open what lies at the path. Raises: Failed, InvalidInput."""
    try:
        store = recognise(path) if given is None else given.value
        if store == OWN:
            if namespace is not None:
                msg = f"namespace is {namespace}; the lines of an export name their own"
                raise InvalidInput(msg, field="namespace", hint="leave --namespace out")
            with open_lines(path) as file:
                yield Source(_own_lines(read_lines(file, str(path), OWN_LINE_BYTES_MAX)), path.stat().st_size)
            return
        into = _checked(namespace)
        with open_store(path, store) as opened:
            moment = min(opened.moment, datetime.now(UTC))
            yield Source(_foreign_lines(opened.items, into, moment), opened.total)
    except NotReadable as error:
        raise Failed(str(error), hint=error.hint) from error


def _checked(namespace: str | None) -> str:
    into = DEFAULT_NAMESPACE if namespace is None else namespace
    check_namespace(into)
    if is_reserved(into):
        msg = f"namespace is {into}, which only the runtime writes"
        raise InvalidInput(msg, field="namespace", hint="use one of your own, such as imported/notes")
    return into


def _own_lines(lines: Iterator[Raw]) -> Iterator[Line | Damaged]:
    for line in lines:
        if line.document is None:
            yield Damaged(f"line {line.number}", line.problem, line.done)
        else:
            yield Line(f"line {line.number}", line.document, line.size, line.done)


def _foreign_lines(items: Iterator[Item], namespace: str, moment: datetime) -> Iterator[Line | Damaged]:
    for item in items:
        if isinstance(item, Damaged):
            yield item
            continue
        document = _archived(item, namespace, moment)
        size = len(jsonlib.dumps(document))
        if size > OWN_LINE_BYTES_MAX:
            yield Damaged(item.place, f"{size} bytes with its metadata; at most {OWN_LINE_BYTES_MAX}", item.done)
        else:
            yield Line(item.place, document, size, item.done)


def _archived(found: Found, namespace: str, moment: datetime) -> dict[str, Any]:
    """Return the memory as ``wire.archive.MemoryLine`` reads it. Not made by it: the daemon judges text and metadata,
    so that one of them that is not allowed is named with its place, like everything else that is refused.
    """
    return {
        "type": "memory",
        "id": derived_id(namespace, found.id),  # in another namespace it is another memory
        "namespace": namespace,
        "kind": found.kind,
        "content": found.content,
        "tags": list(found.tags),
        "metadata": dict(found.metadata),
        "agent": "",
        "session": "",
        "tool": "import",
        "source": found.source,
        "trust": "agent",
        "ts": moment.isoformat(),
        "expires_at": None,
        "trajectory_id": None,
        "embed": True,
    }


def _take_in(daemon: Client, source: Source, tally: Tally, advance: Callable[[int], None]) -> None:
    for chunk in _chunks(source.lines, tally):
        _send(daemon, chunk, tally)
        advance(chunk[-1].done)


def _chunks(lines: Iterator[Line | Damaged], tally: Tally) -> Iterator[list[Line]]:
    """Yield the lines in chunks of bounded size; what could not be read is counted and left out."""
    chunk: list[Line] = []
    size = 0
    for line in lines:
        if isinstance(line, Damaged):
            tally.skip(line.place, line.reason)
            continue
        if chunk and (len(chunk) >= CHUNK_LINES_MAX or size + line.size > CHUNK_BYTES_MAX):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += line.size
    if chunk:
        yield chunk


def _send(daemon: Client, chunk: Sequence[Line], tally: Tally) -> None:
    """Have the daemon take the chunk, all or nothing; halve one that it refuses until the lines that it means are left.

    Raises: Failed (it cannot store anything now).
    """
    try:
        answer = daemon.post("/admin/import", {"lines": [line.document for line in chunk]}, LONG_TIMEOUT_S)
    except Failed as error:
        if not error.is_refusal:
            msg = f"{chunk[0].place} to {chunk[-1].place}: {error}"
            hint = f"the {tally.taken + tally.duplicates} lines before are stored; import it again to go on"
            raise Failed(msg, hint=hint) from error
        if len(chunk) == 1:
            tally.skip(chunk[0].place, str(error))
            return
        half = len(chunk) // 2
        _send(daemon, chunk[:half], tally)
        _send(daemon, chunk[half:], tally)
        return
    tally.taken += answer["taken"]
    tally.duplicates += answer["duplicates"]
    tally.redacted += answer["redacted"]


@contextlib.contextmanager
def _progress(total: int, *, hidden: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal; yield what moves it to a number."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = err()
    columns = (TextColumn("importing"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    disable = hidden or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as progress:
        task = progress.add_task("importing", total=max(total, 1))
        yield lambda done: progress.update(task, completed=done)


def _report(path: Path, tally: Tally) -> None:
    for problem in tally.problems[:PROBLEMS_SHOWN_MAX]:
        complain(f"{path}, {problem['place']}: {problem['reason']}")
    if tally.skipped > PROBLEMS_SHOWN_MAX:
        note(f"and {tally.skipped - PROBLEMS_SHOWN_MAX} more; --json lists the first {PROBLEMS_LISTED_MAX}")
    skipped = f", {tally.skipped} could not be read and were left out" if tally.skipped else ""
    cut = f"; secrets were cut out of {tally.redacted} lines" if tally.redacted else ""
    say(f"{tally.taken} lines taken, {tally.duplicates} were there already{skipped}{cut}")


def register(app: typer.Typer) -> None:
    app.command("import")(import_)
