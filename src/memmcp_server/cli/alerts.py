"""alerts: what fires, what is to be done about it, and the operator's answers."""

import re
from typing import Annotated, Any
from urllib.parse import quote

import typer

from .client import find, places_of
from .console import exit_codes, out, plain, print_json, say, table
from .options import DataDir, Json

app = typer.Typer(
    help="What fires now, and what to do about it.",
    invoke_without_command=True,
    no_args_is_help=False,
    rich_markup_mode=None,
)
SPAN = re.compile(r"^([1-9]\d{0,5})([smhd])$")
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
SPAN_S_MAX = 30 * 86_400


@app.callback(invoke_without_command=True)
def list_(
    context: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Also alerts that are over.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show what fires, the most severe first, with its value and what to do."""
    if context.invoked_subcommand is not None:
        return
    with exit_codes():
        answer = find(places_of(data_dir)).get("/alerts", {"all": all_})
    if json:
        print_json(answer)
        return
    if not answer["alerts"]:
        say("nothing fires")
    else:
        rows = table("id", "severity", "state", "what", "reads", "since", "what to do")
        for alert in answer["alerts"]:
            cells = (alert["id"], alert["severity"], _state(alert), alert["title"], alert["reads"], alert["raised_at"])
            rows.add_row(*(plain(str(cell)) for cell in cells), plain(alert["advice"]))
        out().print(rows)
    for silence in answer["silences"]:
        labels = ", ".join(f"{key}={value}" for key, value in silence["labels"].items())
        about = f" ({labels})" if labels else ""
        say(f"silent: {plain(silence['rule'])}{plain(about)} until {silence['until']}, by {plain(silence['by'])}")
    if answer["notices"]:
        say(f"{len(answer['notices'])} notices of the last seven days: memmcp alerts --json shows them")


@app.command()
def acknowledge(
    alert_id: Annotated[str, typer.Argument(metavar="ID")], data_dir: DataDir = None, json: Json = False
) -> None:
    """Say that you see to an alert: it is not escalated any more."""
    with exit_codes():
        done = find(places_of(data_dir)).post(f"/alerts/{quote(alert_id, safe='')}/acknowledge", {})
    print_json(done) if json else say(f"{plain(done['title'])}: {done['state']}")


@app.command()
def silence(
    what: Annotated[str, typer.Argument(metavar="RULE_OR_ID", help="A rule's name, or the id of an alert.")],
    for_: Annotated[str, typer.Option("--for", help="30m, 2h, 1d ...; 0 takes it back.")] = "2h",
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Only alerts with this label, such as queue=qdrant.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Tell nobody of what a rule raises, or of one alert, for a while. It still shows here and on the page."""
    with exit_codes():
        seconds, labels = _seconds(for_), _labels(label or [])
        daemon = find(places_of(data_dir))
        rules = {rule["name"] for rule in daemon.get("/alerts/rules")["rules"]}
        body: dict[str, Any] = {"for_s": seconds}
        if what in rules:
            done = daemon.post("/silences", {**body, "rule": what, "labels": labels})
        else:
            done = daemon.post(f"/alerts/{quote(what, safe='')}/silence", body)
    until = done.get("until") or done.get("silenced_until")
    print_json(done) if json else say(f"{plain(what)} is silent until {until}" if until and seconds else "told again")


@app.command()
def rules(data_dir: DataDir = None, json: Json = False) -> None:
    """Show the rules in force: when each is raised, when it is over, and how soon you hear of it."""
    with exit_codes():
        answer = find(places_of(data_dir)).get("/alerts/rules")
    if json:
        print_json(answer)
        return
    rows = table("rule", "severity", "reading", "raised at", "over at", "unit", "within", "escalates after")
    for rule in answer["rules"]:
        severity = rule["severity"] if rule["enabled"] else "off"
        escalates = "never" if rule["escalate_after_s"] is None else f"{rule['escalate_after_s']:g} s"
        bounds = (_figure(rule["raise_at"]), _figure(rule["clear_at"]))
        figures = (*bounds, rule["unit"], f"{rule['due_s']:g} s", escalates)
        rows.add_row(plain(rule["name"]), severity, plain(rule["reading"]), *(plain(each) for each in figures))
    out().print(rows)


@app.command("test")
def try_channel(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="As named in channels.named of memmcp.toml.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Send a test message to a channel and say what came back."""
    with exit_codes():
        done = find(places_of(data_dir)).post("/admin/alerts/test", {"channel": channel}, timeout_s=150.0)
    if json:
        print_json(done)
    else:
        say(f"{plain(channel)}: {plain(done['detail'])} ({done['took_ms']} ms)")
    if not done["delivered"]:
        raise typer.Exit(1)


def _state(alert: dict[str, Any]) -> str:
    if alert["silenced"]:
        return "silenced"
    if alert["state"] == "acknowledged":
        return f"seen to by {alert['acknowledged_by']}"
    return str(alert["state"])


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:g}"


def _seconds(text: str) -> int:
    """Return a span in seconds. Raises: typer.BadParameter."""
    if text == "0":
        return 0
    found = SPAN.match(text)
    seconds = 0 if found is None else int(found[1]) * SECONDS[found[2]]
    if not 0 < seconds <= SPAN_S_MAX:
        msg = f"--for is {text!r}; allowed are a number with s, m, h or d behind it, at most 30d, or 0"
        raise typer.BadParameter(msg)
    return seconds


def _labels(pairs: list[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            msg = f"--label is {pair!r}; write it as name=value"
            raise typer.BadParameter(msg)
        labels[name] = value
    return labels
