"""approve and refuse: orders of real money that wait for the operator.

Nothing here approves by itself: that takes the passkey in the page, whose answer the signer checks. ``approve`` shows
the order, names the page and waits for what comes of it; ``refuse`` refuses, which needs no passkey.
"""

import time
from typing import Annotated, Any, Final

import typer

from .client import Client, Failed, find, places_of
from .console import EXIT_FAILED, exit_codes, note, out, plain, print_json, say, table
from .options import DataDir, Json

POLL_S: Final = 1.0
SHOWN: Final = (
    "intent_id",
    "wallet",
    "in_mint",
    "amount_in",
    "out_mint",
    "min_out",
    "fee_lamports_max",
    "reason",
    "asked_at",
    "expires_at",
)
UNITS: Final = {"amount_in": "base units", "min_out": "base units at least", "fee_lamports_max": "lamports"}
PrefixArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The approval's id, or enough of its beginning to be the only one.")
]


def approve(
    approval_id: PrefixArgument,
    wait_s: Annotated[float, typer.Option("--wait", min=0, max=3_600, help="Seconds to wait for the answer.")] = 600.0,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show an order of real money that waits, where your passkey approves it, and wait for what comes of it."""
    with exit_codes():
        daemon = find(places_of(data_dir))
        order = waiting(daemon, approval_id)
        if not json:
            _show(order)
            page = daemon.record.get("http")
            note(f"approve it with your passkey at {page} (Approvals); a command cannot. Waiting {wait_s:g} s ...")
        told = _awaited(daemon, order, wait_s)
    if json:
        print_json(told)
    else:
        say(f"order {told['intent_id']} is {told['state']}")
    if told["state"] not in ("approved", "done"):
        raise typer.Exit(EXIT_FAILED)


def refuse(approval_id: PrefixArgument, data_dir: DataDir = None, json: Json = False) -> None:
    """Refuse an order of real money that waits for you; nothing of it is signed."""
    with exit_codes():
        daemon = find(places_of(data_dir))
        order = waiting(daemon, approval_id)
        told = daemon.post(f"/approvals/{order['id']}/refuse", {})
    print_json(told) if json else say(f"order {told['intent_id']} is {told['state']}")


def waiting(daemon: Client, prefix: str) -> dict[str, Any]:
    """Return the order that waits under this id. Raises: Failed naming what waits."""
    overview = daemon.get("/approvals")
    orders = [each for each in overview["approvals"] if each["state"] == "awaiting_operator"]
    found = [each for each in orders if prefix and each["id"].startswith(prefix.lower())]
    if len(found) == 1:
        order: dict[str, Any] = found[0]
        return order
    if not overview["is_available"]:
        msg = f"nothing can wait for approval: {overview['why_not']}"
        raise Failed(msg, hint="see docs/real-money.md")
    named = ", ".join(each["id"][:12] for each in (found or orders))
    if found:
        msg = f"{len(found)} orders begin with {prefix}: {named}"
        raise Failed(msg, hint="write more of the id")
    known = next((each for each in overview["approvals"] if prefix and each["id"].startswith(prefix.lower())), None)
    if known is not None:
        msg = f"order {known['intent_id']} waits no more: it is {known['state']}"
        raise Failed(msg)
    msg = f"no order waits under {prefix}; waiting: {named or 'none'}"
    raise Failed(msg)


def _awaited(daemon: Client, order: dict[str, Any], wait_s: float) -> dict[str, Any]:
    until_s = time.monotonic() + wait_s
    while True:
        found = [each for each in daemon.get("/approvals")["approvals"] if each["id"] == order["id"]]
        told: dict[str, Any] = found[0] if found else order
        if told["state"] != "awaiting_operator" or time.monotonic() >= until_s:
            return told
        time.sleep(POLL_S)


def _show(order: dict[str, Any]) -> None:
    rows = table("", "")
    rows.add_row("money", "real")
    for name in SHOWN:
        if order.get(name):
            rows.add_row(name, plain(f"{order[name]} {UNITS.get(name, '')}".strip()))
    out().print(rows)


def register(app: typer.Typer) -> None:
    app.command()(approve)
    app.command()(refuse)
