"""How the command line speaks: answers on stdout, everything else on stderr, and an exit code that a program can read.

0 done, 1 failed, 2 wrong use, 3 nothing reachable.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from memmcp_server.errors import InvalidInput, MemoryServerError

from .client import Failed, NoDaemon

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3


def out() -> Console:
    return Console(highlight=False, soft_wrap=True)


def err() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def say(text: str) -> None:
    out().print(escape(text))


def note(text: str) -> None:
    err().print(escape(text), style="dim")


def plain(text: str) -> str:
    """Stored text is data: no markup, and no control characters that would steer a terminal."""
    return escape("".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text))


def complain(message: str, hint: str | None = None) -> None:
    console = err()
    console.print(f"[bold red]error:[/] {escape(message)}")
    if hint:
        console.print(f"[dim]{escape(hint)}[/]")


def table(*columns: str) -> Table:
    """Return an empty table; without column names it has no head."""
    result = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for column in columns:
        result.add_column(column, overflow="fold")
    return result


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn what went wrong into a sentence and an exit code."""
    try:
        yield
    except NoDaemon as error:
        complain(str(error))
        raise typer.Exit(EXIT_UNREACHABLE) from error
    except Failed as error:
        complain(str(error), error.hint)
        raise typer.Exit(EXIT_FAILED) from error
    except InvalidInput as error:
        complain(error.message, error.hint)
        raise typer.Exit(EXIT_USAGE) from error
    except MemoryServerError as error:
        complain(error.message, error.hint)
        raise typer.Exit(EXIT_FAILED) from error
    except BrokenPipeError as error:
        raise typer.Exit(EXIT_FAILED) from error
