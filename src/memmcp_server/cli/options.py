"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Data directory. [default: MEMMCP_DATA_DIR, else the platform's folder]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
