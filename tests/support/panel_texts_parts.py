"""What the panels of the parts Memory, Insights, Risk, Agents and System must say of the API's answers."""

import re
from typing import Final

from tests.support.panel_texts import Api, PanelTexts, Said, Wanted, ageless, hidden, one, pieces, row
from tests.support.shown import (
    JOIN,
    NOTHING,
    Document,
    count,
    counted,
    cut,
    duration,
    in_unit,
    limit_name,
    percent,
    precise,
    short,
    signed_percent,
    sol,
    usd,
    words,
)

PAGE: Final = 50
ROWS: Final = 100
SEARCHED: Final = "PEPE"
"""What the memory browser is asked for."""


def browser(api: Api) -> Wanted:
    told = api.get("/memory/search", query=SEARCHED, limit=20, detail="full")
    rows: list[Said] = []
    for hit in told["hits"]:
        score = re.escape(f"{hit['score']:.3f}"[:-1]) + r"\d"
        pieces = [
            re.escape(short(hit["ts"])),
            re.escape(words(hit["kind"])),
            re.escape(f"{hit['namespace']} · {hit['agent'] or 'unnamed agent'} · trust {hit['trust']}"),
            rf"(?:old \| )?score {score}: {re.escape(cut(hit['why'], 80))}",
            re.escape(cut(hit["content"], 2_000)),
            "open",
            *(["trajectory"] if hit["trajectory_id"] else []),
            "similar",
            *(re.escape(f"#{tag}") for tag in hit["tags"][:8]),
        ]
        rows.append(re.compile(r" \| ".join(pieces)))
    more = "" if told["next_cursor"] is None else " so far"
    return {**one(browser_meta=f"{count(len(rows))} found{more}"), "#browser-hits > li": rows}


def brief(each: Document) -> str:
    return row(
        short(each["ts"]),
        words(each["kind"]),
        f"{each['namespace']} · {each['agent'] or 'unnamed agent'}",
        "stale" if each["stale"] else "",
        *pieces(cut(each["text"], 400)),
        "open, with its evidence",
    )


FOUND: Final = {
    "gains": "▲ gains",
    "loses": "▼ loses",
    "open": "not decided",
    "better": "✓ better than chance",
    "worse": "✗ worse than chance",
}


def finding(each: Document) -> str:
    assert each["out_of_sample"] is None, "no candidate was promoted in the recording"
    return row(
        FOUND[each["says"]],
        f"{words(each['about'])} · n {count(each['sample'])}",
        cut(each["text"], 400),
        cut(each["confidence"], 200),
        "Out of sample: not read" if each["about"] == "result" else "",
        *(f"trade {number}" for number, _ in enumerate(each["evidence"][-10:], 1)),
    )


def held_by(held: Document) -> str:
    worth = "equity not told" if held["equity_lamports"] is None else f"{sol(held['equity_lamports'])} SOL"
    placed = held["exposure_lamports"]
    return f"{worth}, {'exposure not told' if placed is None else f'{sol(placed)} SOL in positions'}"


def outside_of(totals: Document) -> str:
    """Outside engines, money by money; who is silent is in no sum."""
    told = []
    for held in totals["outside"]:
        desks = counted(held["desks"], "desk")
        if held["stale"] == held["desks"]:
            told.append(f"{held['money']} in {desks}, silent, so in no sum")
        else:
            silent = f", {count(held['stale'])} of them silent and left out" if held["stale"] else ""
            told.append(f"{held['money']} {held_by(held)}, in {desks}{silent}")
    return "; ".join(told)


