"""What each panel of the part Desk must say of the API's answers; the other parts are in ``panel_texts_parts``."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import httpx2

from tests.support.shown import (
    JOIN,
    NOTHING,
    Document,
    address,
    at,
    between,
    count,
    counted,
    cut,
    decimal,
    dollars,
    duration,
    fixed,
    full,
    moved,
    percent,
    short,
    signed_percent,
    signed_sol,
    sol,
    usd,
    words,
)

PIECE: Final = " | "
"""Stands between the pieces of text of one row."""
TRADES_SHOWN: Final = 40
MEMORIES_SHOWN: Final = 40

AGE: Final = re.compile(r"\d+ s old")
Said = str | re.Pattern[str]
Wanted = dict[str, list[Said]]
"""For each selector, or ``selector@attribute``, the texts of all that it finds, in order."""


@dataclass(frozen=True)
class Api:
    """``night_since``: when somebody looked last, in the desk's time."""

    http: httpx2.Client
    night_since: str

    def get(self, path: str, **query: Any) -> Document:
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return dict(answer.json())

    def memories(self, after: int) -> list[Document]:
        """Return the memories behind one place in the journal, as the stream tells them."""
        found: list[Document] = []
        with self.http.stream("GET", "/events", headers={"Last-Event-ID": str(after)}) as answer:
            kind = ""
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind == "memory":
                    found.append(json.loads(value))
                elif name == "data" and kind == "metrics" and found:
                    break  # told once a second, also beside nothing new
        return found


PanelTexts = Callable[[Api], Wanted]


def row(*pieces: str) -> str:
    return PIECE.join(piece for piece in pieces if piece)


def one(**texts: str) -> Wanted:
    """Return one text for each id; ``_`` stands for ``-``."""
    return {f"#{name.replace('_', '-')}": [text] for name, text in texts.items()}


def hidden(selector: str, is_hidden: bool) -> Wanted:
    return {f"{selector}@hidden": [""] if is_hidden else []}


def total_cost(costs: Mapping[str, int]) -> int:
    """Return what is gone for good: rent comes back."""
    return sum(costs[f"{name}_lamports"] for name in ("fee", "impact", "priority", "failed"))


def ageless(*pieces: str) -> Said:
    """Return a row in which the age of the feed may be any: it grows with each look, thousands of times too fast."""
    return re.compile(AGE.sub(lambda _: AGE.pattern, re.escape(row(*pieces)).replace("\\ ", " ")))


def exact(lamports: int) -> str:
    return f"{sol(lamports, 9)} SOL"


def header(api: Api) -> Wanted:
    said = api.get("/telemetry/trading")
    return one(
        money_word="PAPER",
        feed_kind=said["feed"]["kind"].upper(),
        profile=words(said["profile"]),
        tier=words(said["tier"]),
        trading_state=said["state"],
        entries="entries allowed" if said["entries_allowed"] else "no entries",
    )


def night(api: Api) -> Wanted:
    told = api.get("/night", since=api.night_since)
    realised = f"{signed_sol(told['realised']['lamports'])} SOL realised"
    line = [f"{count(told['closed'])} trades finished, {count(told['wins'])} with a profit, {realised}"]
    if told["equity_before"] and told["equity"]:
        line.append(f"equity {sol(told['equity_before']['lamports'])} → {sol(told['equity']['lamports'])} SOL")
    line.append(f"{count(sum(told['denials'].values()))} denied")
    waiting = []
    for each in told["waiting"]:
        behind = JOIN.join([*each["evidence"], *(f"answer: {answer}" for answer in each["answers"])])
        waiting.append(ageless(cut(each["what"], 200), cut(behind, 600)))
    happenings = [
        row(f"{full(each['ts'])} · {words(each['kind'])}", cut(each["text"], 600)) for each in told["happenings"]
    ]
    return {
        **one(night_meta=f"since {full(told['since'])}", night_line=JOIN.join(line)),
        "#night-waiting li": [*waiting[:40]],
        "#night-happenings li": [*happenings[:40]],
        **hidden("#night-cut", not (told["is_cut"] or len(happenings) > 40)),
    }


