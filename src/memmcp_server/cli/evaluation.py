"""eval: ask golden queries and say how much of what must be found is found."""

import json as jsonlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from memmcp_server.domain.golden import (
    CASES_MAX,
    CaseOutcome,
    GoldenCase,
    Scores,
    fingerprint_of,
    scores_of,
)
from memmcp_server.errors import InvalidInput
from memmcp_server.wire.evaluation import GoldenLine, OutcomeView, ScoresView
from memmcp_server.wire.invalid import invalid_input

from .client import LONG_TIMEOUT_S, Client, Failed, found_or_started, places_of
from .console import EXIT_FAILED, err, exit_codes, note, out, print_json, say, table
from .options import DataDir, Json

LINE_BYTES_MAX = 262_144
PROBLEMS_MAX = 10
ASKED_AT_ONCE = 8
MISS_CHARS_MAX = 160
HINT = 'a line looks like: {"query": "why did the trade fail", "expect": ["ID", {"contains": "thin pool"}]}'


def evaluate(
    file: Annotated[
        Path | None, typer.Argument(metavar="[GOLDEN.jsonl]", help="Default: the queries that were saved.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=10, max=100, help="How deep to look.")] = 10,
    min_recall: Annotated[
        float | None, typer.Option("--min-recall", min=0.0, max=1.0, help="Exit code 1 when recall@10 is lower.")
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Keep the queries and these scores: migrations are held against them.")
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Ask golden queries: recall@5, recall@10, MRR, and the misses with what came instead.

    Exit code 1 also when less is found than when the same queries were saved.
    """
    with exit_codes():
        given = None if file is None else read_golden(file)
        with found_or_started(places_of(data_dir)) as daemon:
            kept = daemon.get("/admin/golden")
            lines = given if given is not None else [GoldenLine.model_validate(line) for line in kept["cases"]]
            if not lines:
                msg = "no golden queries are saved here"
                raise InvalidInput(msg, field="file", hint=f"name a file; {HINT}")
            cases = [line.to_case() for line in lines]
            outcomes, state = _asked(daemon, lines, cases, limit)
            baseline = _baseline(kept, cases)
            if save:
                documents = [line.model_dump(mode="json") for line in lines]
                kept = daemon.post("/admin/golden", {"cases": documents}, LONG_TIMEOUT_S)
                baseline = None
    scores = scores_of(outcomes)
    is_worse = baseline is not None and scores.is_worse_than(baseline)
    _print(scores, outcomes, baseline, is_worse=is_worse, is_saved=save, state=state, json=json)
    if is_worse or (min_recall is not None and scores.recall_at_10 < min_recall):
        raise typer.Exit(EXIT_FAILED)


def read_golden(file: Path) -> list[GoldenLine]:
    """Return the lines of a golden file.

    Raises: InvalidInput that names every wrong line up to ``PROBLEMS_MAX``, Failed (the file cannot be read).
    """
    lines: list[GoldenLine] = []
    problems: list[str] = []
    for number, raw in _raw_lines(file):
        if len(raw) > LINE_BYTES_MAX:
            problems.append(f"line {number}: longer than {LINE_BYTES_MAX} bytes")
        else:
            try:
                lines.append(_parsed(raw))
            except InvalidInput as error:
                problems.append(f"line {number}: {error.message}")
        if len(problems) >= PROBLEMS_MAX:
            problems.append("further lines were not read")
            break
        if len(lines) > CASES_MAX:
            problems.append(f"line {number}: more than {CASES_MAX} queries")
            break
    if problems:
        raise InvalidInput("\n".join(f"{file}, {problem}" for problem in problems), field="file", hint=HINT)
    if not lines:
        msg = f"{file} holds no query"
        raise InvalidInput(msg, field="file", hint=HINT)
    return lines


def _raw_lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines with their numbers, blank ones left out; one that is too long is cut, and skipped to its end."""
    try:
        with file.open("rb") as source:
            number = 0
            while raw := source.readline(LINE_BYTES_MAX + 2):
                number += 1
                rest = raw
                while not rest.endswith(b"\n") and (rest := source.readline(LINE_BYTES_MAX)):
                    pass
                if raw.strip():
                    yield number, raw.rstrip(b"\r\n")
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror or error}"
        raise Failed(msg) from error


def _parsed(raw: bytes) -> GoldenLine:
    """Raises: InvalidInput."""
    try:
        document = jsonlib.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        msg = f"not JSON ({error})"
        raise InvalidInput(msg) from error
    try:
        line = GoldenLine.model_validate(document)
    except ValidationError as error:
        raise invalid_input(error, GoldenLine) from error
    line.to_case()  # a time without a zone is found here
    return line


def _asked(
    daemon: Client, lines: Sequence[GoldenLine], cases: Sequence[GoldenCase], limit: int
) -> tuple[list[CaseOutcome], str]:
    """Return what came of each case, and what the daemon said of its index last (empty when all is well)."""
    outcomes: list[CaseOutcome] = []
    state = ""
    console = err()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("asking", total=len(lines))
        for start in range(0, len(lines), ASKED_AT_ONCE):
            chunk = lines[start : start + ASKED_AT_ONCE]
            documents = [line.model_dump(mode="json") for line in chunk]
            answer = daemon.post("/admin/eval", {"cases": documents, "limit": limit}, LONG_TIMEOUT_S)
            views = [OutcomeView.model_validate(each) for each in answer["outcomes"]]
            asked = cases[start : start + ASKED_AT_ONCE]
            outcomes.extend(view.to_outcome(case) for view, case in zip(views, asked, strict=True))
            state = "" if answer["index_state"] == "ready" else f"{answer['index_state']}: {answer['index_detail']}"
            bars.advance(task, len(chunk))
    return outcomes, state


def _baseline(kept: dict[str, Any], cases: Sequence[GoldenCase]) -> Scores | None:
    """Return the kept baseline where it is that of the same queries."""
    if kept["baseline"] is None:
        return None
    before = [GoldenLine.model_validate(line).to_case() for line in kept["cases"]]
    is_same = fingerprint_of(before) == fingerprint_of(cases)
    return ScoresView.model_validate(kept["baseline"]).to_scores() if is_same else None


def _print(
    scores: Scores,
    outcomes: Sequence[CaseOutcome],
    baseline: Scores | None,
    *,
    is_worse: bool,
    is_saved: bool,
    state: str,
    json: bool,
) -> None:
    misses = [outcome for outcome in outcomes if outcome.is_miss]
    if json:
        print_json(
            {
                **asdict(scores),
                "baseline": None if baseline is None else asdict(baseline),
                "worse": is_worse,
                "saved": is_saved,
                "index": state or "ready",
                "misses": [_miss(outcome) for outcome in misses],
            }
        )
        return
    if state:
        note(f"the index is {state}")
    rows = table("", "now", *([] if baseline is None else ["when saved"]))
    for name, label in (("recall_at_5", "recall@5"), ("recall_at_10", "recall@10"), ("mrr", "MRR")):
        before = [] if baseline is None else [f"{getattr(baseline, name):.3f}"]
        rows.add_row(label, f"{getattr(scores, name):.3f}", *before)
    out().print(rows)
    say(f"{scores.cases} queries, {len(misses)} not answered in full" + (", saved" if is_saved else ""))
    if misses:
        _print_misses(misses)


def _miss(outcome: CaseOutcome) -> dict[str, Any]:
    case = outcome.case
    return {
        "query": case.query,
        "note": case.note,
        "expected": [
            {**({"id": each.id} if each.contains is None else {"contains": each.contains}), "rank": rank}
            for each, rank in zip(case.expect, outcome.ranks, strict=True)
        ],
        "came": [asdict(each) for each in outcome.came],
    }


def _print_misses(misses: Sequence[CaseOutcome]) -> None:
    rows = table("query", "expected", "came instead")
    for outcome in misses:
        missing = [
            each.id if each.contains is None else f"contains {each.contains!r}"
            for each, rank in zip(outcome.case.expect, outcome.ranks, strict=True)
            if rank is None or rank > 10
        ]
        came = [f"{each.id}  {_line(each.content)}" for each in outcome.came[:3]] or ["nothing"]
        rows.add_row(_line(outcome.case.query), escape("\n".join(map(str, missing))), "\n".join(came))
    out().print(rows)


def _line(text: str) -> str:
    """Stored text is data: one line, no markup, no control characters that would steer a terminal."""
    flat = " ".join(text.split())
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in flat)
    return escape(plain if len(plain) <= MISS_CHARS_MAX else f"{plain[:MISS_CHARS_MAX]}...")


def register(app: typer.Typer) -> None:
    app.command("eval")(evaluate)
