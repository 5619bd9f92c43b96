"""login: a code that logs a browser in on the page, once."""

import os
import sys
import webbrowser
from typing import Annotated

import typer

from .client import find, places_of
from .console import exit_codes, print_json, say
from .options import DataDir, Json


def register(app: typer.Typer) -> None:
    app.command()(login)


def login(
    viewer: Annotated[bool, typer.Option("--viewer", help="One that may see everything and change nothing.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only show the address and the code.")] = False,
    end_all: Annotated[bool, typer.Option("--end-all", help="Instead, log everybody out of the page.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Log in on the page: opens it with a code that works once, for five minutes."""
    with exit_codes():
        daemon = find(places_of(data_dir))
        if end_all:
            answer = daemon.post("/admin/logins/end", {})
        else:
            answer = daemon.post("/admin/logins/code", {"role": "viewer" if viewer else "operator"})
    if json:
        print_json(answer)
        return
    if end_all:
        say(f"{answer['ended']} sessions were ended")
        return
    say(answer["url"])
    say(f"Or type the code on the page, within {answer['expires_s'] / 60:.0f} minutes: {answer['code']}")
    if not no_browser and _has_screen():
        webbrowser.open(answer["url"])


def _has_screen() -> bool:
    """Say whether a browser can open a window; on a machine without a screen one would take over the terminal."""
    if not sys.stdout.isatty():
        return False
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
