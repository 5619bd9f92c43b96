"""What the scripts that write ``docs/results.md`` have in common."""

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "results.md"
HEAD = """# Results

Figures that scripts made, good or bad. What is here was traded on paper over recorded bars; it is no promise.
"""


def origin() -> str:
    """Return the commit and the day of a figure."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    return f"commit {commit}, {datetime.now(UTC):%Y-%m-%d}"


def splice(name: str, section: str) -> None:
    """Put a section between its markers, at the end where it has none yet."""
    document = DOCUMENT.read_text("utf-8") if DOCUMENT.exists() else HEAD
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    block = f"{begin}\n{section.strip()}\n{end}"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    changed = (
        pattern.sub(lambda _: block, document) if pattern.search(document) else f"{document.rstrip()}\n\n{block}\n"
    )
    DOCUMENT.write_text(changed, "utf-8")
