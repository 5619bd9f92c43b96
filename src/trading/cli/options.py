"""The options that several commands share, and what their text means."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

import typer

from trading.errors import InvalidInput
from trading.model.units import NS_PER_S, sol_to_lamports

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="The daemon's data directory (default: MEMMCP_DATA_DIR, else the platform's user data folder).",
    ),
]
Profile = Annotated[
    str,
    typer.Option(
        "--profile", help="A set of limits, sizing and strategies: a name (see profiles list) or a TOML file."
    ),
]
EquitySol = Annotated[str, typer.Option("--equity-sol", help="Start capital in SOL, at most 9 decimals.")]

PROFILE_DEFAULT: Final = "foundation"
EQUITY_DEFAULT: Final = "2"
_EQUITY_SOL_MAX: Final = 1_000_000


def desks_of(data_dir: Path | None) -> tuple[Path, ...]:
    """Return where a person's runs live without a --run-dir: the daemon's desk, and sessions of their own."""
    from trading.cli.client import data_dir_of

    base = data_dir_of(data_dir)
    return (base / "trading", base / "paper")


def profiles_dir(data_dir: Path | None) -> Path:
    """Return the folder of the operator's own profiles."""
    from trading.cli.client import data_dir_of

    return data_dir_of(data_dir) / "profiles"


def lamports_of(field: str, text: str) -> int:
    """Return the lamports of a positive SOL amount. Raises InvalidInput naming the field."""
    try:
        lamports = sol_to_lamports(text)
    except ValueError as exc:
        msg = f"{field} is {text[:60]!r}: {exc}"
        raise InvalidInput(msg, field=field) from exc
    if not 0 < lamports <= sol_to_lamports(Decimal(_EQUITY_SOL_MAX)):
        msg = f"{field} is {text[:60]!r}; expected more than 0 and at most {_EQUITY_SOL_MAX} SOL"
        raise InvalidInput(msg, field=field)
    return int(lamports)


def instant_ns(field: str, text: str | None) -> int | None:
    """Return nanoseconds of an ISO 8601 time or date; without a zone it is UTC. Raises InvalidInput."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text.strip())
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return int(at.timestamp()) * NS_PER_S
    except (ValueError, OverflowError) as exc:
        msg = f"{field} is {text[:60]!r}; expected a date or time such as 2024-05-01 or 2024-05-01T12:00:00Z"
        raise InvalidInput(msg, field=field) from exc


def speed_of(text: str) -> str | float:
    """Return "max" or a multiple of real time. Raises InvalidInput."""
    if text == "max":
        return text
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 1e9:
        msg = f"speed is {text[:60]!r}; expected max or a multiple of real time such as 300"
        raise InvalidInput(msg, field="speed")
    return speed
