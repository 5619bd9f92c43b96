"""phone: the PIN that commands from a phone take, and whether the bot can be reached."""

import asyncio
import getpass
import os
import sys
import warnings
from typing import Annotated

import typer

from memmcp_server.adapters.phone_files import PhoneFiles
from memmcp_server.config import PhoneSection
from memmcp_server.domain.phone import Pin, check_pin
from memmcp_server.errors import InvalidInput
from memmcp_server.settings import load

from .client import places_of
from .console import exit_codes, print_json, say
from .options import DataDir, Json

app = typer.Typer(help="The operator's phone: PIN and connection.", no_args_is_help=True, rich_markup_mode=None)
_HINT = "run it in a terminal of your own: a PIN is never taken from a pipe, an argument or the environment"


@app.command()
def pin(data_dir: DataDir = None, json: Json = False) -> None:
    """Set the PIN that /stop and /flatten take; it is typed unseen, and only a salted hash of it is kept."""
    with exit_codes():
        first = _typed("new PIN: ")
        check_pin(first)
        if _typed("the same again: ") != first:
            msg = "both are not the same"
            raise InvalidInput(msg, field="pin")
        PhoneFiles(places_of(data_dir).data_dir).set_pin(Pin.of(first))
    print_json({"is_set": True}) if json else say("the PIN is set; the daemon knows it at once")


@app.command()
def check(
    send: Annotated[bool, typer.Option("--send", help="Send each user a message, too.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Ask the bot's server whether it knows the bot, and say who may speak with it."""
    places = places_of(data_dir)
    with exit_codes():
        section = load(places.data_dir, os.environ).phone
        if section.token is None:
            msg = "no phone is configured"
            raise InvalidInput(msg, field="phone.token", hint="see docs/observability.md: [phone] token and users")
        name = asyncio.run(_asked(section, send=send))
        has_pin = PhoneFiles(places.data_dir).pin() is not None
    if json:
        print_json({"bot": name, "users": list(section.users), "has_pin": has_pin, "is_sent": send})
        return
    say(f"the bot is {name}; it listens to: {', '.join(map(str, section.users)) or 'nobody (set phone.users)'}")
    say("a PIN is set" if has_pin else "no PIN is set, so it changes nothing: memmcp phone pin")


async def _asked(section: PhoneSection, *, send: bool) -> str:
    from memmcp_server.adapters.telegram import opened_chat

    async with opened_chat(section) as chat:
        name = await chat.name()
        for user in section.users if send else ():
            await chat.send(user, "memMCP reaches this phone. /help lists the commands.")
    return name


def _typed(prompt: str) -> str:
    """Return what a person typed on the terminal, unseen. Raises: InvalidInput where there is none."""
    msg = "the PIN could not be read unseen from a terminal"
    if not sys.stdin.isatty():
        raise InvalidInput(msg, field="terminal", hint=_HINT)
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)  # it would fall back to standard input, with echo
        try:
            return getpass.getpass(prompt)
        except (getpass.GetPassWarning, EOFError, OSError) as error:
            raise InvalidInput(msg, field="terminal", hint=_HINT) from error
