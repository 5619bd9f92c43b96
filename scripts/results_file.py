"""docs/results.md: sections between their markers, each written by the script that made its figures."""

import re
import subprocess
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "results.md"
HEAD = """# Results

Figures that scripts made, good or bad. What is here was traded on paper over recorded bars; it is no promise.
"""


def splice(name: str, section: str, path: Path = DOCUMENT) -> None:
    """Put a section in its place, or at the end where it has none yet."""
    document = path.read_text("utf-8") if path.exists() else HEAD
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    block = f"{begin}\n{section.strip()}\n{end}"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    changed = (
        pattern.sub(lambda _: block, document) if pattern.search(document) else f"{document.rstrip()}\n\n{block}\n"
    )
    path.write_text(changed, "utf-8")


def commit() -> str:
    """Return the commit that the figures are of."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
