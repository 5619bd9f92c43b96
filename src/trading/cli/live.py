"""``live``: arming real money, and what is armed. Arming is done on a terminal, by who knows the passphrase."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer
from rich.text import Text

from trading.cli.client import Daemon, data_dir_of
from trading.cli.console import (
    EXIT_FAILED,
    DaemonRefused,
    DaemonUnreachable,
    figures,
    lamports_text,
    listing,
    out,
    print_json,
    reporting,
)
from trading.cli.options import DataDir, JsonFlag, desks_of
from trading.cli.signer import short_address, signer_rows
from trading.cli.signer_options import Folder, SignerUser, Socket, ask_signer, signer_socket, socket_of
from trading.errors import InvalidInput

if TYPE_CHECKING:
    from trading.model.mandate import Mandate
    from trading.signing.readiness import Check

MANDATE_NAME = "mandate.toml"
UPKEEP_NAME = "upkeep.json"
MandatePath = Annotated[
    Path | None, typer.Option("--mandate", help="The mandate's file (default: mandate.toml in the data directory).")
]
Backup = Annotated[Path | None, typer.Option("--backup", help="The back-up to read through: a directory.")]
Paper = Annotated[
    str | None, typer.Option("--paper", help="The session on paper that the strategies are judged by: its directory.")
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Arm and disarm real money; on a terminal only.", no_args_is_help=True)
    group.command("ready")(ready)
    group.command("arm")(arm)
    group.command("disarm")(disarm)
    group.command("status")(status)
    group.command("sweep")(sweep)
    app.add_typer(group, name="live")


def ready(
    mandate: MandatePath = None,
    backup: Backup = None,
    paper: Paper = None,
    folder: Folder = None,
    socket: Socket = None,
    signer_user: SignerUser = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the readiness list with its evidence. Exit code 1 while something of it is in the way of arming."""
    with reporting(as_json=as_json):
        path, wanted, _ = _mandate(mandate, data_dir)
        checks = _checks(wanted, socket_of(socket, folder), signer_user, data_dir, backup, paper)
    if as_json:
        print_json({"mandate": str(path), "sha256": wanted.sha256, "checks": [_check_body(each) for each in checks]})
    else:
        _show_checks(checks)
    if any(each.is_in_the_way for each in checks):
        raise typer.Exit(EXIT_FAILED)


def arm(
    mandate: MandatePath = None,
    backup: Backup = None,
    paper: Paper = None,
    folder: Folder = None,
    socket: Socket = None,
    signer_user: SignerUser = None,
    data_dir: DataDir = None,
) -> None:
    """Arm a mandate: show it and the readiness list, ask, and hand it to the signer, which seals it. It ends by itself.

    For root and the signer's own user, on a terminal.
    """
    with reporting():
        from trading.signing.terminal import ask_passphrase, ask_yes, require_terminal

        require_terminal()
        path, wanted, text = _mandate(mandate, data_dir)
        place = socket_of(socket, folder)
        checks = _checks(wanted, place, signer_user, data_dir, backup, paper)
        _show_checks(checks)
        _show_mandate(path, wanted)
        if any(each.is_in_the_way for each in checks):
            out().print(Text("not armed: see what is in the way", style="red"))
            raise typer.Exit(EXIT_FAILED)
        if not ask_yes(f"arm this mandate ({wanted.network.value} money)?"):
            out().print(Text("not armed"))
            raise typer.Exit(EXIT_FAILED)
        typed = ask_passphrase("passphrase of the signer: ").reveal().decode()
        wish = {
            "passphrase": typed,
            "text": text.decode(),
            "source": str(path),
            "evidence": [
                f"{each.name}: {'met' if each.is_met else 'not met'}: {each.evidence}"[:400] for each in checks
            ],
        }
        found = anyio.run(ask_signer, place, signer_user, "arm", wish)
    out().print(figures("Armed", signer_rows(found)))


