"""What the running desk is doing and why: trades, risk, why, why-not, and the tables that others show too."""

from itertools import accumulate
from typing import Annotated, Any

import typer
from rich.text import Text

from trading.cli.client import Daemon
from trading.cli.console import DaemonRefused, amount_text, bps_text, figures, listing, out, print_json, reporting
from trading.cli.options import DataDir, JsonFlag, instant_ns
from trading.cli.plots import bar, curve, is_plain
from trading.model.units import sol_text

Since = Annotated[str | None, typer.Option("--since", help="ISO date or time; without a zone it is UTC.")]


_HEAD = ("ts", "step", "kind")
BAR_WIDTH = 16
OUTCOMES_WIDTH = 24


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("trades")(trades)
    app.command("risk")(risk)
    app.command("tier")(tier)
    app.command("why")(why)
    app.command("why-not")(why_not)


def desk_table(snapshot: dict[str, Any]) -> Any:
    """Return the figures of a wire.TradingSnapshot as a table."""
    feed = snapshot["feed"]
    age = "no data yet" if feed["age_s"] is None else f"{feed['age_s']:.0f} s old"
    entries = "" if snapshot["entries_allowed"] else ", no entries"
    rows = [
        ("money", snapshot["money"]),
        ("feed", f"{feed['kind']}, {age}{', STALE' if feed['stale'] else ''}: {feed['detail']}"),
        ("state", f"{snapshot['state']}{entries} ({snapshot['state_reason']})"),
        ("profile, tier", f"{snapshot['profile']}, {snapshot['tier']}"),
        ("time, cycle", f"{snapshot['ts']} ({snapshot['zone']}), {snapshot['cycle']}"),
        ("equity", amount_text(snapshot["equity"])),
        ("cash", amount_text(snapshot["cash"])),
        ("drawdown", bps_text(snapshot["drawdown_bps"])),
        ("realised, unrealised", f"{amount_text(snapshot['realised'])}, {amount_text(snapshot['unrealised'])}"),
        ("return, time-weighted", bps_text(snapshot["time_weighted_return_bps"])),
        ("trades, signals", f"{snapshot['trades_total']}, {snapshot['signals_total']}"),
    ]
    return figures("The desk", rows)


def positions_table(positions: list[dict[str, Any]]) -> Any:
    """Return open positions as a table."""
    rows = [
        (
            each["symbol"],
            each["amount"],
            amount_text(each["value"]),
            bps_text(each["unrealised_bps"]),
            each["strategy"],
            each["mint"],
        )
        for each in positions
    ]
    return listing("Positions", ("token", "amount", "value", "unrealised %", "strategy", "mint"), rows)


