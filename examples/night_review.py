"""An agent that reviews the desk's night: what it did, why the worst trade was made, a lesson and a brief in memory.

    .venv/bin/python examples/night_review.py [--data-dir DIR] [--window 24h]

Every figure comes from the desk (`telemetry_trading`, `strategy_digest`, `history://trades`, `why`). Where a sample is
too small to say something, it says that. Run it from cron, or let your own agent do it after the prompt `daily_brief`.
"""

import json
import sys
from datetime import datetime
from typing import Any

import anyio
from mcp import MCPError
from memmcp_agent import Agent, ToolFailed, agent, options

NAMESPACE = "agents/night-review"
TRADES_MAX = 100
CHAIN_MAX = 6
TEXT_CHARS_MAX = 240


async def review(who: Agent, window: str) -> None:
    """Look, then write a lesson where there is a loss to learn from, and a brief in any case."""
    opened = await who.call("trajectory", action="open", title=f"Review of the desk over {window}", namespace=NAMESPACE)
    state = await who.call("telemetry_trading", window=window)
    digest = await who.call("strategy_digest", window=window)
    trades = json.loads(await who.read(f"history://trades?limit={TRADES_MAX}"))["trades"]
    since = datetime.fromisoformat(digest["since"])
    closed = [trade for trade in trades if trade["realised"] and datetime.fromisoformat(trade["ts"]) >= since]
    lines = [headline(state, window), *map(strategy_line, digest["strategies"])]
    lesson_id = None
    worst = min(closed, key=lambda trade: int(trade["realised"]["lamports"]), default=None)
    if worst is None:
        nothing = await who.call("why")
        lines.append(f"No trade was closed. {nothing['summary']}")
    else:
        lines.append(f"{len(closed)} sales, the worst: {worst['symbol']} {worst['realised']['sol']} SOL")
        if int(worst["realised"]["lamports"]) < 0:
            lesson_id = await learn_from(who, worst)
    print("\n".join(lines))
    brief = await who.call(
        "memory_write",
        content="\n".join(lines),
        kind="digest",
        namespace=NAMESPACE,
        tags=["night-review"],
        metadata={"cites": digest["evidence"][:10]},
    )
    await who.call("trajectory", action="close", id=opened["id"], outcome="done", text=lines[0])
    print(f"lesson: {'memory ' + lesson_id if lesson_id else 'none, no sale at a loss in this window'}")
    print(f"brief: memory {brief['id']}")


async def learn_from(who: Agent, trade: dict[str, Any]) -> str:
    """Write what led to a loss as a lesson that cites the trade; return its id."""
    chain = (await who.call("why", order_id=trade["order_id"]))["chain"]
    steps = [compact(f"{step.get('step', 'step')}: {step.get('text', '')}") for step in chain[-CHAIN_MAX:]]
    print("\n".join([f"why {trade['symbol']} was sold at a loss:", *(f"  - {step}" for step in steps)]))
    result, why = trade["realised"]["sol"], compact(trade["reason"])
    content = (
        f"{trade['symbol']} ({trade['strategy']}) closed with {result} SOL: {why}. "
        "One loss proves nothing: look at the digest of the strategy before a limit or a strategy is changed."
    )
    written = await who.call(
        "memory_write",
        content=content,
        kind="lesson",
        namespace=NAMESPACE,
        tags=["night-review", trade["strategy"]],
        metadata={"cites": [trade["trajectory_id"]], "order_id": trade["order_id"]},
        idempotency_key=f"night-review:{trade['order_id']}",  # the same loss teaches once, however often this runs
    )
    lesson_id: str = written["id"]
    return lesson_id


def headline(state: dict[str, Any], window: str) -> str:
    """Return the desk in one line: whose money, which feed, what changed."""
    change = (state.get("window") or {}).get("change_lamports")
    moved = f"{change / 1e9:+.6f} SOL" if change is not None else "change unknown"
    return (
        f"{state['money'].upper()} money on the {state['feed']['kind']} feed over {window}: equity "
        f"{state['equity']['sol']} SOL ({moved}), state {state['state']}, drawdown {state['drawdown_bps']} bps."
    )


def strategy_line(strategy: dict[str, Any]) -> str:
    return (
        f"{strategy['name']}: {strategy['trades']} trades, {strategy['realised_lamports'] / 1e9:+.6f} SOL "
        f"({strategy['confidence']})"
    )


def compact(text: str) -> str:
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[: TEXT_CHARS_MAX - 3]}..."


async def main() -> int:
    parser = options("Review the desk's night.")
    parser.add_argument("--window", default="24h", help="1h, 24h, 7d ... or all, in the desk's own time")
    given = parser.parse_args()
    async with agent("night-review", given.data_dir) as who:
        try:
            await review(who, given.window)
        except (ToolFailed, MCPError) as failure:
            print(failure, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(anyio.run(main))
