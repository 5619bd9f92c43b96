"""Run the benchmarks and put their tables into ``docs/benchmarks.md``: ``python -m benchmarks.run [NAME]``.

A benchmark is a module here with ``main(argv) -> int`` that prints Markdown; its whole output becomes its section, so
that no figure in the document was typed by hand. A benchmark that misses its goal prints the true figure and ends with
a non-zero code, and so does this.
"""

import io
import platform
import re
import subprocess
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BENCHMARKS = (
    *("bridge", "transports", "journal", "index", "migration", "memory", "search", "retrieval", "secrets", "lessons"),
    *("engine", "evolution"),
    "decision_to_send",
    "background",
    "recall",
    "sidecar",
    "metrics",
    "history",
    "bars",
    "journal_move",
    "scale",
    "capacity",
    "growth",
    "tracing",
    "page",
)
ELSEWHERE = {"capacity": "scaling.md"}
"""Benchmarks whose section is in another document of the same folder."""

HEAD = """# Benchmarks

Made by `make bench`; every figure below was printed by the script named beside it. Ratios within one run travel between
machines, absolute figures do not: run them on yours before you rely on one.
"""


class Tee(io.TextIOBase):
    """Keeps what is printed and shows it at once: a benchmark may take minutes."""

    def __init__(self) -> None:
        self.text = io.StringIO()

    def write(self, part: str) -> int:
        sys.__stdout__.write(part)  # type: ignore[union-attr]
        return self.text.write(part)

    def flush(self) -> None:
        sys.__stdout__.flush()  # type: ignore[union-attr]


def machine() -> str:
    cores = subprocess.run(["nproc"], capture_output=True, text=True, check=False).stdout.strip() or "?"
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"


def splice(document: str, name: str, section: str) -> str:
    """Replace the section between the markers of a benchmark, or append it."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    block = f"{begin}\n{section.strip()}\n{end}"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if pattern.search(document):
        return pattern.sub(lambda _: block, document)
    return f"{document.rstrip()}\n\n{block}\n"


def run(name: str) -> int:
    tee = Tee()
    with redirect_stdout(tee):  # type: ignore[type-var]
        code: int = import_module(f"benchmarks.{name}").main([])
    stamp = f"`python -m benchmarks.{name}`, {datetime.now(UTC):%Y-%m-%d}, {machine()}"
    place = DOCUMENT.with_name(ELSEWHERE.get(name, DOCUMENT.name))
    document = place.read_text(encoding="utf-8") if place.exists() else HEAD
    section = f"## {name}\n\n{stamp}\n\n{tee.text.getvalue().strip()}"
    place.write_text(splice(document, name, section), encoding="utf-8")
    return code


def main(arguments: list[str]) -> int:
    unknown = [name for name in arguments if name not in BENCHMARKS]
    if unknown:
        print(f"ONLY: unknown benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    codes = {name: run(name) for name in arguments or BENCHMARKS}
    short = [name for name, code in codes.items() if code]
    print(f"{len(codes)} benchmarks, {len(short)} short of a goal{': ' + ', '.join(short) if short else ''}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
