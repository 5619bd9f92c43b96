"""``node``: execution on several machines. Each node has a signer of its own; all share one PostgreSQL database."""

import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from trading.cli.client import data_dir_of
from trading.cli.console import figures, lamports_text, listing, out, print_json, reporting
from trading.cli.night import waiting_table
from trading.cli.options import DataDir, JsonFlag, lamports_of, profiles_dir
from trading.errors import InvalidInput

if TYPE_CHECKING:
    from trading.adapters.node_store.opening import Door
    from trading.adapters.node_store.orders import Orders
    from trading.adapters.node_store.review import ReviewedIntents
    from trading.model.node import ChildSeen, Exposure, NodeSeen, Parent, SharedLimits
    from trading.runtime.node_orders import HandOrder

OPERATOR = "operator (command line)"
Profile = Annotated[
    str, typer.Option("--profile", help="Whose rules a token has to pass before it is bought: a name or a TOML file.")
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Execution nodes: several machines that trade for one desk.", no_args_is_help=True)
    group.command("run")(run)
    group.command("list")(list_nodes)
    group.command("limits")(limits)
    group.command("order")(order)
    group.command("cancel")(cancel)
    group.command("give-up-desk")(give_up_desk)
    group.command("review")(review)
    group.command("answer")(answer)
    app.add_typer(group, name="node")


def run(
    name: Annotated[str, typer.Option("--name", help="What this node is called; each has a name of its own.")],
    profile: Profile = "foundation",
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Carry orders out until Ctrl-C or SIGTERM, then finish what was begun. The database is TRADING_NODES__URL.

    Nothing is signed but by this machine's signer, within the mandate that it is armed with.
    """
    with reporting(as_json=as_json):
        from trading.adapters.profile_files import named_profile
        from trading.runtime.node_run import run_node
        from trading.settings import load

        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line for every call to a node or a router
        sections, base = load(os.environ), data_dir_of(data_dir)
        rugs = named_profile(profile, profiles_dir(data_dir)).rugs

        def ready(door: "Door") -> None:
            told = {"node": name, "database": door.shown, "signer": str(base)}
            if as_json:
                print_json(told)
            else:
                out().print(figures("Execution node, until Ctrl-C", list(told.items())))
            sys.stdout.flush()  # whoever started it by a pipe waits for these lines

        anyio.run(run_node, name, base, sections, rugs, ready)


def list_nodes(as_json: JsonFlag = False) -> None:
    """Show all nodes, what each holds and how it does, and what of the shared limits is used."""
    with reporting(as_json=as_json):
        found, shared, used, counts = anyio.run(_seen)
    if as_json:
        print_json({"nodes": [_body(each) for each in found], "limits": _limits_body(shared, used), "children": counts})
        return
    columns = ("node", "state", "silent", "wallets", "settled", "failed", "expired", "sent after", "confirmed after")
    rows = [
        (
            each.name,
            each.state.value,
            f"{each.silent_s:.1f} s",
            str(len(each.leases)),
            str(each.counts.get("settled", 0)),
            str(each.counts.get("failed", 0) + each.counts.get("reverted", 0)),
            str(each.counts.get("attempts_expired", 0)),
            *(f"{each.took[name].p50_s:.2f} s" if name in each.took else "-" for name in ("send", "confirm")),
        )
        for each in found
    ]
    console = out()
    console.print(listing("Execution nodes", columns, rows))
    console.print(_limits_table(shared, used))
    console.print(figures("Child orders", [(name, str(many)) for name, many in sorted(counts.items())]))


def limits(
    exposure_sol: Annotated[
        str | None, typer.Option("--exposure-sol", help="SOL in tokens and on the way there, all nodes together.")
    ] = None,
    token_sol: Annotated[str | None, typer.Option("--token-sol", help="The same in any one token.")] = None,
    entries: Annotated[int | None, typer.Option("--entries", help="Purchases at once.", min=0, max=10_000)] = None,
    reduce_only: Annotated[
        bool | None, typer.Option("--reduce-only/--active", help="Begin sales only, or purchases too.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what all nodes together may have, or set it: on a terminal only, but for --reduce-only alone. Nothing is
    bought before it is set."""
    with reporting(as_json=as_json):
        if reduce_only is False or exposure_sol or token_sol or entries is not None:
            _require_terminal()
        given = {
            "exposure_lamports_max": None if exposure_sol is None else lamports_of("exposure_sol", exposure_sol),
            "token_lamports_max": None if token_sol is None else lamports_of("token_sol", token_sol),
            "entries_open_max": entries,
        }
        shared, used = anyio.run(_shared, given, reduce_only)
    if as_json:
        print_json(_limits_body(shared, used))
    else:
        out().print(_limits_table(shared, used))


def order(
    side: Annotated[str, typer.Argument(metavar="buy|sell", help="What is done.")],
    mint: Annotated[str, typer.Argument(metavar="MINT", help="The token's address.")],
    amount: Annotated[int, typer.Option("--amount", min=1, help="What is given: lamports, or the token's base units.")],
    least: Annotated[int, typer.Option("--least", min=1, help="The least that all of it may bring, in base units.")],
    wallet: Annotated[list[str], typer.Option("--wallet", help="Address of a wallet that trades; may be repeated.")],
    slices: Annotated[int, typer.Option("--slices", min=1, max=1_000, help="Over so many parts.")] = 1,
    over_s: Annotated[int, typer.Option("--over-s", min=0, max=7 * 86_400, help="Spread over so many seconds.")] = 0,
    child_max: Annotated[
        int | None, typer.Option("--child-max", min=1, help="No part gives more than this (default: no bound).")
    ] = None,
    wait_s: Annotated[int, typer.Option("--wait-s", min=1, max=86_400, help="A part is given up so late.")] = 120,
    fee_lamports: Annotated[
        int, typer.Option("--fee-lamports", min=5_000, max=100_000_000, help="What one attempt may cost at most.")
    ] = 100_000,
    as_json: JsonFlag = False,
) -> None:
    """Plan an order for the nodes, on a terminal only: it is split, and each part waits for its time, its wallet and
    room in the limits.

    A purchase of a token that the nodes hold pays no less for a unit than what is held cost.
    """
    with reporting(as_json=as_json):
        if side not in {"buy", "sell"}:
            msg = f"side is {side[:40]!r}; allowed: buy, sell"
            raise InvalidInput(msg, field="side")
        _require_terminal()
        from trading.runtime.node_orders import HandOrder

        parts = (tuple(wallet), slices, over_s, child_max or amount, wait_s, fee_lamports)
        made = anyio.run(_planned, HandOrder(side == "buy", mint, amount, least, *parts))
    told = {"order": made.id, "children": len(made.children)}
    if as_json:
        print_json(told)
    else:
        out().print(figures("Planned", [(name, str(each)) for name, each in told.items()]))


def cancel(
    order_id: Annotated[str, typer.Argument(metavar="ORDER", help="The order's id.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the record.")],
    as_json: JsonFlag = False,
) -> None:
    """End what was not begun of an order. What was signed lives until it landed or is proven dead."""
    with reporting(as_json=as_json):
        children = anyio.run(_cancelled, order_id, reason)
    if as_json:
        print_json({"order": order_id, "children": [{"id": each.id, "state": each.state} for each in children]})
        return
    rows = [(each.id, each.wallet, each.state, each.node, each.problem) for each in children]
    out().print(listing(f"Order {order_id}", ("child", "wallet", "state", "node", "why"), rows))


def give_up_desk(
    desk: Annotated[str, typer.Argument(metavar="DESK", help="The desk's name, as its orders carry it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it will not come back; kept in the record.")],
) -> None:
    """Free what a desk that is gone for good has reserved. On a terminal only: what it had signed may still land."""
    with reporting():
        _require_terminal()
        freed = anyio.run(_given_up, desk, reason)
    out().print(f"{freed} orders of {desk} are ended, and what they had reserved is free.", markup=False)


def review(as_json: JsonFlag = False) -> None:
    """Show what waits for a person: wallets that are halted, and orders of which books and chain do not agree."""
    with reporting(as_json=as_json):
        waiting = anyio.run(_waiting)
    if as_json:
        print_json({"waiting": waiting})
    else:
        out().print(waiting_table(waiting))


def answer(
    item: Annotated[str, typer.Argument(metavar="ITEM", help="What waits, as `memmcp-trade node review` names it.")],
    given: Annotated[str, typer.Argument(metavar="ANSWER", help="One of the answers that it allows.")],
    reason: Annotated[str, typer.Option("--reason", help="What you looked at; kept in the record.")],
) -> None:
    """Answer what waits. On a terminal only; what became of an order is asked of the chain again, whatever you say."""
    with reporting():
        _require_terminal()
        waiting = anyio.run(_answered, item, given, reason)
    out().print(waiting_table(waiting))


def _require_terminal() -> None:
    from trading.signing.terminal import require_terminal

    require_terminal()


@asynccontextmanager
async def _store() -> AsyncIterator[tuple["Door", "Orders"]]:
    from trading.adapters.node_store.orders import Orders
    from trading.runtime.node_run import opened_door
    from trading.settings import load

    async with opened_door(load(os.environ).nodes) as door:
        yield door, Orders(door, time.time_ns)


async def _seen() -> tuple[Sequence["NodeSeen"], "SharedLimits", "Exposure", dict[str, int]]:
    from trading.adapters.node_store.seen import nodes_seen

    async with _store() as (door, orders):
        return nodes_seen(door), orders.shared_limits(), orders.exposure(), dict(orders.counts())


async def _shared(given: Mapping[str, int | None], reduces: bool | None) -> tuple["SharedLimits", "Exposure"]:
    from trading.model.node import SharedState

    async with _store() as (_, orders):
        # Only what was given: whoever only reduces must not bring back limits that were lowered meanwhile.
        wanted: dict[str, SharedState | int] = {name: value for name, value in given.items() if value is not None}
        if reduces is not None:
            wanted["state"] = SharedState.REDUCING if reduces else SharedState.ACTIVE
        if wanted:
            orders.change(wanted, OPERATOR)
        return orders.shared_limits(), orders.exposure()


async def _planned(wish: "HandOrder") -> "Parent":
    from trading.runtime.node_orders import planned
    from trading.settings import load

    async with _store() as (_, orders):
        return planned(orders, wish, load(os.environ).live)


async def _cancelled(order_id: str, reason: str) -> Sequence["ChildSeen"]:
    async with _store() as (_, orders):
        if not orders.children(order_id):
            msg = f"order: {order_id[:80]!r} is not known"
            raise InvalidInput(msg, field="order")
        orders.cancel(order_id, reason)
        return orders.children(order_id)


async def _given_up(desk: str, reason: str) -> int:
    from trading.adapters.node_store.desks import Desks

    async with _store() as (door, _):
        return Desks(door, time.time_ns).give_up(desk, reason)


async def _waiting() -> list[dict[str, Any]]:
    from trading.adapters.node_store.review import ReviewedIntents
    from trading.runtime.reviewing import execution_items

    async with _store() as (door, _):
        return execution_items(ReviewedIntents(door, time.time_ns))


async def _answered(item: str, given: str, reason: str) -> list[dict[str, Any]]:
    from trading.adapters.node_store.review import ReviewedIntents
    from trading.runtime import reviewing

    async with _store() as (door, _):
        waiting = ReviewedIntents(door, time.time_ns)
        if item.startswith("intent/"):
            await _looked_up(waiting, item, given, reason)
        else:
            reviewing.answer(waiting, item, given, OPERATOR, reason)
        return reviewing.execution_items(waiting)


async def _looked_up(waiting: "ReviewedIntents", item: str, given: str, reason: str) -> None:
    from trading.adapters.solana.chain import SolanaChain
    from trading.runtime.clock import WallClock
    from trading.runtime.reviewing import LiveReview
    from trading.settings import load

    async def goes_on(_wallet: str) -> None:
        """The node that holds the wallet sees it by itself, within seconds."""

    async with SolanaChain.connect(load(os.environ).chain, WallClock()) as chain:
        await LiveReview(waiting, chain, goes_on).answer(item, given, OPERATOR, reason)


def _body(seen: "NodeSeen") -> dict[str, Any]:
    return {
        "name": seen.name,
        "state": seen.state.value,
        "silent_s": seen.silent_s,
        "wallets": [each.wallet for each in seen.leases],
        "children": dict(seen.counts),
        "took": {name: asdict(each) for name, each in seen.took.items()},
    }


def _limits_body(shared: "SharedLimits", used: "Exposure") -> dict[str, Any]:
    return {**asdict(shared), "used": {**asdict(used), "by_token": dict(used.by_token)}}


def _limits_table(shared: "SharedLimits", used: "Exposure") -> Any:
    most = max(used.by_token.values(), default=0)
    rows = [
        ("begun", "purchases and sales" if shared.state.value == "active" else "sales only"),
        ("in tokens", f"{lamports_text(used.lamports)} of {lamports_text(shared.exposure_lamports_max)}"),
        ("in one token", f"{lamports_text(most)} of {lamports_text(shared.token_lamports_max)}"),
        ("purchases at once", f"{used.entries_open} of {shared.entries_open_max}"),
    ]
    return figures("What all nodes may have", rows)
