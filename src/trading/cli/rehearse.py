"""``rehearse``: a chain of one's own with worthless money, for the whole way that real money would go."""

import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from trading.cli.client import data_dir_of
from trading.cli.console import err, figures, listing, out, print_json, reporting
from trading.cli.options import JsonFlag, lamports_of
from trading.errors import InvalidInput

if TYPE_CHECKING:
    from trading.rehearsal.local import LocalOptions, LocalRehearsal, PoolWanted

SOL_DECIMALS = 9
FOLDER_NAME = "rehearsal"
PORT_DEFAULT = 8899
JUPITER_PORT_DEFAULT = 8898


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rehearse")(rehearse)


def rehearse(
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Keeps the chain between two starts (default: rehearsal in the data directory)."),
    ] = None,
    fund: Annotated[
        list[str] | None, typer.Option("--fund", help="Address of a wallet that is given money; may be repeated.")
    ] = None,
    sol: Annotated[str, typer.Option("--sol", help="SOL that a funded wallet has at least.")] = "20",
    feed: Annotated[
        str, typer.Option("--feed", help="synthetic[:SEED]: the generated market whose tokens get pools.")
    ] = "synthetic",
    ports: Annotated[
        tuple[int, int],
        typer.Option("--ports", min=0, max=65_535, help="Loopback ports of chain and Jupiter; 0: a free one."),
    ] = (PORT_DEFAULT, JUPITER_PORT_DEFAULT),
    slot_ms: Annotated[
        int, typer.Option("--slot-ms", min=10, max=10_000, help="Milliseconds of a slot of a new chain.")
    ] = 400,
    as_json: JsonFlag = False,
) -> None:
    """Run a Solana chain and Jupiter's API on this machine, with worthless money, until Ctrl-C.

    Prints the addresses and the settings of a desk that is to trade there.
    """
    with reporting(as_json=as_json):
        from trading.rehearsal.local import LocalOptions

        options = LocalOptions(
            folder=(folder or data_dir_of(None) / FOLDER_NAME).expanduser().absolute(),
            pools=_pools(feed),
            funded=tuple(fund or ()),
            lamports=lamports_of("sol", sol),
            slot_ms=slot_ms,
            port=ports[0],
            jupiter_port=ports[1],
        )
        with suppress(KeyboardInterrupt):
            anyio.run(_run, options, as_json)


async def _run(options: "LocalOptions", as_json: bool) -> None:
    from trading.rehearsal.local import local_rehearsal

    async with local_rehearsal(options) as running:
        if as_json:
            print_json(running.document() | {"folder": str(options.folder)})
        else:
            _show(running, options)
        sys.stdout.flush()
        await _until_stopped()
    err().print(f"stopped; the chain is kept in {options.folder}")


async def _until_stopped() -> None:
    if sys.platform == "win32":  # Ctrl-C cancels there
        await anyio.sleep_forever()
    else:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                return


def _show(running: "LocalRehearsal", options: "LocalOptions") -> None:
    chain = running.rehearsal
    rows = [
        ("money", "worthless"),
        ("genesis hash", chain.cluster.genesis_hash),
        *((f"endpoint {name}", f"{chain.url(name)}  {chain.websocket_url(name)}") for name in chain.endpoints),
        ("control", chain.control_url),
        ("Jupiter", running.jupiter_url),
        ("kept in", str(options.folder)),
    ]
    console = out()
    console.print(figures("Rehearsal chain", rows))
    console.print(listing("Tokens", ("feed", "mint"), list(running.mints.items())))
    console.print("Settings of a desk that is to trade here:", markup=False)
    for name, value in running.settings.items():
        console.print(f"export {name}='{value}'", markup=False, highlight=False)


def _pools(feed: str) -> "Sequence[PoolWanted]":
    """Return a pool for each token that the generated market begins with, at the price of its first bar."""
    from trading.feeds.select import open_feed, parse_feed
    from trading.model.market_data import Bar, CycleEnd, TokenListed
    from trading.rehearsal.local import PoolWanted

    spec = parse_feed(feed)
    if spec.kind != "synthetic":
        msg = f"feed is {feed[:60]!r}; allowed: synthetic[:SEED]"
        raise InvalidInput(msg, field="feed")
    listed = {}
    wanted = []
    for event in open_feed(spec).events():
        if isinstance(event, TokenListed):
            listed[event.instrument.mint] = event.instrument
        elif isinstance(event, Bar) and event.pool_lamports:
            token = listed[event.mint]
            units = int(Decimal(event.pool_lamports).scaleb(token.decimals - SOL_DECIMALS) / event.close)
            wanted.append(PoolWanted(token.mint, token.symbol, token.decimals, event.pool_lamports, units))
        elif isinstance(event, CycleEnd):
            break
    return wanted
