"""``evm``: what the configured pools of an EVM chain give now. Nothing is signed and nothing is sent."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from trading.cli.console import listing, out, print_json, reporting
from trading.cli.options import JsonFlag
from trading.config import EvmSection
from trading.errors import ChainUnavailable, InvalidInput, RouteRefused

if TYPE_CHECKING:
    from trading.adapters.evm.opening import EvmDoor
    from trading.model.evm import PoolRef

AMOUNT_MAX = 10**30


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evm")(evm)


def evm(
    amount: Annotated[
        int, typer.Option("--amount", min=1, max=AMOUNT_MAX, help="How much is given, in smallest units of the token.")
    ] = 10**15,
    pool: Annotated[str, typer.Option("--pool", help="The address of one pool; all of them where none is named.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Show what the pools of the EVM chain (TRADING_EVM__*) give now, both ways. Nothing is signed, nothing is sent.

    Each row is exact at the block that it names. "not read": the amount would move the price further than ticks were
    read (TRADING_EVM__WORDS).
    """
    from trading.settings import load

    with reporting(as_json=as_json):
        found = anyio.run(_quotes, load(os.environ).evm, pool, amount)
    if as_json:
        print_json({"amount_in": str(amount), "quotes": found})
        return
    columns = ("pool", "kind", "given", "got", "out", "fee ppm", "ticks", "block")
    names = ("pool", "kind", "in_token", "out_token", "amount_out", "fee_ppm", "ticks_crossed", "block")
    rows = [tuple(str(each[name]) for name in names) for each in found]
    out().print(listing(f"{amount} smallest units into each pool", columns, rows))


async def _quotes(section: EvmSection, address: str, amount: int) -> list[dict[str, Any]]:
    try:
        from trading.adapters.evm.opening import opened
    except ModuleNotFoundError as error:
        msg = f"{error.name} is not installed, and without it no EVM chain can be asked"
        raise InvalidInput(msg, field="evm", hint="pip install 'memmcp-server[evm]'") from None
    from trading.runtime.clock import WallClock

    async with opened(section, WallClock()) as door:
        pools = (door.pool(address),) if address else door.pools
        return [each for pool in pools for each in await _both_ways(door, pool, amount)]


async def _both_ways(door: "EvmDoor", pool: "PoolRef", amount: int) -> list[dict[str, Any]]:
    from trading.arbitrage.pools import BeyondRead, swap

    common = {"pool": pool.address, "kind": pool.kind.value, "fee_ppm": pool.fee_ppm}
    try:
        seen = await door.reader.read(pool)
    except (ChainUnavailable, RouteRefused) as error:
        return [common | _row(pool, gives_0=True) | {"amount_out": error.message, "ticks_crossed": 0, "block": 0}]
    found = []
    for gives_0 in (True, False):
        try:
            swapped = swap(seen.pool, amount, gives_0=gives_0)
            got = "nothing" if swapped is None else str(swapped.amount_out)
            crossed = 0 if swapped is None else swapped.ticks_crossed
        except BeyondRead:
            got, crossed = "not read", 0
        row = {"amount_out": got, "ticks_crossed": crossed, "block": seen.block.number}
        found.append(common | _row(pool, gives_0=gives_0) | row)
    return found


def _row(pool: "PoolRef", *, gives_0: bool) -> dict[str, str]:
    given, got = (pool.token_0, pool.token_1) if gives_0 else (pool.token_1, pool.token_0)
    return {"in_token": given, "out_token": got}
