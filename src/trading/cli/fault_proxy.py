"""``fault-proxy``: stands in front of a node and makes it fail on purpose."""

import json
import sys
from typing import Annotated, Any

import anyio
import typer

from trading.cli.console import figures, out, print_json, reporting
from trading.cli.options import JsonFlag
from trading.errors import InvalidInput


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fault-proxy")(fault_proxy)


def fault_proxy(
    to: Annotated[str, typer.Option("--to", help="URL of the node's JSON-RPC.")],
    websocket: Annotated[str, typer.Option("--websocket", help="URL of its WebSocket (default: none).")] = "",
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", help='A fault as JSON, {"kind": "lost", "methods": ["sendTransaction"]}; repeatable.'),
    ] = None,
    lag: Annotated[int, typer.Option("--lag", help="How many slots it is told to be behind.", min=0)] = 0,
    port: Annotated[int, typer.Option("--port", help="Port; 0 for a free one.", min=0, max=65_535)] = 8897,
    as_json: JsonFlag = False,
) -> None:
    """Hand calls on to any Solana node, with faults, until Ctrl-C. It listens on this machine only.

    More faults come by POST to /control. Faults are taken in order, each for one call unless it says otherwise.
    """
    with reporting(as_json=as_json):
        from trading.rehearsal.faults import Fault

        if not to.startswith(("http://", "https://")):
            raise InvalidInput(f"{to!r} is no URL of http or https", field="to")
        try:
            faults = [Fault.of(json.loads(each)) for each in fault or []]
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidInput(f"a fault is wrong: {error}", field="fault") from error
        try:
            anyio.run(_run, (to, websocket), (faults, lag), port, as_json)
        except OSError as error:
            msg = f"port {port} is taken, or may not be used"
            raise InvalidInput(msg, field="port", hint="give another with --port") from error
        except KeyboardInterrupt:
            return


async def _run(node: tuple[str, str], trouble: tuple[list[Any], int], port: int, as_json: bool) -> None:
    from trading.rehearsal.proxy import proxying

    async with proxying(*node, port=port) as proxy:
        proxy.faults.add(*trouble[0])
        proxy.upstream.lag_slots = trouble[1]
        told = {"url": proxy.url, "websocket_url": proxy.websocket_url if node[1] else "", "control": proxy.control_url}
        if as_json:
            print_json(told)
        else:
            out().print(figures("A node with faults, until Ctrl-C", list(told.items())))
        sys.stdout.flush()  # whoever started it by a pipe waits for these lines
        await anyio.sleep_forever()
