"""Where the signer lies and who it is, as several commands take it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trading.cli.client import data_dir_of

if TYPE_CHECKING:
    from trading.signing.client import SignerSocket

SIGNER_FOLDER: Final = "signer"
SOCKET_NAME: Final = "signer.sock"

Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="The signer's folder, mode 0700 (default: signer in the data directory)."),
]
Socket = Annotated[
    Path | None,
    typer.Option("--socket", help="The signer's socket (default: signer.sock in its folder)."),
]
SignerUser = Annotated[
    str | None,
    typer.Option("--signer-user", help="Who must answer at the socket: a user's name or number (default: we)."),
]


def folder_of(folder: Path | None) -> Path:
    """Return the signer's folder."""
    return (folder or data_dir_of(None) / SIGNER_FOLDER).expanduser().absolute()


def socket_of(socket: Path | None, folder: Path | None) -> Path:
    """Return the signer's socket."""
    return (socket or folder_of(folder) / SOCKET_NAME).expanduser().absolute()


def signer_socket(socket: Path, user: str | None) -> "SignerSocket":
    """Return the signer's socket, at which nobody but its user is believed. Raises: InvalidInput (the user)."""
    from trading.signing.client import SignerSocket
    from trading.signing.frames import uid_of

    return SignerSocket(socket, os.geteuid() if user is None else uid_of(user))


async def ask_signer(socket: Path, user: str | None, op: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the signer one thing. Raises: SignerUnavailable where nobody, or another user, answers; what it says."""
    return await signer_socket(socket, user).ask(op, body)
