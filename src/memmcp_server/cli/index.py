"""index: how the search index is, whether it says what the journal says, and making it anew."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .client import LONG_TIMEOUT_S, Client, Failed, NoDaemon, find, places_of
from .console import EXIT_FAILED, err, exit_codes, out, print_json, say, table
from .options import DataDir, Json

POLL_S = 0.5
CHECK_TIMEOUT_S = 6 * 3_600.0

app = typer.Typer(
    help="The search index: state, check against the journal, rebuild.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def status(data_dir: DataDir = None, json: Json = False) -> None:
    """Show the index, the generation that is being filled beside it, and the last comparison with the journal."""
    with exit_codes():
        document = find(places_of(data_dir)).get("/admin/index")
    if json:
        print_json(document)
        return
    index, report = document["index"], document["report"]
    rows = table("", "")
    rows.add_row("state", f"{index['state']} {index['detail']}".rstrip())
    rows.add_row("generation", f"{index['generation']}, {index['points']} points, {index['model']}")
    if index["next"] is not None:
        rows.add_row("next", _next_line(index["next"]))
    rows.add_row("compared", "not yet" if report is None else f"{report['at'][:19]}Z: {_found_line(report)}")
    out().print(rows)


@app.command()
def check(
    repair: Annotated[
        bool, typer.Option("--repair", help="Queue what differs again, remove what is too much.")
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Compare the whole journal with the index. Exit code 1 when they differ and nothing was repaired."""
    with exit_codes():
        daemon = find(places_of(data_dir))
        with _bar("comparing", daemon, _comparing):
            report = daemon.post("/admin/index/check", {"repair": repair}, CHECK_TIMEOUT_S)
    if json:
        print_json(report)
    else:
        mended = f"; {report['repaired']} repaired" if repair else ""
        say(f"{_found_line(report)}{mended}")
    if report["total"] and not (repair and report["is_complete"]):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def rebuild(
    wait: Annotated[bool, typer.Option("--wait", help="Return when the new generation is searched.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Make the index anew from the journal, beside the present one, which is searched until the new one is complete."""
    begin_rebuild(data_dir, wait=wait, json=json)


@app.command()
def switch(
    force: Annotated[bool, typer.Option("--force", help="Also where the check or the golden queries object.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Search the next generation from now on, after the check and the golden queries once more."""
    with exit_codes():
        document = find(places_of(data_dir)).post("/admin/index/switch", {"force": force}, CHECK_TIMEOUT_S)
    print_json(document) if json else say(f"generation {document['index']['generation']} is searched from now on")


@app.command()
def abandon(data_dir: DataDir = None, json: Json = False) -> None:
    """Give up the next generation; the present one stays."""
    with exit_codes():
        document = find(places_of(data_dir)).post("/admin/index/abandon", timeout_s=LONG_TIMEOUT_S)
    print_json(document) if json else say(f"generation {document['index']['generation']} stays")


def begin_rebuild(data_dir: DataDir, *, wait: bool, json: bool) -> None:
    """Begin a next generation and, if asked to, wait until it is searched."""
    with exit_codes():
        daemon = find(places_of(data_dir))
        answer = daemon.post("/admin/index/rebuild", timeout_s=LONG_TIMEOUT_S)
        if wait:
            with _bar("filling", daemon, _filling):
                _wait_until_searched(daemon, answer["generation"])
    if json:
        print_json(answer)
    elif wait:
        say(f"generation {answer['generation']} is searched from now on")
    else:
        say(
            f"generation {answer['generation']} is being filled from {answer['count']} entries; until then the present "
            "one is searched, and `memmcp index status` shows how far it is"
        )


def _wait_until_searched(daemon: Client, generation: int) -> None:
    while True:
        index = daemon.get("/admin/index")["index"]
        if index["generation"] >= generation:
            return
        following = index["next"]
        if following is None:
            msg = f"generation {generation} was given up"
            raise Failed(msg, hint="see `memmcp logs`")
        if following["phase"] == "refused":
            msg = f"generation {generation} is not searched: {following['problem']}"
            raise Failed(
                msg, hint="`memmcp index switch --force` does it all the same, `memmcp index abandon` drops it"
            )
        time.sleep(POLL_S)


@contextmanager
def _bar(what: str, daemon: Client, measure: Any) -> Iterator[None]:
    """Show how far the daemon has come while the block runs, on a terminal only."""
    console = err()
    if not console.is_terminal:
        yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    ended = threading.Event()
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(what, total=None)

        def follow() -> None:
            while not ended.wait(POLL_S):
                try:
                    done = measure(daemon.get("/admin/index"))
                except (NoDaemon, Failed):
                    continue  # the command itself says what is wrong
                if done is not None:
                    bars.update(task, completed=done["done"], total=done["total"])

        follower = threading.Thread(target=follow, name="progress", daemon=True)
        follower.start()
        try:
            yield
        finally:
            ended.set()
            follower.join()


def _comparing(document: dict[str, Any]) -> Any:
    return document["comparing"]


def _filling(document: dict[str, Any]) -> Any:
    return document["index"]["next"]


def _next_line(following: dict[str, Any]) -> str:
    problem = f": {following['problem']}" if following["problem"] else ""
    return (
        f"generation {following['generation']} ({following['model']}) {following['phase']}, "
        f"{following['done']} of {following['total']}{problem}"
    )


def _found_line(report: dict[str, Any]) -> str:
    if not report["total"]:
        return f"{report['checked']} memories are in the index as the journal has them"
    found = ", ".join(f"{number} {kind}" for kind, number in report["found"].items())
    waiting = f" ({report['waiting']} of them wait in the outbox)" if report["waiting"] else ""
    rest = "" if report["is_complete"] else "; there is more than one round repairs: check again"
    return f"of {report['checked']} memories {found}{waiting}{rest}"
