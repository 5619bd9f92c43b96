"""The signer's process put together: hardened first, then its record, its socket, and nothing until it is unlocked."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trading.errors import InvalidInput
from trading.signing.chain_view import RpcChainView
from trading.signing.core import SignerCore, SignerParts
from trading.signing.frames import uid_of
from trading.signing.hardening import harden
from trading.signing.keyrings import KeyringRoot
from trading.signing.keys import KeyFolder
from trading.signing.messages import SwapMessages
from trading.signing.remote import LateRemoteKey
from trading.signing.secrets import Passphrase
from trading.signing.server import Doors, SignerServer, listening


@dataclass(frozen=True, slots=True)
class SignerOptions:
    """``desk_users`` may ask for signatures (names or numbers; none: our own user). ``origins`` are the page's."""

    folder: Path
    socket: Path
    desk_users: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    uses_keyring: bool = False


async def run_signer(
    options: SignerOptions, passphrase: Passphrase | None, ready: Callable[[Sequence[str]], None]
) -> None:
    """Serve until SIGTERM or SIGINT; with a passphrase or a keyring unlocked from the start.

    ``ready`` is called once it listens, with what could not be hardened. Raises: InvalidInput, WrongPassphrase,
    JournalUnavailable (another signer has the folder, or the record was altered), SignerUnavailable.
    """
    missing = harden()
    own = os.geteuid()
    doors = Doors(
        desk_uids=frozenset(uid_of(user) for user in options.desk_users) or frozenset({own}),
        operator_uids=frozenset({own, 0}),
    )
    folder = KeyFolder(options.folder)
    if not folder.exists:
        msg = f"{options.folder} holds no keys"
        raise InvalidInput(msg, field="folder", hint="memmcp-trade signer init")
    core = SignerCore(
        SignerParts(
            folder=folder,
            check=SwapMessages(),
            chain=RpcChainView,
            remote=LateRemoteKey,
            now_ns=time.time_ns,
            origins=options.origins,
        )
    )
    try:
        if passphrase is not None:
            await core.unlock(passphrase)
        elif options.uses_keyring:
            await core.unlock_with(KeyringRoot(options.folder).unlock())
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with listening(options.socket, SignerServer(core, doors, time.time_ns), doors):
            ready(missing)
            await stop.wait()
    finally:
        await core.aclose()
