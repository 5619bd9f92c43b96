"""An agent that connects over stdio, asks the trading desk what it did and why, and leaves a note for other agents.

    .venv/bin/python examples/ask_the_desk.py [--data-dir DIR] [--trades 3] [--no-note]

It is what Cursor, Claude Desktop or any other MCP client does: it runs `memmcp stdio`, which finds the daemon of this
machine or starts it, and speaks MCP. Everything it prints comes from tools and resources; it opens no file.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import anyio
from mcp import MCPError
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import INVALID_PARAMS, CallToolResult, Implementation

NAME = "ask-the-desk"
TEXT_CHARS_MAX = 320


class ToolFailed(Exception):
    """A tool answered with an error; the text says what to do next."""


class Desk:
    """The few questions that this agent asks, over one MCP session."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def state(self) -> dict[str, Any]:
        return await self._call("telemetry_trading", window="all")

    async def trades(self, limit: int) -> list[dict[str, Any]]:
        page = await self._read(f"history://trades?limit={limit}")
        trades: list[dict[str, Any]] = page["trades"]
        return trades

    async def why(self, order_id: str | None = None) -> dict[str, Any]:
        return await self._call("why", **({"order_id": order_id} if order_id else {}))

    async def steps_in_memory(self, trajectory_id: str) -> int:
        """Return how much of a trade the shared memory holds; copies arrive there moments after the fill."""
        try:
            return int((await self._read(f"trajectory://{trajectory_id}"))["steps_total"])
        except MCPError as error:
            if error.error.code != INVALID_PARAMS:
                raise
            return 0

    async def remember(self, text: str, cited: list[str]) -> str:
        written = await self._call(
            "memory_write",
            content=text,
            kind="review",
            namespace=f"agents/{NAME}",
            tags=["desk-review"],
            metadata={"cites": cited},
        )
        return str(written["id"])

    async def _call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self._client.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        if result.is_error:
            raise ToolFailed("\n".join(block.text for block in result.content if block.type == "text"))
        answer: dict[str, Any] = result.structured_content
        return answer

    async def _read(self, uri: str) -> dict[str, Any]:
        contents = (await self._client.read_resource(uri)).contents
        document: dict[str, Any] = json.loads(contents[0].text)  # type: ignore[union-attr]
        return document


async def report(desk: Desk, trades_wanted: int, *, leave_note: bool) -> None:
    """Print what the desk did and why, then leave a note."""
    state = await desk.state()
    print(headline(state))
    trades = await desk.trades(trades_wanted)
    if not trades:
        nothing = await desk.why()
        print(f"\nNo trade so far. Why not: {nothing['summary']}")
        if miss := nothing.get("nearest_miss"):
            print(f"  nearest miss: {compact(json.dumps(miss))}")
    for trade in trades:
        await explain(desk, trade)
    if leave_note:
        cited = [trade["trajectory_id"] for trade in trades]
        note = f"Reviewed the desk in cycle {state['cycle']}: {headline(state)}"
        print(f"\nLeft a note for other agents: memory {await desk.remember(note, cited)}")


async def explain(desk: Desk, trade: dict[str, Any]) -> None:
    """Print one trade and the chain that led to it."""
    print(f"\n{trade['ts']}  {trade['side']} {trade['amount']} {trade['symbol']} for {trade['value']['sol']} SOL")
    answer = await desk.why(trade["order_id"])
    for step in answer["chain"]:
        print(f"  - {told(step)}")
    print(
        f"  in memory: trajectory {trade['trajectory_id']}, {await desk.steps_in_memory(trade['trajectory_id'])} steps"
    )


def told(step: dict[str, Any]) -> str:
    """Return one step of a chain as a sentence, a signal with the evidence that it rests on."""
    evidence = step.get("figures", {}).get("signal", {}).get("evidence")
    said = f"{step.get('step', 'step')}: {step.get('text', '')}"
    return compact(f"{said} [{', '.join(f'{name} {value}' for name, value in evidence.items())}]" if evidence else said)


def headline(state: dict[str, Any]) -> str:
    """Return the desk in one line: whose money, which feed and how old, what it is worth."""
    feed, equity, window = state["feed"], state["equity"], state.get("window") or {}
    age = "of unknown age" if feed.get("age_s") is None else f"{feed['age_s']:.0f} s old"
    change = f", {window['change_lamports'] / 1e9:+.6f} SOL since the start" if window else ""
    return (
        f"{state['money'].upper()} money on the {feed['kind']} feed ({feed['detail']}, data {age}): "
        f"equity {equity['sol']} SOL{change}, {state['trades_total']} trades, {state['signals_total']} signals, "
        f"state {state['state']}, profile {state['profile']}, tier {state['tier']}."
    )


def compact(text: str) -> str:
    """Return the text cut where it would fill the screen."""
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[: TEXT_CHARS_MAX - 3]}..."


def server(data_dir: Path | None) -> StdioServerParameters:
    """Return how to start the bridge: the `memmcp` beside this Python, else the one on the PATH."""
    beside = Path(sys.executable).with_name("memmcp")
    command = str(beside) if beside.exists() else shutil.which("memmcp")
    if command is None:
        raise SystemExit("there is no `memmcp` command: run `make setup` first")
    args = ["stdio", *(["--data-dir", str(data_dir)] if data_dir else [])]
    return StdioServerParameters(command=command, args=args, env=dict(os.environ))


async def main() -> int:
    parser = argparse.ArgumentParser(description="Ask the trading desk what it did and why.")
    parser.add_argument("--data-dir", type=Path, help="the daemon's data directory (default: the user's own)")
    parser.add_argument("--trades", type=int, default=3, help="how many of the newest trades to explain (1 to 200)")
    parser.add_argument("--no-note", action="store_true", help="leave no note in the shared memory")
    options = parser.parse_args()
    async with Client(server(options.data_dir), client_info=Implementation(name=NAME, version="1")) as client:
        try:
            await report(Desk(client), options.trades, leave_note=not options.no_note)
        except (ToolFailed, MCPError) as failure:
            print(failure, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(anyio.run(main))