def alerts(api: Api) -> Wanted:
    told = api.get("/alerts")
    items: list[Said] = []
    for each in told["alerts"]:
        came = f" · came {each['count']} times" if each["count"] > 1 else ""
        pieces = [
            re.escape(f"{each['severity']}: {each['title']}{PIECE}firing{PIECE}{each['text']}{PIECE}"),
            rf"{re.escape(each['reads'])} · since {re.escape(full(each['raised_at']))}, for [\d.]+ s{came}",
            re.escape(
                f"{PIECE}{each['advice']}{PIECE}Acknowledge{PIECE}Silence for 2 h{PIECE}What to do{PIECE}its trade"
            ),
        ]
        items.append(re.compile("".join(pieces)))
    silences = [
        row(
            f"Silent: {each['rule']} ({', '.join(f'{name} {value}' for name, value in each['labels'].items())})"
            f" until {full(each['until'])}, by {each['by']}",
            "Tell again",
        )
        for each in told["silences"]
    ]
    return {
        **one(alerts_meta=f"{len(items)} firing"),
        "#panel-alerts@data-severity": [told["severity"]],
        "#alerts > li": items,
        "#alerts-silences li": [*silences],
    }


def trading(api: Api) -> Wanted:
    said = api.get("/telemetry/trading")
    tiles: dict[str, str] = {}
    for name in ("equity", "cash"):
        tiles |= {f"{name}_sol": f"{sol(said[name]['lamports'])} SOL", f"{name}_usd": dollars(said[name])}
    for name in ("realised", "unrealised"):
        tiles |= {f"{name}_sol": moved(said[name]), f"{name}_usd": dollars(said[name])}
    feed = [
        f"Feed: {cut(said['feed']['detail'], 240)}",
        f"last event {full(said['feed']['last_event'])}",
        f"1 SOL = {usd(said['sol_usd'])} USD",
        f"{said['state']}: {said['state_reason']}",
    ]
    slippage = said["slippage_bps_mean"]
    return {
        **one(
            trading_meta=f"cycle {count(said['cycle'])} · {full(said['ts'])}",
            **tiles,
            drawdown=percent(said["drawdown_bps"]),
            drawdown_peak=f"from {sol(said['peak']['lamports'])} SOL",
            twr=signed_percent(said["time_weighted_return_bps"]),
            twr_start=f"from {sol(said['start']['lamports'])} SOL",
            activity=f"{count(said['trades_total'])} trades",
            activity_signals=f"from {count(said['signals_total'])} signals",
            costs=f"{sol(total_cost(said['costs']))} SOL",
            costs_slippage=f"slippage {percent(slippage)} mean",
            feed_line=JOIN.join(feed),
        ),
        **{f"#{name}-sol@title": [exact(said[name]["lamports"])] for name in ("equity", "cash", "realised")},
    }


def equity(api: Api) -> Wanted:
    """From the whole series, as fine as it was recorded."""
    points = api.get("/telemetry/trading/history")["points"]
    told = api.get("/telemetry/trading/marks")
    sums = [point["equity_lamports"] for point in points]
    [first, last] = points[0], points[-1]
    span = f"from {full(first['ts'])} to {full(last['ts'])}"
    signs = (
        ("▲", "buy", "buys"),
        ("▼", "sell", "sells"),
        ("+", "deposit", "deposits"),
        ("−", "withdrawal", "withdrawals"),
    )
    kinds = [
        f"{sign} {counted(told['totals'][kind], kind, more)}" for sign, kind, more in signs if told["totals"][kind]
    ]
    drawn, all_of_them = min(400, len(told["marks"])), sum(told["totals"].values())
    marked = JOIN.join(kinds) + (f"; {count(drawn)} of them are drawn" if drawn < all_of_them else "")
    worst = max(point["drawdown_bps"] for point in points)
    worth = dollars({"lamports": last["equity_lamports"]}, last["sol_usd"])
    readout = [full(last["ts"]), f"{sol(sums[-1])} SOL", worth, f"drawdown {percent(last['drawdown_bps'])}"]
    curve = f"{sol(sums[0])} SOL to {sol(sums[-1])} SOL, lowest {sol(min(sums))} SOL, highest {sol(max(sums))} SOL"
    return {
        **one(equity_meta=marked, equity_readout=JOIN.join(readout)),
        "#equity-chart@aria-label": [f"Equity curve {span}: {curve}; marked: {marked}"],
        "#drawdown-chart@aria-label": [
            f"Drawdown curve {span}: now {percent(last['drawdown_bps'])}, worst {percent(worst)}"
        ],
    }


