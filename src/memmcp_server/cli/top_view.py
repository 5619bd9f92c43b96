"""What `memmcp top` shows of one look at the daemon, for a terminal of any width."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from .plots import bar, curve

Document = Mapping[str, Any]

CURVE_HEIGHT: Final = 3
WIDTH_MIN: Final = 20
POSITIONS_MAX: Final = 6
LIMITS_MAX: Final = 5
ALERTS_MAX: Final = 4
TRADES_MAX: Final = 5
NAME_WIDTH: Final = 10
BAR_WIDTH: Final = 16
STATE_STYLES: Final = {"ACTIVE": "green", "REDUCING": "yellow", "HALTED": "bold red"}
SEVERITY_STYLES: Final = {"info": "cyan", "warning": "yellow", "critical": "bold red"}


def view(seen: Document, width: int, *, is_plain: bool = False) -> RenderableType:
    """Return one screen; no line is wider than ``width``: what does not fit is cut. ``is_plain``: no blocks."""
    width = max(WIDTH_MIN, width)
    lines = [*_head(seen), *_desk(seen, width, is_plain=is_plain), *_queues(seen), *_alerts(seen), *_trades(seen)]
    for line in lines:
        line.truncate(width, overflow="crop" if is_plain else "ellipsis")
        line.no_wrap = True
    return Group(*lines)


def _head(seen: Document) -> list[Text]:
    status = seen["status"]
    up_s = float(status["uptime_s"])
    up = f"{up_s / 3_600:.1f} h" if up_s >= 3_600 else f"{up_s / 60:.0f} min"
    index, seq = status["index"]["state"], status["journal"]["seq"]
    lag = (seen.get("metrics") or {}).get("event_loop_lag_ms")
    late = "" if lag is None else f"  lag {lag:.0f} ms"
    pieces = f"  pid {status['pid']}  up {up}  clients {status['clients']}  seq {seq}  index {index}{late}"
    return [Text.assemble(("memMCP", "bold"), f"  {str(seen['at'])[11:19]} UTC{pieces}")]


def _desk(seen: Document, width: int, *, is_plain: bool) -> list[Text]:
    desk = seen.get("snapshot")
    if not desk:
        return [_title("Desk"), Text(f" {seen.get('no_desk') or 'trading is off'}")]
    feed = desk["feed"]
    age = "no data yet" if feed["age_s"] is None else f"{feed['age_s']:.0f} s old"
    state = str(desk["state"])
    entries = "entries allowed" if desk["entries_allowed"] and state == "ACTIVE" else "no entries"
    return [
        Text.assemble(
            f"{desk['money'].upper()} money  ",
            (state, STATE_STYLES.get(state, "")),
            f", {entries}  feed {feed['kind']} {age}",
            ("  STALE" if feed["stale"] else "", "bold red"),
            f"  cycle {desk['cycle']}  {desk['profile']}/{desk['tier']}",
        ),
        *([Text(f" {plain_line(desk['state_reason'])}", style="dim")] if desk["state_reason"] else []),
        *_equity(desk, width, is_plain=is_plain),
        *_positions(desk),
        *_limits(desk, is_plain=is_plain),
    ]


def _equity(desk: Document, width: int, *, is_plain: bool) -> list[Text]:
    grown = desk["compounding"]
    day = grown.get("change_day")
    changed = "" if not day else f"  24 h {_signed(day['lamports'])}"
    head = f"Equity {_amount(desk['equity'])}{changed}  drawdown {_percent(desk['drawdown_bps'])}"
    lines = curve(grown.get("sparkline") or [], width - 1, CURVE_HEIGHT, is_plain=is_plain)
    found = [Text(head, style="bold"), *(Text(f" {line}", style="cyan") for line in lines)]
    costs = desk.get("running_costs")
    if costs:
        net = costs["net"]
        left = "unknown" if net["net"] is None else _signed(net["net"]["lamports"])
        least = "" if net["is_complete"] else f", without {plain_line(', '.join(net['unknown']))}"
        found.append(Text(f" trading {_signed(net['trading']['lamports'])}, net of running costs {left}{least}"))
    return found


def _positions(desk: Document) -> list[Text]:
    held: Sequence[Document] = desk["positions"]
    found = [_title(f"Positions {len(held)}")]
    for each in held[:POSITIONS_MAX]:
        value, change = each["value"]["sol"], each["unrealised_bps"]
        head = f" {plain_line(each['symbol'])[:NAME_WIDTH]:<{NAME_WIDTH}} {float(value):>10.4f} SOL "
        style = "green" if change >= 0 else "red"
        found.append(Text.assemble(head, (f"{_percent(change):>9}", style), f"  {plain_line(each['strategy'])}"))
    return [*found, *_more(len(held), POSITIONS_MAX)]


def _limits(desk: Document, *, is_plain: bool) -> list[Text]:
    """Return the limits that are nearest, with how much of each is used up."""
    nearest = sorted(desk["limits"], key=lambda each: each["distance_bps"])
    found = [_title("Limits, the nearest first")] if nearest else []
    for each in nearest[:LIMITS_MAX]:
        used_bps = 10_000 - each["distance_bps"]
        style = "red" if used_bps >= 9_000 else "yellow" if used_bps >= 7_000 else "green"
        name = f"{each['name']} {each['scope']}"
        figures = f"{_percent(used_bps):>9}  {each['used']:,} of {each['limit']:,} {each['unit']}"
        drawn = (bar(used_bps, BAR_WIDTH, is_plain=is_plain), style)
        found.append(Text.assemble(f" {plain_line(name)[:28]:<28} ", drawn, figures))
    return found


def _queues(seen: Document) -> list[Text]:
    queues = {**seen["status"]["outbox"], **((seen.get("snapshot") or {}).get("queues") or {})}
    found = [_title("Queues")]
    for name, queue in queues.items():
        is_bad = queue["dead"] or queue["oldest_s"] > 60
        text = (
            f" {name:<{NAME_WIDTH}} {queue['pending']:>6} wait, oldest {queue['oldest_s']:.0f} s, {queue['dead']} dead"
        )
        relay = queue.get("relay") or {}
        text += f"  {relay['state']}: {plain_line(relay['last_error'])}" if relay.get("state") == "backing_off" else ""
        found.append(Text(text, style="yellow" if is_bad else ""))
    return found


def _alerts(seen: Document) -> list[Text]:
    told = seen.get("alerts")
    if told is None:
        return []
    alerts: Sequence[Document] = told["alerts"]
    found = [_title(f"Alerts {len(alerts)}")]
    for each in alerts[:ALERTS_MAX]:
        marks = (
            f"{' [acknowledged]' if each['state'] == 'acknowledged' else ''}{' [silenced]' if each['silenced'] else ''}"
        )
        head = (f" {each['severity'].upper():<8} ", SEVERITY_STYLES.get(each["severity"], ""))
        found.append(Text.assemble(head, f"{plain_line(each['title'])}{marks}  {plain_line(each['reads'])}"))
    return [*found, *_more(len(alerts), ALERTS_MAX)]


def _trades(seen: Document) -> list[Text]:
    trades: Sequence[Document] = (seen.get("trades") or {}).get("trades") or []
    found = [_title("Last trades")] if trades else []
    for each in trades[:TRADES_MAX]:
        realised = "" if each["realised"] is None else f"  {_signed(each['realised']['lamports'])}"
        when, name = str(each["ts"])[5:16].replace("T", " "), plain_line(each["symbol"])[:NAME_WIDTH]
        head = f" {when} {each['side']:<4} {name:<{NAME_WIDTH}} {float(each['value']['sol']):>9.4f} SOL"
        found.append(Text(f"{head}{realised}  {plain_line(each['strategy'])}"))
    return found


def _title(text: str) -> Text:
    return Text(text, style="bold")


def _more(count: int, shown: int) -> list[Text]:
    return [Text(f" and {count - shown} more", style="dim")] if count > shown else []


def plain_line(text: object) -> str:
    """Return a stored text on one line, without anything that would steer a terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())


def _amount(amount: Document) -> str:
    usd = f" ({amount['usd']} USD)" if amount.get("usd") else ""
    return f"{float(amount['sol']):.4f} SOL{usd}"


def _signed(lamports: int) -> str:
    return f"{lamports / 1_000_000_000:+.4f} SOL"


def _percent(bps: int) -> str:
    return f"{bps / 100:.2f} %"
