"""What the panels of the parts Memory, Insights, Risk, Agents and System must say of the API's answers."""

import re
from typing import Final

from tests.support.panel_texts import Api, PanelTexts, Said, Wanted, ageless, hidden, one, row
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
    timed,
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
        *timed(cut(each["text"], 400)),
        "open, with its evidence",
    )


SAID: Final = {
    "gains": "▲ gains",
    "loses": "▼ loses",
    "open": "not decided",
    "holds": "✓ holds",
    "fails": "✗ fails",
    "better": "✓ better than chance",
    "worse": "✗ worse than chance",
}


def finding(each: Document) -> str:
    tested = each["out_of_sample"]
    read = (
        "not read"
        if tested is None
        else f"{percent(tested['confidence_bps'], 1)} of {count(tested['sample'])} {tested['sample_of']}"
    )
    return row(
        SAID[each["says"]],
        f"{each['about']} · n {count(each['sample'])}",
        each["text"],
        each["confidence"],
        f"Out of sample: {read}" if each["about"] == "result" else "",
        *(f"trade {number}" for number in range(1, len(each["evidence"][-10:]) + 1)),
    )


def insights(api: Api) -> Wanted:
    said = api.get("/insights")
    left_out, findings = said["warnings_left_out"], said["findings"]
    digests = [brief(each) for each in said["digests"]]
    counts = f"{counted(said['lessons_total'], 'lesson')}, {counted(len(findings), 'finding')}"
    return {
        **one(insights_meta=counts),
        "#insights-warnings li": [ageless(cut(each["text"], 300), cut(each["next"], 200)) for each in said["warnings"]],
        "#insights-findings li": [finding(each) for each in findings],
        "#insights-lessons li": [brief(each) for each in said["lessons"]],
        "#insights-digests li": [*digests] or ["No digest yet. The desk writes one at the end of each window."],
        "#insights-more": [f"and {count(left_out)} more" if left_out else ""],
    }


def desk_sum(each: Document) -> str:
    equity, exposure = each["equity_lamports"], each["exposure_lamports"]
    worth = "equity not told" if equity is None else f"{sol(equity)} SOL"
    return f"{worth}, {'exposure not told' if exposure is None else f'{sol(exposure)} SOL in positions'}"


def outside_sum(each: Document) -> str:
    desks_of = counted(each["desks"], "desk")
    if each["stale"] == each["desks"]:
        return f"{each['money']} in {desks_of}, silent, so in no sum"
    left = f", {count(each['stale'])} of them silent and left out" if each["stale"] else ""
    return f"{each['money']} {desk_sum(each)}, in {desks_of}{left}"


