"""What the bot says. Plain text: nothing of it is markup, whatever the market or an agent has written into it."""

from datetime import UTC, datetime
from typing import Any, Final

from memmcp_server.domain.alert import shown
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.phone import CODE_DIGITS, Act

LIST_MAX: Final = 10
ID_CHARS: Final = 8
"""So much of the end of an alert's id is shown, and enough to name it: an id is long to type on a phone."""
_LINE_CHARS_MAX: Final = 300

HELP: Final = "\n".join(
    (
        "/status: the desk in a few lines",
        "/alerts: what is wrong now",
        "/ack ID: stop repeating this alert",
        "/stop: open nothing new; positions and their exits go on",
        "/flatten: sell everything that can be sold, then halt",
        f"/stop and /flatten ask for a code of {CODE_DIGITS} digits and your PIN.",
        "Resuming, buying and arming are not done from a phone: use the command line.",
    )
)
WHAT: Final[dict[Act, str]] = {
    "stop": "stop entries: nothing new is opened. Open positions stay, and their exits go on.",
    "flatten": "flatten and halt: every position that can be sold is sold at once, and nothing is bought any more.",
}
NO_PIN: Final = "No PIN is set, so nothing can be changed from here. On the machine: memmcp phone pin"
NO_DESK: Final = "Trading is switched off in this daemon; there is nothing to stop."
UNKNOWN: Final = "That is none of the commands. /help lists them."
WRONG: Final = "Not confirmed: the code or the PIN is wrong."
NOTHING_ASKED: Final = "Nothing waits for a code. Send the command first."
TOO_LATE: Final = "The code has expired; nothing was done. Send the command again."
NOT_DELETED: Final = "Your message with the PIN could not be deleted. Delete it yourself."
UNUSABLE: Final = "Nothing was done: the files of the phone cannot be used. See `memmcp logs`."


def too_old(age_s: float) -> str:
    return (
        f"Nothing was done: your message came {age_s:.0f} s after you sent it, which is too late to act on. "
        "Send it again if you still mean it."
    )


def asking(act: Act, code: str, code_s: float, snapshot: JsonObject | None) -> str:
    """Return what an act will do now, and how it is confirmed."""
    now = "" if snapshot is None else f"\n{_money_line(snapshot)}\n{_holding(snapshot)}"
    how = f"To do it, answer within {code_s:.0f} s with the code and your PIN:"
    return f"This will {WHAT[act]}{now}\n{how}\n{code} YOURPIN"


def locked(wait_s: int) -> str:
    return f"Too many wrong PINs: none is looked at for {span(wait_s)}. The command line works meanwhile."


def status(snapshot: JsonObject, alerts: int | None) -> str:
    """Return a desk's snapshot in a few lines."""
    told: dict[str, Any] = dict(snapshot)
    feed = told.get("feed") or {}
    entries = _entries(snapshot)
    age = "no data yet" if feed.get("age_s") is None else f"{feed['age_s']:.0f} s old"
    return "\n".join(
        (
            _money_line(snapshot),
            f"state {told.get('state')}, {entries}{_reason(told)}",
            f"drawdown {_percent(told.get('drawdown_bps'))}, unrealised {_amount(told.get('unrealised'))}",
            _holding(snapshot),
            f"feed {feed.get('kind')}, {age}{', STALE' if feed.get('stale') else ''}; cycle {told.get('cycle')}",
            *([] if alerts is None else [f"alerts open: {alerts}"]),
        )
    )


def alert_list(alerts: list[JsonObject]) -> str:
    if not alerts:
        return "Nothing is wrong that anybody was told of."
    lines = [alert_line(each) for each in alerts[:LIST_MAX]]
    more = len(alerts) - LIST_MAX
    return "\n\n".join([*lines, *([f"and {more} more"] if more > 0 else [])])


def alert_line(alert: JsonObject) -> str:
    """Return one alert as a person reads it on a small screen."""
    told: dict[str, Any] = dict(alert)
    state = told.get("state", "firing")
    head = f"{str(told.get('severity', 'warning')).upper()} {'RESOLVED ' if state == 'resolved' else ''}"
    value, threshold, unit = told.get("value"), told.get("threshold"), told.get("unit") or ""
    measured = "" if value is None else f" (now {shown(value, unit)}, limit {shown(threshold, unit)})"
    since = f"since {_short(told.get('raised_at'))}"
    hint = "" if state != "firing" else f"\n/ack {str(told.get('id'))[-ID_CHARS:]}"
    acknowledged = f", acknowledged by {told['acknowledged_by']}" if told.get("acknowledged_by") else ""
    text = " ".join(str(told.get("text") or "").split())[:_LINE_CHARS_MAX]
    return f"{head}{told.get('title') or told.get('rule')}{measured}\n{text}\n{since}{acknowledged}{hint}"


def carried(act: Act, answer: JsonObject) -> str:
    """Return what the desk answered to an act."""
    if answer.get("status") == "denied":
        return f"DENIED: {answer.get('effect')}"
    orders = answer.get("order_ids")
    count = len(orders) if isinstance(orders, list) else 0
    sent = "" if act == "stop" else f" Orders sent: {count}."
    entries = _entries(answer)
    return f"Done: {answer.get('effect')}{sent} The desk is {answer.get('state')}, {entries}."


def end_of(act: Act, snapshot: JsonObject | None, waited_s: float) -> str:
    """Return how a flattening ended, or how far it came."""
    if snapshot is None:
        return f"The desk has not answered for {waited_s:.0f} s: whether it is flat is not known. Send /status."
    held = snapshot.get("positions")
    if not held:
        return f"FLAT: no position is left. {_money_line(snapshot)}"
    return f"NOT FLAT after {waited_s:.0f} s: {_holding(snapshot)}\nWhat cannot be sold is tried on. Send /status."


def span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def _entries(document: JsonObject) -> str:
    """Return whether anything is bought: what was stopped, and what a halted desk would not do anyway, is not."""
    is_open = document.get("state") == "ACTIVE" and document.get("entries_allowed")
    return "entries allowed" if is_open else "no entries"


def _reason(told: dict[str, Any]) -> str:
    reason = str(told.get("state_reason") or "")[:_LINE_CHARS_MAX]
    return f" ({reason})" if reason else ""


def _money_line(snapshot: JsonObject) -> str:
    return f"{str(snapshot.get('money', '')).upper()} money, equity {_amount(snapshot.get('equity'))}"


def _holding(snapshot: JsonObject) -> str:
    held = snapshot.get("positions")
    if not isinstance(held, list) or not held:
        return "no open positions"
    named = [
        f"{each.get('symbol')} {_amount(each.get('value'))} ({_percent(each.get('unrealised_bps'))})"
        for each in held[:LIST_MAX]
        if isinstance(each, dict)
    ]
    more = f" and {len(held) - LIST_MAX} more" if len(held) > LIST_MAX else ""
    return f"{len(held)} open: {', '.join(named)}{more}"


def _amount(amount: object) -> str:
    if not isinstance(amount, dict):
        return "-"
    usd = f" ({amount['usd']} USD)" if amount.get("usd") else ""
    return f"{amount.get('sol')} SOL{usd}"


def _percent(bps: object) -> str:
    return f"{bps / 100:.2f} %" if isinstance(bps, int) else "-"


def _short(moment: object) -> str:
    try:
        return datetime.fromisoformat(str(moment)).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return "-"