def totals(api: Api) -> Wanted:
    told = api.get("/insights")["totals"]
    desks, nodes, agents = told["desks"], told["nodes"], told["agents"]
    all_desks = desks["own"]["desks"] + sum(held["desks"] for held in desks["outside"])
    done = f"{count(nodes['success'])} done, {count(nodes['failed'])} failed, {count(nodes['expired'])} expired"
    by = f"by {'more than ' if agents['writers_left_out'] else ''}{counted(agents['writers'], 'writer')}"
    return {
        **one(totals_meta=counted(all_desks, "desk")),
        "#totals dd": [
            row(held_by(desks["own"]), f"{desks['own']['money']} money"),
            row(outside_of(desks), "never added to ours"),
            row(f"{count(nodes['working'])} of {count(nodes['nodes'])} work", f"transactions: {done}"),
            row(
                f"{count(agents['connected'])} connected, {count(agents['callers'])} have called",
                f"{counted(agents['calls'], 'call')} since the daemon began",
            ),
            row(count(agents["memories"]), by),
        ],
    }


def insights(api: Api) -> Wanted:
    told = api.get("/insights")
    left_out = told["warnings_left_out"]
    digests = [brief(each) for each in told["digests"]]
    return {
        **one(insights_meta=f"{counted(told['lessons_total'], 'lesson')}, {counted(len(told['findings']), 'finding')}"),
        "#insights-findings li": [finding(each) for each in told["findings"]],
        "#insights-warnings li": [ageless(cut(each["text"], 300), cut(each["next"], 200)) for each in told["warnings"]],
        "#insights-lessons li": [brief(each) for each in told["lessons"]],
        "#insights-digests li": [*digests] or ["No digest yet. The desk writes one at the end of each window."],
        "#insights-more": [f"and {count(left_out)} more" if left_out else ""],
    }


def profiles(api: Api) -> Wanted:
    told = api.get("/profiles/log", limit=20)
    rows: list[Said] = []
    for each in told["entries"]:
        whose = "" if each["strategy"] is None else f"{each['strategy']}: "
        before = f"{words(each['before'])} → " if each["before"] else ""
        changes = [f"{c['field']}: {c['before'] or 'none'} → {c['after'] or 'none'}" for c in each["changes"][:40]]
        rows.append(
            row(
                short(each["ts"]),
                words(each["what"]),
                "by the desk's own rules" if each["by"] == "desk" else f"by {each['by']}",
                f"{whose}{before}{each['after']}",
                cut(each["why"], 400),
                f"{counted(each['changes_total'], 'field')} changed" if changes else "",
                *(cut(change, 400) for change in changes),
            )
        )
    return {"#profiles > li": rows, **hidden("#profiles-more", told["next_cursor"] is None)}


def desks(api: Api) -> Wanted:
    told = api.get("/telemetry/desks")
    rows: list[Said] = []
    for each in told["desks"]:
        whose = f"{'ours' if each['is_own'] else 'outside'}, {each['money']} money"
        state = "state not told" if each["state"] is None else each["state"]
        silent = ", silent" if each["stale"] else ""
        equity, exposure = each["equity_lamports"], each["exposure_lamports"]
        fallen, share = each["drawdown_bps"], each["exposure_bps"]
        figures = row(
            f"{sol(equity)} SOL",
            "not told" if fallen is None else percent(fallen),
            NOTHING if exposure is None else f"{sol(exposure)} SOL",
            "not told" if share is None else percent(share, 1),
        )
        reported = rf"{re.escape(row(each['desk_id'], whose, state))}, [\dsminhd. ]+ ago{silent}"
        rows.append(re.compile(rf"{reported} \| {re.escape(figures)}"))
    own = told["totals"]["own"]
    silent = ", silent" if own["stale"] else ""
    return {
        **one(
            desks_meta=counted(len(rows), "desk"),
            desks_own=f"Our own desk ({own['money']}): {held_by(own)}{silent}.",
            desks_outside=f"Outside engines, never added to ours: {outside_of(told['totals'])}.",
        ),
        "#desks tr": rows,
    }