def path(api: Api) -> Wanted:
    told = api.get("/projection")
    [now, target] = told["equity"]["lamports"], told["target"]["lamports"]
    [*_, end] = told["range"]
    label = (
        f"Path on a logarithmic scale since {full(told['since'])[:10]}: from {sol(told['start']['lamports'])} to "
        f"{sol(now)} SOL, target {sol(target)} SOL; nine of ten projected paths lie from "
        f"{sol(end['lamports_p5'], 2)} to {sol(end['lamports_p95'], 2)} SOL on {full(end['ts'])[:10]}"
    )
    ahead = count(told["days_ahead"])
    basis = (
        f"From {count(told['returns'])} {'daily' if told['basis'] == 'day' else 'hourly'} returns, "
        f"{count(told['paths'])} paths, {ahead} days ahead. "
        "Dark band: half of the paths; light band: nine of ten."
    )
    names = {tier["name"]: tier["from_equity"]["lamports"] or told["path"][0]["lamports"] for tier in told["tiers"]}
    names |= {"target": target, "end of the path": told["path"][-1]["lamports"]}
    targets = [
        row(
            short(each["ts"]),
            each["actor"],
            f"{NOTHING if each['before'] is None else sol(each['before']['lamports'])} → "
            f"{sol(each['after']['lamports'])} SOL",
            each["reason"],
        )
        for each in told["targets"]
    ]
    marks: list[Said] = []
    for name, lamports in sorted(names.items(), key=lambda item: item[1]):
        marks += [sol(lamports, 1 if lamports < 10_000_000_000 else 0), name]
    return {
        **one(path_meta=f"{sol(now)} of {sol(target)} SOL", path_basis=basis),
        **one(path_method=cut(told["method"], 400)),
        "#path-chart svg@aria-label": [label],
        "#path-chart text:not([text-anchor=middle])": [*marks, full(told["since"])[:10], full(end["ts"])[:10]],
        "#path-reaches li": [reach(each, ahead) for each in told["reaches"]],
        "#path-targets tr": [*targets],
    }


def reach(each: Document, ahead: str) -> str:
    def day(value: float | None) -> str:
        if value is None:
            return f"beyond {ahead} d"
        return f"{fixed(Decimal(value), 1)} d" if value < 10 else f"{fixed(Decimal(value), 0)} d"

    def span(low: str, high: str) -> str:
        return day(None) if each[low] is None else f"{day(each[low])} to {day(each[high])}"

    missed = percent(10_000 - each["chance_bps"], 0)
    is_sure = each["chance_bps"] == 10_000
    return row(
        f"{words(each['goal'].removeprefix('tier:'))} at {sol(each['at']['lamports'], 2)} SOL",
        "in reach in every path" if is_sure else f"not in reach within {ahead} days in {missed} of the paths",
        f"time to it: 50 % interval {span('days_p25', 'days_p75')}; 90 % interval {span('days_p5', 'days_p95')}",
    )


def positions(api: Api) -> Wanted:
    said = api.get("/telemetry/trading")
    rows: list[Said] = [position_row(each, said["ts"]) for each in said["positions"]]
    share = (said["equity"]["lamports"] - said["cash"]["lamports"]) / said["equity"]["lamports"] * 10_000
    return {**one(positions_meta=f"{len(rows)} open · {percent(share, 1)} of equity"), "#positions tr": rows}