def totals(api: Api) -> Wanted:
    said = api.get("/insights")["totals"]
    own, outside, nodes, agents = said["desks"]["own"], said["desks"]["outside"], said["nodes"], said["agents"]
    done = f"{count(nodes['success'])} done, {count(nodes['failed'])} failed, {count(nodes['expired'])} expired"
    called = f"{count(agents['connected'])} connected, {count(agents['callers'])} have called"
    return {
        **one(totals_meta=counted(own["desks"] + sum(each["desks"] for each in outside), "desk")),
        "#totals > div": [
            row("Our desk", desk_sum(own), f"{own['money']} money"),
            row("Outside engines", "; ".join(map(outside_sum, outside)), "never added to ours"),
            row("Nodes", f"{count(nodes['working'])} of {count(nodes['nodes'])} work", f"transactions: {done}"),
            row("Agents", called, f"{counted(agents['calls'], 'call')} since the daemon began"),
            row("Memories", count(agents["memories"]), f"by {counted(agents['writers'], 'writer')}"),
        ],
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
    said = api.get("/telemetry/desks")
    rows: list[Said] = []
    for each in said["desks"]:
        report = each["report"]
        equity = report["equity"]["lamports"] if each["is_own"] else report["equity_lamports"]
        exposure = report["exposure"]["total"]["lamports"] if each["is_own"] else report.get("exposure_lamports")
        state, fallen = report.get("state"), report.get("drawdown_bps")
        rows.append(
            aged(
                each["desk_id"],
                f"{'ours' if each['is_own'] else 'outside'}, {report['money']} money",
                f"{'state not told' if state is None else state}, AGE ago{', silent' if each['stale'] else ''}",
                f"{sol(equity)} SOL",
                "not told" if fallen is None else percent(fallen),
                NOTHING if exposure is None else f"{sol(exposure)} SOL",
                "not told" if exposure is None else percent(exposure * 10_000 // equity, 1),
            )
        )
    own, outside = said["totals"]["own"], said["totals"]["outside"]
    ours = f"Our own desk ({own['money']}): {desk_sum(own)}{', silent' if own['stale'] else ''}."
    others = f"Outside engines, never added to ours: {'; '.join(map(outside_sum, outside))}."
    return {
        **one(desks_meta=counted(len(rows), "desk"), desks_own=ours, desks_outside=others),
        "#desks tr": rows,
    }


def aged(*pieces: str) -> Said:
    """Return a row in which AGE may be any: it grows from one answer to the next."""
    return re.compile(re.escape(row(*pieces)).replace("AGE", r"[\d. a-z]+"))


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
    return funnel_of(api.get("/why", since="1970-01-01T00:00:00Z"), "whole run", "")


def funnel_within(since: str, until: str, said: str) -> PanelTexts:
    """Return what the funnel and the denials say of a range; ``until`` is the last instant in it."""

    def texts(api: Api) -> Wanted:
        why = api.get("/why", since=since, until=until)
        denials = sorted(why["funnel"]["denied"].items(), key=lambda item: (-item[1], item[0]))
        told: Wanted = {
            **funnel_of(why, said, " now"),
            **one(denials_title=f"Denials by reason, {said}"),
            **one(gate_meta=f"{count(sum(number for _, number in denials))} denied"),
        }
        if not denials:  # how fast the sidecar answers decides over it
            return told | one(denials_none="Nothing was denied in this range.")
        return told | {"#denials tr": [row(limit_name(reason), count(number)) for reason, number in denials[:12]]}

    return texts


def funnel_of(why: Document, whole: str, now: str) -> Wanted:
    way = why["funnel"]
    names = ("seen", "eligible", "forecast", "signalled", "sized", "approved", "filled")
    found = (f"tokens seen{now}", f"eligible{now}")
    said = (*found, "forecasts", "signals to buy", "sized orders", "approved", "bought")
    lost = sorted([*way["passed_over"].items(), *way["denied"].items()], key=lambda item: -item[1])[:12]
    fell = ", ".join(f"{limit_name(reason)} {count(number)}" for reason, number in lost)
    price = way["newest_price"]
    return {
        **one(
            funnel_meta=whole,
            funnel_summary=row(*timed(cut(why["summary"], 1_000))),
            funnel_lost=f"Fell away: {fell}." if lost else "Nothing was passed over or denied.",
            funnel_price=f"Newest price: {short(price['ts'])}, {duration(price['age_s'])} old.",
        ),
        "#funnel tr": [row(text, count(way[name])) for name, text in zip(names, said, strict=True)],
    }


def tasks(api: Api) -> Wanted:
    found = api.get("/tasks", limit=12)["tasks"]
    waiting = [each for each in found if each["state"] == "open"]
    rows: list[Said] = []
    for each in found:
        result = api.get(f"/tasks/{each['id']}")["result"] if each["result_id"] else None
        stands = {
            "open": "open",
            "done": "done",
            "claimed": row(f"held by {each['claimed_by']} until", *timed(each["lease_until"] or "")),
        }
        note = f": {each['note']}" if each["note"] else ""
        is_under_way = each["state"] in {"open", "claimed"}
        said = cut(result["text"], 1_000) if result else ""
        kind = cut(each["kind"], 48)
        rows.append(row(each["title"], kind, stands[each["state"]], note, said, "Take back" if is_under_way else ""))
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