def gate(api: Api) -> Wanted:
    said = api.get("/telemetry/trading")
    limits: list[Said] = []
    bars: list[Said] = []
    for each in sorted(said["limits"], key=lambda limit: int(limit["distance_bps"]))[:12]:
        bound = "at least" if each["is_floor"] else "of"
        used = min(10_000, max(0, 10_000 - each["distance_bps"]))
        bars.append(f"{percent(used, 0)} of {'it must stay' if each['is_floor'] else 'the limit used'}")
        limits.append(
            row(
                limit_name(each["name"]),
                words(each["scope"]),
                in_unit(each["used"], each["unit"]),
                f"{bound} {in_unit(each['limit'], each['unit'])}",
            )
        )
    denials = sorted(said["denials"].items(), key=lambda item: (-item[1], item[0]))
    total = sum(said["denials"].values())
    return {
        **one(gate_meta=f"{count(total)} denied", denials_title="Denials by reason, whole run"),
        "#limits tr": limits,
        "#limits svg@aria-label": bars,
        "#denials tr": [row(limit_name(reason), count(number)) for reason, number in denials[:12]],
        "#denials svg@aria-label": [
            f"{percent(number / total * 10_000, 0)} of all denials" for _, number in denials[:12]
        ],
    }


def exposure_by(by: str) -> PanelTexts:
    def texts(api: Api) -> Wanted:
        told = api.get("/risk")
        shares = told["exposure_map"][f"by_{by}"][:12]
        return {
            **one(exposure_meta=f"{percent(told['exposure_bps'], 1)} of equity"),
            "#exposure tr": [
                row(each["label"], f"{sol(each['lamports'])} SOL", percent(each["share_bps"], 1)) for each in shares
            ],
        }

    return texts


def funnel(api: Api) -> Wanted:
    told = api.get("/why", since="1970-01-01T00:00:00Z")
    way = told["funnel"]
    names = ("seen", "eligible", "forecast", "signalled", "sized", "approved", "filled")
    said = ("tokens seen", "eligible", "forecasts", "signals to buy", "sized orders", "approved", "bought")
    lost = sorted([*way["passed_over"].items(), *way["denied"].items()], key=lambda item: -item[1])[:12]
    fell = ", ".join(f"{limit_name(reason)} {count(number)}" for reason, number in lost)
    price = way["newest_price"]
    return {
        **one(
            funnel_meta=f"whole run, counted since {short(way['since'])}" if way.get("is_cut") else "whole run",
            funnel_summary=row(*pieces(cut(told["summary"], 1_000))),
            funnel_lost=f"Fell away: {fell}." if lost else "Nothing was passed over or denied.",
            funnel_price=f"Newest price: {short(price['ts'])}, {duration(price['age_s'])} old.",
        ),
        "#funnel tr": [row(text, count(way[name])) for name, text in zip(names, said, strict=True)],
    }


def tasks(api: Api) -> Wanted:
    told = api.get("/tasks", limit=12)["tasks"]
    waiting = [each for each in told if each["state"] == "open"]
    rows: list[Said] = []
    for each in told:
        result = api.get(f"/tasks/{each['id']}")["result"] if each["result_id"] else None
        stands = {
            "open": "open",
            "done": "done",
            "claimed": f"held by {each['claimed_by']} until {each['lease_until']}",
        }
        note = f": {each['note']}" if each["note"] else ""
        is_under_way = each["state"] in {"open", "claimed"}
        said = cut(result["text"], 1_000) if result else ""
        kind = cut(each["kind"], 48)
        rows.append(
            row(each["title"], kind, f"{stands[each['state']]}{note}", said, "Take back" if is_under_way else "")
        )
    return {**one(tasks_meta=f"{len(waiting)} open"), "#tasks > li": rows}


def micro(micro_usd: int) -> str:
    return f"{usd(f'{micro_usd // 1_000_000}.{micro_usd % 1_000_000:06}')} USD"


