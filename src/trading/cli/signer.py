"""``signer``: the keys, and the process that holds them. Whatever takes a passphrase takes it from a terminal only."""

from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.text import Text

from trading.cli.console import err, figures, lamports_text, out, print_json, reporting
from trading.cli.options import JsonFlag
from trading.cli.signer_options import Folder, SignerUser, Socket, ask_signer, folder_of, socket_of
from trading.errors import InvalidInput
from trading.model.mandate import MAINNET_GENESIS, network_of

Genesis = Annotated[
    str | None,
    typer.Option("--genesis-hash", help="The chain that the key is for; a rehearsal chain tells its own."),
]
Live = Annotated[bool, typer.Option("--live", help="The key is for Solana's main network: real money.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="The keys, and the process of its own that holds them.", no_args_is_help=True)
    group.command("init")(init)
    group.command("key")(key)
    group.command("keyring")(keyring)
    group.command("run")(run)
    group.command("unlock")(unlock)
    group.command("lock")(lock)
    group.command("status")(status)
    group.command("passkey")(passkey)
    app.add_typer(group, name="signer")


def init(folder: Folder = None, genesis_hash: Genesis = None, live: Live = False) -> None:
    """Make the signer's folder under a new passphrase, with one wallet in it, and print the wallet's address."""
    with reporting():
        from trading.signing.keys import KeyFolder
        from trading.signing.secrets import SecretKey
        from trading.signing.terminal import ask_new_passphrase, require_terminal

        chain = _chain(genesis_hash, live)
        require_terminal()
        keys = KeyFolder(folder_of(folder))
        if keys.exists:
            msg = f"{keys.folder} holds keys already"
            raise InvalidInput(msg, field="folder", hint="`memmcp-trade signer key` adds a wallet")
        root = keys.create(ask_new_passphrase("new passphrase of the signer: "))
        secret = SecretKey.generate(chain)
        keys.add_seed(root, secret)
        root.wipe()
    _say_key(secret.address, chain, keys.folder)


def key(folder: Folder = None, genesis_hash: Genesis = None, live: Live = False) -> None:
    """Add a new wallet to the signer's folder, and print its address. A running signer sees it when next unlocked."""
    with reporting():
        from trading.signing.keys import KeyFolder
        from trading.signing.secrets import SecretKey
        from trading.signing.terminal import ask_passphrase

        chain = _chain(genesis_hash, live)
        keys = KeyFolder(folder_of(folder))
        root = keys.unlock(ask_passphrase("passphrase of the signer: "))
        secret = SecretKey.generate(chain)
        keys.add_seed(root, secret)
        root.wipe()
    _say_key(secret.address, chain, keys.folder)


def keyring(
    folder: Folder = None,
    forget: Annotated[bool, typer.Option("--forget", help="Take it out of the keyring again.")] = False,
) -> None:
    """Keep what unlocks the signer in the system's keyring of its user too, for `signer run --keyring`."""
    with reporting():
        from trading.signing.keyrings import KeyringRoot
        from trading.signing.keys import KeyFolder
        from trading.signing.terminal import ask_passphrase

        place = KeyringRoot(folder_of(folder))
        root = KeyFolder(folder_of(folder)).unlock(ask_passphrase("passphrase of the signer: "))
        if forget:
            place.forget()
        else:
            place.store(root)
        root.wipe()
    out().print(Text("taken out of the keyring" if forget else "the keyring of this user unlocks the signer now"))


def run(
    folder: Folder = None,
    socket: Socket = None,
    desk_user: Annotated[
        list[str] | None,
        typer.Option("--desk-user", help="A user whose desk may ask for signatures; repeat it. Default: this user."),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", help="Where the page is shown, such as http://localhost:8765; for passkeys."),
    ] = None,
    from_keyring: Annotated[bool, typer.Option("--keyring", help="Unlock from this user's keyring.")] = False,
    locked: Annotated[bool, typer.Option("--locked", help="Start locked; `signer unlock` unlocks it later.")] = False,
) -> None:
    """Hold the keys and sign what the armed mandate allows, until stopped. Best run under a user of its own."""
    with reporting():
        from trading.runtime.signer_run import SignerOptions, run_signer
        from trading.signing.terminal import ask_passphrase

        options = SignerOptions(
            folder=folder_of(folder),
            socket=socket_of(socket, folder),
            desk_users=tuple(desk_user or ()),
            origins=tuple(origin or ()),
            uses_keyring=from_keyring,
        )
        passphrase = None if locked or from_keyring else ask_passphrase("passphrase of the signer: ")
        anyio.run(run_signer, options, passphrase, lambda missing: _say_ready(options.socket, missing))


def unlock(folder: Folder = None, socket: Socket = None, signer_user: SignerUser = None) -> None:
    """Unlock a running signer: for root and the signer's own user, on a terminal."""
    _operate(socket_of(socket, folder), signer_user, "unlock")


def lock(folder: Folder = None, socket: Socket = None, signer_user: SignerUser = None) -> None:
    """Make a running signer forget its keys: nothing is signed, exits included, until it is unlocked."""
    with reporting():
        anyio.run(ask_signer, socket_of(socket, folder), signer_user, "lock")
    out().print(Text("locked"))


def status(
    folder: Folder = None, socket: Socket = None, signer_user: SignerUser = None, as_json: JsonFlag = False
) -> None:
    """Show whether the signer is unlocked and armed, for how long, and what of the day is spent."""
    with reporting(as_json=as_json):
        found = anyio.run(ask_signer, socket_of(socket, folder), signer_user, "status")
    if as_json:
        print_json(found)
        return
    out().print(figures("The signer", signer_rows(found)))


def passkey(
    remove: Annotated[
        str | None, typer.Option("--remove", help="Take the passkey with this fingerprint out instead.")
    ] = None,
    folder: Folder = None,
    socket: Socket = None,
    signer_user: SignerUser = None,
) -> None:
    """Register a passkey: shows a one-time code for the page, then asks whether both fingerprints are the same."""
    with reporting():
        from trading.signing.terminal import ask_passphrase, ask_yes

        place = socket_of(socket, folder)
        typed = ask_passphrase("passphrase of the signer: ").reveal().decode()
        if remove is not None:
            wish = {"passphrase": typed, "fingerprint": remove}
            anyio.run(ask_signer, place, signer_user, "passkey_remove", wish)
            out().print(Text("removed"))
            return
        code = anyio.run(ask_signer, place, signer_user, "passkey_begin", {"passphrase": typed})
        out().print(Text(f"type this code into the page, Approvals, Add a passkey: {code}"))
        waiting = anyio.run(_until_registered, place, signer_user)
        out().print(Text(f"{waiting['label'] or 'a passkey'} with the fingerprint {waiting['fingerprint']}"))
        if not ask_yes("does the page show the same fingerprint?"):
            msg = "not registered: the credential was not yours"
            raise InvalidInput(msg, field="fingerprint", hint="somebody else may have typed the code; begin again")
        wish = {"passphrase": typed, "fingerprint": waiting["fingerprint"]}
        anyio.run(ask_signer, place, signer_user, "passkey_confirm", wish)
    out().print(Text("registered"))


async def _until_registered(socket: Path, user: str | None) -> dict[str, Any]:
    """Raises: InvalidInput when the code's time is over."""
    with anyio.move_on_after(600):
        while True:
            waiting = await ask_signer(socket, user, "passkey_waiting")
            if waiting is not None:
                found: dict[str, Any] = waiting
                return found
            await anyio.sleep(0.5)
    msg = "nobody used the code in time"
    raise InvalidInput(msg, field="code")


def _operate(socket: Path, user: str | None, op: str) -> None:
    with reporting():
        from trading.signing.terminal import ask_passphrase

        typed = ask_passphrase("passphrase of the signer: ").reveal().decode()
        found = anyio.run(ask_signer, socket, user, op, {"passphrase": typed})
    out().print(figures("The signer", signer_rows(found)))


def short_address(address: str) -> str:
    """Return the ends of an address, by which a person tells it apart."""
    return f"{address[:4]}…{address[-4:]}"


def _sweeps(lamports: int) -> str:
    return f"at most {lamports_text(lamports)} a day" if lamports else "nothing is swept"


def signer_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the status as names and figures."""
    from trading.runtime.documents import iso

    armed = found["armed"]
    rows = [("unlocked", "yes" if found["is_unlocked"] else "no")]
    if armed is None:
        rows.append(("armed", f"no ({found['why_not']})"))
    else:
        rows += [
            ("armed", f"yes: {armed['name']}, {armed['network']}, until {iso(armed['ends_ns'])}"),
            ("mandate", f"{armed['sha256']} from {armed['source']}"),
            ("cold address", f"{short_address(armed['cold_address'])}, {_sweeps(armed['sweep_day_lamports_max'])}"),
            ("an order, a day", ", ".join(lamports_text(armed[f"{each}_lamports_max"]) for each in ("order", "day"))),
        ]
    if found["is_unlocked"]:
        day = found["day"]
        rows += [
            ("spent in 24 h", f"{lamports_text(day['spent_lamports'])}, fees {lamports_text(day['fee_lamports'])}"),
            ("swept in 24 h", lamports_text(day["swept_lamports"])),
            (
                "wallets",
                ", ".join(f"{each['address']} ({network_of(each['genesis_hash'])})" for each in found["wallets"]),
            ),
            ("passkeys", ", ".join(each["fingerprint"] for each in found["passkeys"]) or "none"),
        ]
    return rows


def _chain(genesis_hash: str | None, live: bool) -> str:
    if live == (genesis_hash is not None):
        msg = "give either --live or the --genesis-hash of a rehearsal chain"
        raise InvalidInput(msg, field="genesis_hash")
    if live:
        return MAINNET_GENESIS
    assert genesis_hash is not None
    if genesis_hash == MAINNET_GENESIS:
        msg = "this is Solana's main network; a key for real money is made with --live"
        raise InvalidInput(msg, field="genesis_hash")
    return genesis_hash


def _say_key(address: str, chain: str, folder: Path) -> None:
    rows = [("wallet", address), ("for", f"{network_of(chain)} ({chain})"), ("in", str(folder))]
    out().print(figures("A new key", rows))
    out().print(Text("keep a copy of the folder and the passphrase apart from this machine: nobody can restore either"))


def _say_ready(socket: Path, missing: Any) -> None:
    console = err()
    for each in missing:
        console.print(Text(f"not hardened: {each}"))
    console.print(Text(f"listening at {socket}"))