def trades(
    strategy: Annotated[str | None, typer.Option("--strategy", help="Only this strategy's.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="How many, newest first.")] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on after a page; see next_cursor.")] = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """List trades, newest first."""
    with reporting(as_json=as_json):
        query = {"strategy": strategy, "limit": limit, "cursor": cursor}
        page = Daemon.find(data_dir).get("/telemetry/trading/trades", query)
    if as_json:
        print_json(page)
        return
    rows = [
        (
            each["ts"],
            each["side"],
            each["symbol"],
            each["amount"],
            amount_text(each["value"]),
            amount_text(each["realised"]),
            each["strategy"],
            each["order_id"],
        )
        for each in page["trades"]
    ]
    console = out()
    columns = ("time", "side", "token", "amount", "value", "realised", "strategy", "order")
    console.print(listing(f"Trades (money: {page['money']}, feed: {page['feed']['kind']})", columns, rows))
    outcomes = outcome_rows(page["trades"], plain=is_plain(console))
    if outcomes:
        heads = ("strategy", "closed", "won %", "realised, SOL", "best, SOL", "worst, SOL", "sum, from left to right")
        console.print(listing("Outcomes of these trades", heads, outcomes))
    if page.get("next_cursor"):
        console.print(Text(f"more: --cursor {page['next_cursor']}"))


def outcome_rows(trades: list[dict[str, Any]], *, plain: bool) -> list[tuple[str, ...]]:
    """Return for each strategy what its closed trades brought, with the course of their sum; the newest come first."""
    results: dict[str, list[int]] = {}
    for each in reversed(trades):
        if each["realised"] is not None:
            results.setdefault(each["strategy"], []).append(each["realised"]["lamports"])
    return [
        (
            strategy,
            str(len(found)),
            bps_text(sum(result > 0 for result in found) * 10_000 // len(found)),
            *(sol_text(figure) for figure in (sum(found), max(found), min(found))),
            "".join(curve(list(accumulate(found)), OUTCOMES_WIDTH, 1, plain=plain)),
        )
        for strategy, found in sorted(results.items())
    ]


def risk(data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """Show state, exposure, limits and how far each is."""
    with reporting(as_json=as_json):
        view = Daemon.find(data_dir).get("/risk")
    if as_json:
        print_json(view)
        return
    console = out()
    entries = "entries allowed" if view["entries_allowed"] else "no entries"
    rows = [
        ("state", f"{view['state']}, {entries} ({view['state_reason']})"),
        ("equity", amount_text(view["equity"])),
        ("drawdown", bps_text(view["drawdown_bps"])),
        ("exposure", bps_text(view["exposure_bps"])),
        ("denied", ", ".join(f"{count} {reason}" for reason, count in sorted(view["denials"].items())) or "nothing"),
    ]
    console.print(figures(f"Risk (money: {view['money']}, feed: {view['feed']['kind']})", rows))
    limits = [
        (
            each["name"],
            each["scope"],
            f"{each['used']:,}",
            f"{'at least' if each.get('is_floor') else 'at most'} {each['limit']:,}",
            each["unit"],
            bps_text(each["distance_bps"]),
            bar(10_000 - each["distance_bps"], BAR_WIDTH, plain=is_plain(console)),
        )
        for each in sorted(view["limits"], key=lambda each: each["distance_bps"])
    ]
    columns = ("limit", "scope", "now", "allowed", "unit", "distance %", "used up")
    console.print(listing("Limits, the nearest first", columns, limits))
    shares = [
        (kind.removeprefix("by_"), each["label"], sol_text(each["lamports"]), bps_text(each["share_bps"]))
        for kind, found in (view.get("exposure_map") or {}).items()
        if kind != "total"
        for each in found
    ]
    console.print(listing("Exposure", ("by", "of", "SOL", "equity %"), shares))


def tier(data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """Show what the desk may do at its size: pools, fee cap, Kelly fraction, wallets, modules, and the next tier."""
    with reporting(as_json=as_json):
        view = Daemon.find(data_dir).get("/strategies")["tier"]
    if as_json:
        print_json(view)
        return
    above = (
        "this is the highest" if view["next_tier"] is None else f"{view['next_tier']} at {_sol(view['next_tier_at'])}"
    )
    rows = [
        ("tier", f"{view['name']}, from {_sol(view['from_equity'])}, left below {_sol(view['left_below'])}"),
        ("next", above),
        ("goes by", f"{_sol(view['equity_without_flows'])}: equity without deposits and withdrawals"),
        ("pools", f"{view['pools_admitted']} of {view['pools']} hold at least {_sol(view['pool_min'])}"),
        ("fixed fees of a position", f"at most {bps_text(view['fee_position_bps_max'])}"),
        ("Kelly fraction", bps_text(view["kelly_fraction_bps"])),
        ("wallets", f"at most {view['wallets_max']}"),
        ("modules that do not enter", ", ".join(view["barred_modules"]) or "none"),
    ]
    out().print(figures("Tier", rows))


def _sol(amount: dict[str, Any]) -> str:
    return f"{amount['sol']} SOL"


def why(
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID", help="An order's id (see trades), or a trajectory's.")],
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the whole chain of a trade: signal, verdict, order, fill, outcome."""
    with reporting(as_json=as_json):
        daemon = Daemon.find(data_dir)
        try:
            answer = daemon.get("/why", {"order_id": order_id})
        except DaemonRefused:
            # A trajectory's id is as good a question; when it is neither, what the desk says to the order's id counts.
            answer = _of_trajectory(daemon, order_id)
            if answer is None:
                raise
    _show_why(answer, as_json)


def _of_trajectory(daemon: Daemon, trajectory_id: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = daemon.get("/why", {"trajectory_id": trajectory_id})
    except DaemonRefused:
        return None
    return found


def why_not(
    mint: Annotated[str | None, typer.Argument(metavar="[MINT]", help="Only this token.")] = None,
    since: Since = None,
    until: Annotated[str | None, typer.Option("--until", help="End, so that one cycle can be looked at.")] = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Show why nothing happened: seen, eligible, signalled, sized, denied by reason, and the nearest miss."""
    with reporting(as_json=as_json):
        instant_ns("since", since)
        instant_ns("until", until)
        query = {"mint": mint, "since": _zoned(since), "until": _zoned(until)}
        answer = Daemon.find(data_dir).get("/why", query)
    _show_why(answer, as_json)


def _zoned(since: str | None) -> str | None:
    """Return the time with its zone, which HTTP asks for."""
    from datetime import UTC, datetime

    if since is None:
        return None
    at = datetime.fromisoformat(since.strip())
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()


def _show_why(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    console = out()
    console.print(Text(answer["summary"]))
    for step in answer.get("chain") or []:
        head = " ".join(str(step[name]) for name in _HEAD if step.get(name))
        console.print(Text.assemble((head, "bold"), f"  {step.get('text') or ''}"))
        rest = {name: value for name, value in step.items() if name not in (*_HEAD, "text")}
        if rest:
            console.print(figures("", [(str(name), str(value)) for name, value in rest.items()]))
    for title in ("funnel", "nearest_miss"):
        if answer.get(title):
            rows = [(str(name), str(value)) for name, value in answer[title].items()]
            console.print(figures(title.replace("_", " "), rows))
