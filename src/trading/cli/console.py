"""How the command line talks: figures as tables, programs get JSON, errors name the field and end with their code."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trading.errors import FeedUnavailable, InvalidInput, TradingError
from trading.model.units import sol_text

_WIDTH_PIPED: Final = 200
EXIT_FAILED: Final = 1
EXIT_WRONG_USE: Final = 2
EXIT_UNREACHABLE: Final = 3


class DaemonUnreachable(TradingError):
    """No daemon answers for this data directory."""

    code = "daemon_unreachable"
    retryable = True


class DaemonRefused(TradingError):
    """The daemon answered with an error; its words are passed on."""

    code = "refused"

    def __init__(self, code: str, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, field=field, hint=hint)
        self.daemon_code = code


def out() -> Console:
    """Return the console of results."""
    return _console(stderr=False)


def err() -> Console:
    """Return the console of progress and errors: never mixed into results."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, soft_wrap=True)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_PIPED  # a file or a pipe has no edge at which an id should be cut in two
    return console


def print_json(document: Any) -> None:
    """Write one JSON document to standard output."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=_plain) + "\n")


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    msg = f"{type(value).__name__} is no JSON value"
    raise TypeError(msg)


@contextmanager
def reporting(*, as_json: bool = False) -> Iterator[None]:
    """Turn an error into a message and an exit code. Ctrl-C ends with 130 and no trace."""
    try:
        yield
    except TradingError as error:
        fail(error, as_json=as_json)
    except KeyboardInterrupt:
        err().print("stopped")
        raise typer.Exit(130) from None


def fail(error: TradingError, *, as_json: bool = False) -> NoReturn:
    """Print the error (as the one error shape with ``as_json``) and leave with its code."""
    code = error.daemon_code if isinstance(error, DaemonRefused) else error.code
    if as_json:
        body = {"code": code, "message": error.message, "field": error.field, "hint": error.hint}
        print_json({"error": {name: value for name, value in body.items() if value is not None}})
    else:
        console = err()
        prefix = f"{error.field}: " if error.field and not error.message.startswith(error.field) else ""
        console.print(Text.assemble(("error: ", "bold red"), prefix + error.message))
        if error.hint:
            console.print(Text.assemble(("hint: ", "bold"), error.hint))
    raise typer.Exit(exit_code(error))


def exit_code(error: TradingError) -> int:
    """Return the process's exit code for an error."""
    if isinstance(error, (DaemonUnreachable, FeedUnavailable)):
        return EXIT_UNREACHABLE
    wrong_use = isinstance(error, InvalidInput) or (
        isinstance(error, DaemonRefused) and error.daemon_code == InvalidInput.code
    )
    return EXIT_WRONG_USE if wrong_use else EXIT_FAILED


def figures(title: str, rows: Sequence[tuple[str, str]]) -> Table:
    """Return a two-column table of names and figures."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def listing(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table with a head; values are shown as they are, never read as markup."""
    table = Table(title=title, title_justify="left", header_style="bold", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column,
            overflow="fold",
            justify="right" if column.endswith(("SOL", "%", "bps", "rows", "trades", "fills")) else "left",
        )
    for row in rows:
        table.add_row(*(Text(value) for value in row))
    return table


def bps_text(bps: int | None) -> str:
    """Return basis points as a percentage: 125 -> "1.25 %"."""
    return "-" if bps is None else f"{bps / 100:.2f} %"


def number_text(value: float | None) -> str:
    return "too little data" if value is None else f"{value:.2f}"


def lamports_text(lamports: int) -> str:
    return f"{sol_text(lamports)} SOL"


def amount_text(amount: Mapping[str, Any] | None) -> str:
    """Return a wire Amount as "1.5 SOL (213.75 USD)"."""
    if amount is None:
        return "-"
    usd = f" ({amount['usd']} USD)" if amount.get("usd") else ""
    return f"{amount['sol']} SOL{usd}"
