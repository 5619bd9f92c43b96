"""The operator's controls. Each goes to the running daemon, once per key, and says what happens to open positions."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from trading.cli.client import Daemon
from trading.cli.console import EXIT_FAILED, figures, out, print_json, reporting
from trading.cli.options import DataDir, JsonFlag, lamports_of
from trading.errors import InvalidInput
from trading.model.units import sol_text

Reason = Annotated[str, typer.Option("--reason", help="Why, 3 to 1,000 characters; kept in the journal.")]
Key = Annotated[
    str | None, typer.Option("--key", help="Idempotency key: repeating a command with its key changes nothing.")
]
Level = Annotated[
    str | None,
    typer.Option("--level", help="Only there: wallet:main, bucket:NAME or strategy:NAME. Default: the whole account."),
]
Mint = Annotated[str, typer.Argument(metavar="MINT", help="The token's mint address.")]
Percent = Annotated[int, typer.Argument(metavar="[PERCENT]", help="How much of the position, 1 to 100.")]
Sol = Annotated[str, typer.Argument(metavar="SOL", help="Amount in SOL, at most 9 decimals.")]

BY_HAND = "by the operator, from the command line"
REASON_LEN_MAX = 1_000


def register(app: typer.Typer) -> None:
    """Add the controls."""
    app.command("stop-entries")(stop_entries)
    app.command("reduce-only")(reduce_only)
    app.command("flatten-and-halt")(flatten_and_halt)
    app.command("resume")(resume)
    app.command("close")(close)
    app.command("deposit")(deposit)
    app.command("withdraw")(withdraw)
    app.command("target")(target)
    app.command("profile")(profile)


def stop_entries(
    reason: Reason = BY_HAND, key: Key = None, data_dir: DataDir = None, as_json: JsonFlag = False
) -> None:
    """Open nothing new. Open positions stay and their exits go on."""
    _act("stop-entries", {"reason": reason}, key, data_dir, as_json)


def reduce_only(
    reason: Reason = BY_HAND,
    level: Level = None,
    key: Key = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Only sell. Open positions are neither added to nor sold at once; their exits go on."""
    _act("reduce-only", _at(level, reason), key, data_dir, as_json)


def flatten_and_halt(
    reason: Reason = BY_HAND,
    level: Level = None,
    key: Key = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Sell every open position that can be sold, then halt."""
    _act("flatten-and-halt", _at(level, reason), key, data_dir, as_json)


def resume(
    reason: Annotated[
        str | None,
        typer.Option("--reason", help="Why the cause is over; needed where the desk or a level reduces or is halted."),
    ] = None,
    level: Level = None,
    key: Key = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Allow entries again. Open positions stay as they are. The cause is kept with the reason that you give."""
    with reporting(as_json=as_json):
        snapshot = Daemon.find(data_dir).get("/telemetry/trading")
        cause = f"{snapshot['state']}, {snapshot['state_reason']}"
        if reason is None and (level is not None or snapshot["state"] != "ACTIVE"):
            msg = f"the desk is {cause}" if level is None else f"{level} is to trade again"
            raise InvalidInput(
                msg, field="reason", hint="say with --reason why that is over; `memmcp-trade night` shows it"
            )
    said = BY_HAND if reason is None else reason
    if reason is not None and level is None and snapshot["state"] != "ACTIVE":
        said = f"{reason} (acknowledged: {cause})"[:REASON_LEN_MAX]
    _act("resume", _at(level, said), key, data_dir, as_json)


def close(
    mint: Mint,
    percent: Percent = 100,
    reason: Reason = BY_HAND,
    key: Key = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Sell a share of one open position (all of it by default). The others stay."""
    with reporting(as_json=as_json):
        if not 1 <= percent <= 100:
            msg = f"percent is {percent}; expected 1 to 100"
            raise InvalidInput(msg, field="percent")
    _act("close", {"reason": reason, "mint": mint, "percent": percent}, key, data_dir, as_json)


def deposit(
    sol: Sol, reason: Reason = BY_HAND, key: Key = None, data_dir: DataDir = None, as_json: JsonFlag = False
) -> None:
    """Book a paper deposit. Returns are time-weighted, so they do not count it; open positions stay."""
    _act("deposit", {"reason": reason, "amount_sol": _amount(sol, as_json)}, key, data_dir, as_json)


def withdraw(
    sol: Sol, reason: Reason = BY_HAND, key: Key = None, data_dir: DataDir = None, as_json: JsonFlag = False
) -> None:
    """Book a paper withdrawal of free cash. It trips no limit; open positions stay."""
    _act("withdraw", {"reason": reason, "amount_sol": _amount(sol, as_json)}, key, data_dir, as_json)


def target(
    sol: Sol, reason: Reason = BY_HAND, key: Key = None, data_dir: DataDir = None, as_json: JsonFlag = False
) -> None:
    """Set the equity that the compounding tracker measures against. Open positions stay."""
    _act("target", {"reason": reason, "amount_sol": _amount(sol, as_json)}, key, data_dir, as_json)


def profile(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The profile to trade under from now on.")
    ] = None,
    reason: Reason = BY_HAND,
    key: Key = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the running desk's profile, or switch to another one. Open positions go on under its exit rules."""
    if name is not None:
        _act("profile", {"reason": reason, "profile": name}, key, data_dir, as_json)
        return
    with reporting(as_json=as_json):
        snapshot = Daemon.find(data_dir).get("/telemetry/trading")
    shown = {field: snapshot[field] for field in ("profile", "tier", "money", "state")}
    if as_json:
        print_json(shown)
    else:
        out().print(figures("The desk's profile", [(field, str(value)) for field, value in shown.items()]))


def _at(level: str | None, reason: str) -> dict[str, Any]:
    return {"reason": reason} if level is None else {"reason": reason, "level": level}


def _amount(sol: str, as_json: bool) -> str:
    with reporting(as_json=as_json):
        return sol_text(lamports_of("amount_sol", sol))


def _act(name: str, body: dict[str, Any], key: str | None, data_dir: Path | None, as_json: bool) -> None:
    with reporting(as_json=as_json):
        answer = Daemon.find(data_dir).act(name, body, key)
    if as_json:
        print_json(answer)
    else:
        console = out()
        done = answer["status"] == "done"
        console.print(Text.assemble((f"{name}: ", "bold"), (answer["status"], "green" if done else "bold red")))
        console.print(Text(answer["effect"]))
        entries = "entries allowed" if answer["entries_allowed"] else "no entries"
        console.print(
            Text(f"state {answer['state']}, {entries} (money: {answer['money']}, feed: {answer['feed']['kind']})")
        )
        if answer["order_ids"]:
            console.print(Text(f"orders: {', '.join(answer['order_ids'])}"))
    if answer["status"] != "done":
        raise typer.Exit(EXIT_FAILED)
