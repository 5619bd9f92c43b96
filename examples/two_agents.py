"""Two agents share what they learn: one is denied and writes a lesson, the other finds it before it acts.

    .venv/bin/python examples/two_agents.py [--data-dir DIR] [--token SYMBOL] [--amount-sol 1000]

`scout` asks the desk for a buy that is far too big. It is a preview: nothing is ordered. The desk says no and why, and
scout closes its trajectory as lost, with the lesson. `trader`, a second session that never met scout, has the same
wish. It searches first, finds the lesson, and asks for a smaller amount instead. Every figure comes from the desk.
"""

import json
import sys
from typing import Any

import anyio
from mcp import MCPError
from memmcp_agent import Agent, ToolFailed, agent, options

NAMESPACE = "examples/two-agents"
SMALL_SOL = "0.02"


async def preview(who: Agent, token: str, amount_sol: str) -> tuple[bool, str]:
    """Ask what a buy would be; return whether the desk would take it, and what it says."""
    try:
        answer = await who.call(
            "place_trade", side="buy", mint=token, amount_sol=amount_sol, reason=f"{who.name} tries an idea"
        )
    except ToolFailed as refusal:
        return False, str(refusal).splitlines()[0]
    return answer["status"] == "preview", told(answer)


def told(answer: dict[str, Any]) -> str:
    """Return the desk's answer in one line."""
    return f"{answer['money']} money, {answer['status']}: {answer['message']}"


async def lose(scout: Agent, token: str, amount_sol: str) -> None:
    """Try the big buy, and leave what was learned."""
    title = f"Buy {amount_sol} SOL of {token} at once"
    opened = await scout.call("trajectory", action="open", title=title, kind="task", namespace=NAMESPACE)
    taken, said = await preview(scout, token, amount_sol)
    print(f"scout: {title}? {said}")
    await scout.call("trajectory", action="step", id=opened["id"], kind="result", content=said)
    lesson = (
        f"A buy of {amount_sol} SOL of {token} at once was taken by the desk's preview: size is not what stops it."
        if taken
        else f"The desk denies a buy of {amount_sol} SOL of {token} at once ({said}). Ask for {SMALL_SOL} SOL."
    )
    closed = await scout.call(
        "trajectory", action="close", id=opened["id"], outcome="done" if taken else "lost", lesson=lesson
    )
    print(f"scout: left a lesson for the others: memory {closed['lesson_id']}")


async def learn(trader: Agent, token: str, amount_sol: str) -> bool:
    """Search before acting; return whether the other agent's lesson was found."""
    found = await trader.call(
        "memory_search",
        query=f"What did we learn about buying {token}, and how large may a buy be?",
        namespace=NAMESPACE,
        kinds=["lesson"],
        limit=3,
    )
    others = [hit for hit in found["hits"] if hit["agent"] != trader.name and token in hit["content"]]
    if not others:
        print("trader: nobody has left a lesson about this; I ask for a small amount all the same")
    for hit in others[:1]:
        print(f"trader: {hit['agent']} learned before me ({hit['id']}): {hit['content'].splitlines()[0]}")
    _, said = await preview(trader, token, SMALL_SOL)
    print(f"trader: instead of {amount_sol} SOL I ask for {SMALL_SOL}: {said}")
    written = await trader.call(
        "memory_write",
        content=f"Asked for {SMALL_SOL} SOL of {token} instead of {amount_sol}: {said}",
        kind="decision",
        namespace=NAMESPACE,
        metadata={"cites": [hit["id"] for hit in others[:1]]},
    )
    print(f"trader: wrote down why: memory {written['id']}")
    return bool(others)


async def traded_token(who: Agent) -> str:
    """Return the token that the desk traded last."""
    trades = json.loads(await who.read("history://trades?limit=1"))["trades"]
    if not trades:
        raise SystemExit("the desk has not traded yet: name a token that it lists with --token, or come back later")
    mint: str = trades[0]["mint"]
    return mint


async def main() -> int:
    parser = options("Two agents share what they learn.")
    parser.add_argument("--token", help="mint or symbol (default: what the desk traded last)")
    parser.add_argument("--amount-sol", default="1000", help="what both would like to buy for, in SOL")
    given = parser.parse_args()
    try:
        async with agent("scout", given.data_dir) as scout:
            token = given.token or await traded_token(scout)
            await lose(scout, token, given.amount_sol)
        async with agent("trader", given.data_dir) as trader:
            return 0 if await learn(trader, token, given.amount_sol) else 1
    except (ToolFailed, MCPError) as failure:
        print(failure, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(anyio.run(main))