def disarm(
    why: Annotated[str, typer.Option("--why", help="Why, for the signer's record.")] = "",
    folder: Folder = None,
    socket: Socket = None,
    signer_user: SignerUser = None,
) -> None:
    """Disarm at once: nothing is bought any more; what is held may still be sold. Anybody of the desk may."""
    with reporting():
        found = anyio.run(ask_signer, socket_of(socket, folder), signer_user, "disarm", {"why": why})
    out().print(figures("Disarmed", signer_rows(found)))


def status(
    folder: Folder = None,
    socket: Socket = None,
    signer_user: SignerUser = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what is armed, until when, what of the day is spent, how the desk is, and what waits for a person."""
    with reporting(as_json=as_json):
        from trading.adapters.execution_journal import review_queue
        from trading.runtime.recorded_runs import EXECUTION_NAME

        found = anyio.run(ask_signer, socket_of(socket, folder), signer_user, "status")
        waiting, halted = review_queue(desks_of(data_dir)[0] / EXECUTION_NAME)
        desk = _desk_state(data_dir)
        kept_up = _upkeep(data_dir) or {}
    last = kept_up.get("last_sweep")
    if as_json:
        review = {"waiting": waiting, "halted": list(halted)}
        print_json({"signer": found, "review": review, "desk": desk, "last_sweep": last})
        return
    rows = [
        *signer_rows(found),
        ("last sweep", "none" if last is None else _swept(last)),
        ("desk", desk),
        ("needs review", f"{waiting} intents"),
        ("halted", ", ".join(halted) or "no wallet"),
    ]
    out().print(figures("Live", rows))


def sweep(
    preview: Annotated[bool, typer.Option("--preview", help="Show what would be swept now; nothing is sent.")] = False,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what the desk would sweep to the cold address, as it found it last. It sweeps by itself, at most once a day,
    where ``live.sweep_above_sol`` is set: no command sends money."""
    with reporting(as_json=as_json):
        if not preview:
            msg = "the desk sweeps by itself; this command only shows what it would"
            raise InvalidInput(msg, field="preview", hint="add --preview")
        found = _upkeep(data_dir)
        if found is None:
            msg = "no desk with real money has looked after its wallet here yet"
            raise InvalidInput(msg, field="data_dir", hint="start one: memmcp serve --money real")
    if as_json:
        print_json(found)
        return
    from trading.runtime.documents import iso

    wish = found["sweep"]
    would = f"{lamports_text(wish['lamports'])} to {wish['to_address']}" if wish["lamports"] else wish["why_not"]
    rows = [
        ("as of", iso(found["looked_ns"])),
        ("wallet", found["wallet"]),
        ("would go", would),
        ("equity, profit", f"{lamports_text(found['equity_lamports'])}, {lamports_text(found['profit_lamports'])}"),
        ("empty accounts", str(found["empty_accounts"])),
        ("last sweep", "none" if found["last_sweep"] is None else _swept(found["last_sweep"])),
    ]
    out().print(figures("Sweep", rows))


def _upkeep(data_dir: Path | None) -> dict[str, Any] | None:
    """Return what the desk found when it looked after its wallet last, None where none did. Raises: InvalidInput."""
    import json

    path = desks_of(data_dir)[0] / UPKEEP_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: {error}"
        raise InvalidInput(msg, field="data_dir") from error
    return found if isinstance(found, dict) else None


def _swept(last: dict[str, Any]) -> str:
    from trading.runtime.documents import iso

    what = f"failed on chain: {last['error']}" if last["error"] else lamports_text(last["lamports"])
    return f"{iso(last['created_ns'])}: {what} to {short_address(last['to_address'])}, {last['signature']}"


def _desk_state(data_dir: Path | None) -> str:
    """Return how the daemon's desk is, in its own words: what it waits for, where it cannot start yet."""
    try:
        daemon = Daemon.find(data_dir)
        told = str(daemon.get("/health")["checks"]["trading"])
        if told != "ok":
            return told
        snapshot = daemon.get("/telemetry/trading")
    except (DaemonUnreachable, DaemonRefused) as error:
        return error.message
    entries = "entries allowed" if snapshot["entries_allowed"] else "entries stopped"
    waiting = f", {len(snapshot['waiting_orders'])} orders wait for the operator" if snapshot["waiting_orders"] else ""
    return f"{snapshot['money']} money, {snapshot['state']}, {entries}: {snapshot['state_reason']}{waiting}"


def _mandate(given: Path | None, data_dir: Path | None) -> "tuple[Path, Mandate, bytes]":
    """Return the file's place, what it says, and its very text. Raises: InvalidInput."""
    from trading.signing.files import read_bounded
    from trading.signing.mandate import FILE_BYTES_MAX, parse_mandate

    path = (given or data_dir_of(data_dir) / MANDATE_NAME).expanduser().absolute()
    text = read_bounded(path, FILE_BYTES_MAX)
    return path, parse_mandate(text), text


def _checks(
    wanted: "Mandate", socket: Path, user: str | None, data_dir: Path | None, backup: Path | None, paper: str | None
) -> "tuple[Check, ...]":
    from contextlib import ExitStack

    from trading.runtime.live_readiness import look
    from trading.runtime.recorded_runs import recorded_run
    from trading.signing.readiness import checks_of

    desks = desks_of(data_dir)
    with ExitStack() as stack:
        run = None if paper is None else stack.enter_context(recorded_run(paper, desks))
        return checks_of(anyio.run(look, wanted, signer_socket(socket, user), desks[0], backup, run))


def _told(check: "Check") -> str:
    return f"{check.name}: {'met' if check.is_met else 'not met'}: {check.evidence}"[:400]


def _check_body(check: "Check") -> dict[str, Any]:
    return {
        "name": check.name,
        "is_met": check.is_met,
        "is_required": check.is_required,
        "evidence": check.evidence,
        "remedy": "" if check.is_met else check.remedy,
    }


def _show_checks(checks: "tuple[Check, ...]") -> None:
    rows = []
    for each in checks:
        word = "met" if each.is_met else "in the way" if each.is_required else "not met (rehearsal)"
        rows.append((each.name, word, each.evidence, "" if each.is_met else each.remedy))
    out().print(listing("Readiness", ("check", "", "seen", "to do"), rows))


def _show_mandate(path: Path, wanted: "Mandate") -> None:
    from trading.runtime.documents import iso

    rows = [
        ("file", f"{path}, SHA-256 {wanted.sha256}"),
        ("name, money", f"{wanted.name}, {wanted.network.value} ({wanted.genesis_hash})"),
        ("wallets", ", ".join(wanted.wallets)),
        ("cold address", f"{wanted.cold_address}, a day at most {lamports_text(wanted.sweep_day_lamports_max)}"),
        ("endpoints", ", ".join(wanted.endpoints)),
        ("tokens", ", ".join(wanted.mints)),
        ("sides, venues", f"{', '.join(wanted.sides)}; {', '.join(wanted.venues) or 'any'}"),
        ("an order, a day", f"{lamports_text(wanted.order_lamports_max)}, {lamports_text(wanted.day_lamports_max)}"),
        ("fee, a day", f"{lamports_text(wanted.fee_lamports_max)}, {lamports_text(wanted.fee_day_lamports_max)}"),
        ("slippage", f"{wanted.slippage_bps_max} bps"),
        ("first trades", f"{wanted.ramp_trades} of at most {lamports_text(wanted.ramp_lamports_max)}"),
        ("approval above", lamports_text(wanted.approval_above_lamports)),
        ("ends", f"after {wanted.armed_s_max // 3_600} hours, at the latest {iso(wanted.expires_ns)}"),
    ]
    out().print(figures("The mandate", rows))
