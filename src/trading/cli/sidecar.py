"""``sidecar``: how the adviser stands (breaker, budget, record of each model), and a question to it by hand."""

import secrets
from typing import Annotated, Any

import typer
from rich.text import Text

from trading.cli.client import Daemon
from trading.cli.console import bps_text, figures, listing, out, print_json, reporting
from trading.cli.options import DataDir, JsonFlag
from trading.model.advice import QuestionKind

ASK_TIMEOUT_S = 320.0
"""A question may take as long as the desk lets it."""

app = typer.Typer(help="The language model beside the desk: advice that may shrink or delay an entry, nothing else.")


def register(parent: typer.Typer) -> None:
    """Add the group of commands."""
    app.command("status")(status)
    app.command("ask")(ask)
    parent.add_typer(app, name="sidecar")


def status(data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """Show breaker, budget, what came back, and how each model's advice came out."""
    with reporting(as_json=as_json):
        view = Daemon.find(data_dir).get("/telemetry/trading").get("sidecar") or {}
    if as_json:
        print_json(view)
        return
    console = out()
    asking = view.get("asking")
    console.print(figures("The sidecar", _rows(view, asking)))
    if view.get("records"):
        console.print(records_table(view["records"]))
    if asking and asking["last"]:
        console.print(Text(f"last, {asking['last']['asked']}: {asking['last']['text']}"))


def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to assess, in a sentence or two.")],
    kind: Annotated[QuestionKind, typer.Option("--kind", help="What it is about.")] = QuestionKind.SCENARIO,
    mint: Annotated[str, typer.Option("--mint", help="The token that it is about.")] = "",
    horizon_s: Annotated[int, typer.Option("--horizon-s", min=60, max=30 * 86_400, help="Until when.")] = 3_600,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask the sidecar; its answer moves nothing, costs budget and is kept in the shared memory."""
    body = {
        "id": f"cli_{secrets.token_hex(8)}",
        "kind": kind.value,
        "question": question,
        "mint": mint,
        "horizon_s": horizon_s,
    }
    with reporting(as_json=as_json):
        answer = Daemon.find(data_dir, ASK_TIMEOUT_S).assess(body)
    if as_json:
        print_json(answer)
        return
    said, usage = answer["assessment"], answer["usage"]
    rows = [
        ("a rise until then", bps_text(said["probability_bps"])),
        (
            "move expected",
            f"{bps_text(said['expected_bps'])}, {bps_text(said['low_bps'])} to {bps_text(said['high_bps'])}",
        ),
        ("size, wait", f"{bps_text(said['size_scale_bps'])} of the desk's own, {said['wait_s']} s"),
        ("confidence", bps_text(said["confidence_bps"])),
        ("took", f"{usage['latency_ms']} ms, {usage['cost_micro_usd'] / 1e6:.6f} USD"),
    ]
    console = out()
    console.print(figures(f"{answer['model']} says", rows))
    for reason in said["reasons"]:
        console.print(Text(f"- {reason}"))


def records_table(records: list[dict[str, Any]]) -> Any:
    """Return the records of the models as a table."""
    rows = [
        (
            each["model"],
            each["kind"],
            str(each["count"]),
            _share(each["hit_rate_bps"]),
            _share(each["base_hit_rate_bps"]),
            _text(each["brier_ppm"]),
            _text(each["base_brier_ppm"]),
            bps_text(each["weight_bps"]),
        )
        for each in records
    ]
    columns = ("model", "kind", "scored", "hits %", "base %", "Brier ppm", "base ppm", "counts %")
    return listing("Records", columns, rows)


def _rows(view: dict[str, Any], asking: dict[str, Any] | None) -> list[tuple[str, str]]:
    most = view.get("weight_bps_max", 0)
    heard = f"its advice counts up to {bps_text(most)}" if most else "no: the profile lets it change nothing"
    if asking is None:
        return [("asked", "no: none is configured (TRADING_SIDECAR__URL)"), ("heard", heard)]
    came = ", ".join(f"{count} {name}" for name, count in asking["outcomes"].items()) or "nothing yet"
    return [
        ("asked", f"{asking['model']} ({asking['kind']}){', STOPPED by a mistake' if asking['has_failed'] else ''}"),
        ("heard", heard),
        ("breaker", asking["breaker"]),
        (
            "left today",
            f"{asking['calls_left']} calls, {asking['tokens_left']} tokens, {_usd(asking['micro_usd_left'])}",
        ),
        ("questions came to", came),
        ("waiting, given way", f"{asking['waiting']}, {asking['dropped']}"),
        ("last fault", asking["last_fault"] or "none"),
    ]


def _usd(micro_usd: int) -> str:
    return f"{micro_usd / 1e6:.6f} USD"


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def _share(bps: int | None) -> str:
    return "" if bps is None else bps_text(bps)