def sidecar(api: Api) -> Wanted:
    told = api.get("/sidecar/log", limit=20)
    standing = told["standing"]
    asking = standing["asking"]
    outcomes = ", ".join(f"{words(name)} {count(number)}" for name, number in asking["outcomes"].items())
    left = (
        f"{count(asking['calls_left'])} calls, {count(asking['tokens_left'])} tokens, {micro(asking['micro_usd_left'])}"
    )
    facts: list[Said] = [outcomes, count(asking["waiting"]), left, f"at most {percent(standing['weight_bps_max'], 0)}"]
    for each in standing["records"][:6]:
        hits = f"{percent(each['hit_rate_bps'], 0)} right" if each["hit_rate_bps"] is not None else "no hit rate yet"
        facts.append(f"{hits} of {count(each['count'])}, counts {percent(each['weight_bps'], 0)}")
    entries = [asked_row(each) for each in told["entries"]]
    return {
        **one(sidecar_meta=f"{asking['model']} · asked"),
        "#sidecar-standing dd": facts,
        "#sidecar > li": [*entries],
    }


def asked_row(each: Document) -> str:
    took = (
        f"{precise(each['latency_ms'] / 1_000)} · {count(each['tokens_in'])} + {count(each['tokens_out'])} tokens · "
        f"{micro(each['cost_micro_usd'])}"
    )
    effect, score = each["effect"], each["score"]
    came: list[str] = []
    if effect is not None and effect["wait_until"] is not None:
        came.append("the entry waited for it")
    elif effect is not None and effect["scale_bps"] < 10_000:
        came.append(f"the entry was {percent(effect['scale_bps'], 0)} of the desk's own size")
    elif effect is not None:
        came.append(f"changed nothing: {cut(effect['reason'], 120) or 'it agreed'}")
    if score is not None:
        came.append(
            f"{'right' if score['is_hit'] else 'wrong'}: the price moved {signed_percent(score['realised_bps'])}"
        )
    return row(
        short(each["ts"]),
        words(each["kind"]),
        words(each["outcome"]),
        JOIN.join(filter(None, (each["symbol"], each["strategy"]))),
        "answered before, cost nothing" if each["is_cached"] else took,
        cut(each["question"], 400),
        cut(each["text"], 600) if each["is_answered"] else cut(each["detail"], 300) or "It gave no answer.",
        "; ".join(came),
    )


def agents(api: Api) -> Wanted:
    told = api.get("/clients")
    connected = {name: number for name, number in told["connected"].items() if name != "page"}
    pages = told["connected"].get("page", 0)
    callers: list[Said] = [
        row(each["agent"], each["transport"], count(each["calls"]), each["last_tool"], short(each["last"]))
        for each in told["callers"]
    ]
    writers: list[Said] = [
        row(each["name"] or "unnamed agent", count(each["count"]), short(each["newest"]))
        for each in api.get("/memory/summary", by="agent", limit=1)["counts"]
    ]
    return {
        **one(agents_meta=f"{count(sum(connected.values()))} connected over a bridge, {count(pages)} pages"),
        "#agents-callers tr": callers,
        "#agents-writers tr": writers,
    }


def queues(api: Api) -> Wanted:
    told = api.get("/telemetry/metrics")
    desk = api.get("/telemetry/trading")["queues"]
    rows: list[Said] = []
    for name, queue in [
        *((f"memory → {name}", queue) for name, queue in told["queues"].items()),
        *((f"desk → {name}", queue) for name, queue in desk.items()),
    ]:
        dead = f"⚠ {count(queue['dead'])}" if queue["dead"] else "0"
        age = r"(\d+ min )?[\d.]+ s" if queue["pending"] else NOTHING
        before, after = re.escape(row(name, count(queue["pending"]))), re.escape(row(dead, count(queue["delivered"])))
        rows.append(re.compile(rf"{before} \| {age} \| {after}"))
    index = told["index"]
    points = counted(index["points"], "point")
    dead = sum(queue["dead"] for queue in [*told["queues"].values(), *desk.values()])
    return {
        **one(
            queues_meta=f"{count(dead)} dead letters",
            journal_seq=count(told["journal_seq"]),
            memories=count(told["memories"]),
            index_state=f"{words(index['state'])}, {points} ({index['backend']})",
            clients=count(told["clients"]),
        ),
        "#queues tr": rows,
        "#lag": [re.compile(r"\d+\.\d ms")],
        "#uptime": [re.compile(r"(\d+ min )?[\d.]+ s")],
    }