def position_row(each: Document, now: str) -> str:
    return row(
        each["symbol"],
        address(each["mint"]),
        decimal(each["amount"]),
        f"{sol(each['value']['lamports'])} SOL",
        dollars(each["value"]),
        moved(each["unrealised"]),
        f"{dollars(each['unrealised'])} · {signed_percent(each['unrealised_bps'])}",
        f"{decimal(each['mark_price_sol'], 4)} SOL",
        f"paid {decimal(each['average_price_sol'], 4)} SOL",
        words(each["strategy"]),
        "" if each["bucket"] == each["strategy"] else f"bucket {words(each['bucket'])}",
        short(each["opened_at"]),
        f"held {duration(between(each['opened_at'], now))}",
    )


def trade_row(each: Document) -> str:
    slippage = each["slippage_bps"]
    return row(
        f"{'Buy' if each['side'] == 'buy' else 'Sell'} {each['symbol']}",
        cut(each["reason"], 60),
        short(each["ts"]),
        words(each["strategy"]),
        f"{sol(each['value']['lamports'])} SOL",
        dollars(each["value"]),
        f"{decimal(each['price_sol'], 4)} SOL",
        f"for {decimal(each['amount'])}",
        f"{sol(total_cost(each['costs']))} SOL",
        f"slippage {percent(slippage)}",
        *([NOTHING] if each["realised"] is None else [moved(each["realised"]), dollars(each["realised"])]),
    )


def trades(api: Api) -> Wanted:
    told = api.get("/telemetry/trading/trades", limit=TRADES_SHOWN)["trades"]
    rows: list[Said] = [trade_row(each) for each in told]
    return {**one(trades_meta=f"the latest {count(len(rows))}"), "#trades tr": rows}


def compounding(api: Api) -> Wanted:
    said = api.get("/telemetry/trading")
    view = said["compounding"]
    line = view["sparkline"]
    changes = {
        f"change_{name}": "not long enough yet" if each is None else f"{moved(each)} · {dollars(each)}"
        for name, each in (("day", view["change_day"]), ("week", view["change_week"]))
    }
    ends = f"from {sol(line[0])} to {sol(line[-1])} SOL"
    extremes = f"lowest {sol(min(line))}, highest {sol(max(line))}"
    missing = view["next_tier_at"]["lamports"] - said["equity"]["lamports"]
    to_go = f"{sol(missing, 2)} SOL to go" if missing > 0 else "reached"
    return {
        **one(
            compounding_meta=f"{words(view['tier'])} tier",
            current_sol=f"{sol(said['equity']['lamports'])} SOL",
            current_usd=dollars(said["equity"]),
            target_sol=f"{sol(view['target']['lamports'])} SOL",
            target_usd=dollars(view["target"]),
            progress_text=percent(view["progress_bps"], 1),
            **changes,
            next_tier=f"{words(view['next_tier'])} at {sol(view['next_tier_at']['lamports'], 0)} SOL, {to_go}",
        ),
        "#progress@value": [str(view["progress_bps"])],
        "#sparkline svg@aria-label": [f"Equity over the last {len(line)} marks: {ends}, {extremes}"],
    }


def approvals(api: Api) -> Wanted:
    """Without a signer there is nothing to approve, and no panel."""
    assert api.get("/approvals")["is_available"] is False
    return hidden("#panel-approvals", is_hidden=True)


def stream(api: Api) -> Wanted:
    """The newest memories, as the stream of events tells them to anybody."""
    newest = api.get("/telemetry/metrics")["journal_seq"]
    rows: list[Said] = []
    for note in api.memories(newest - MEMORIES_SHOWN):
        trajectory = note["id"] if note["kind"] == "trajectory" else note["trajectory_id"]
        rows.append(
            row(
                short(note["ts"]),
                words(note["kind"]),
                f"{note['namespace']} · {note['agent'] or 'unnamed agent'}",
                cut(note["content"], 400),
                f"memory {note['seq']}",
                "trajectory" if trajectory else "",
            )
        )
    return {"#stream > li": rows[::-1]}


def instant_ms(ts: str) -> int:
    return int(at(ts).timestamp() * 1_000)
