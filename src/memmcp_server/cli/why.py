"""why: the chain behind an order, a trajectory, an alert or any other memory, whichever the id is of."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from .client import Client, Failed, find, places_of
from .console import exit_codes, out, plain, print_json, say
from .options import DataDir, Json

STEP_NAMES = ("step", "kind")
LEFT_OUT = frozenset({"step", "kind", "ts", "text"})
STEPS_MAX = 200


def why(
    given: Annotated[str, typer.Argument(metavar="ID", help="Of an order, a trajectory, an alert or a memory.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show what led to something: each step with its time, its verdict and its costs, and what it rests on."""
    with exit_codes():
        answer = explained(find(places_of(data_dir)), given)
    if json:
        print_json(answer)
        return
    say(answer["summary"])
    for step in answer["chain"]:
        _print_step(step)
    for link in answer["links"]:
        out().print(f"  [dim]{plain(link['kind'])} {plain(link['direction'])}[/] {plain(link['id'])}")


def explained(client: Client, given: str) -> dict[str, Any]:
    """Return the chain of an id with ``of``, what the id is of. Raises: Failed, NoDaemon."""
    refused: Failed | None = None
    for name in ("order_id", "trajectory_id"):
        try:
            found = client.get("/why", {name: given})
        except Failed as error:
            refused = error
            continue
        return {"of": name.removesuffix("_id"), "summary": found["summary"], "chain": found["chain"], "links": []}
    for explain in (_trajectory, _memory):
        try:
            return explain(client, given)
        except Failed as error:
            refused = error
    msg = f"there is no order, trajectory, alert or memory {given}"
    raise Failed(msg, hint="named by memmcp-trade trades, memmcp trajectories, alerts and search") from refused


def _trajectory(client: Client, given: str) -> dict[str, Any]:
    found = client.get(f"/trajectories/{quote(given, safe='')}", {"limit": STEPS_MAX})
    outcome = "still open" if found["outcome"] is None else f"ended: {found['outcome']}"
    reward = "" if found.get("reward") is None else f", {found['reward']} {found['reward_unit']}".rstrip()
    chain = [
        {"step": each["kind"], "ts": each["ts"], "text": each["content"], "id": each["id"]} for each in found["steps"]
    ]
    return {"of": "trajectory", "summary": f"{found['title']} ({outcome}{reward})", "chain": chain, "links": []}


def _memory(client: Client, given: str) -> dict[str, Any]:
    """Return a memory's versions as a chain; of what belongs to a trade, the trade's chain follows."""
    memory = client.get(f"/memory/{quote(given, safe='')}")
    versions = client.get(f"/memory/{quote(given, safe='')}/history")["versions"]
    of = "alert" if memory["kind"] == "alert" else "memory"
    chain = [_version(each, is_alert=of == "alert") for each in versions]
    trajectory = memory.get("trajectory_id") or (memory.get("metadata") or {}).get("trajectory_id")
    if trajectory:
        try:
            chain += client.get("/why", {"trajectory_id": trajectory})["chain"]
        except Failed:
            chain.append({"step": "trajectory", "ts": "", "text": f"see memmcp trajectory {trajectory}"})
    who = memory["agent"] or "nobody named"
    return {
        "of": of,
        "summary": f"{memory['namespace']}/{memory['kind']} by {who}: {str(memory['content']).splitlines()[0]}",
        "chain": chain,
        "links": memory.get("links") or [],
    }


def _version(version: dict[str, Any], *, is_alert: bool) -> dict[str, Any]:
    told = version.get("metadata") or {}
    step: dict[str, Any] = {"step": f"version {version['version']}", "ts": version.get("known_at") or version["ts"]}
    if not is_alert:
        return {**step, "text": version["content"]}
    named = ("severity", "value", "threshold", "unit", "acknowledged_by", "runbook")
    figures = {name: told[name] for name in named if told.get(name) not in (None, "")}
    name = told.get("change") or told.get("state") or step["step"]
    return {**step, "step": name, "text": told.get("text", ""), **figures}


def _print_step(step: dict[str, Any]) -> None:
    console = out()
    when = str(step.get("ts") or "")[:19].replace("T", " ")
    name = " ".join(str(step[key]) for key in STEP_NAMES if step.get(key))
    console.print(f"[dim]{when:<19}[/]  [bold]{plain(name)}[/]  {plain(str(step.get('text') or ''))}")
    rest = {key: value for key, value in step.items() if key not in LEFT_OUT and value not in (None, "", {}, [])}
    for key, value in rest.items():
        console.print(f"{'':<21}[dim]{plain(key)}[/] {plain(_flat(value))}")


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(each)}" for key, each in value.items() if each not in (None, "", {}, []))
    return ", ".join(map(_flat, value)) if isinstance(value, list) else str(value)


def register(app: typer.Typer) -> None:
    app.command()(why)
