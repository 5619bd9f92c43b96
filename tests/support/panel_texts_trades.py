"""What the panels of the parts Trades, Strategies and Execution must say of the API's answers."""

import re
from typing import Final

from tests.support.panel_texts import Api, PanelTexts, Said, Wanted, hidden, one, row, total_cost, trade_row
from tests.support.panel_texts_parts import finding
from tests.support.shown import (
    JOIN,
    NOTHING,
    Document,
    at,
    count,
    counted,
    cut,
    decimal,
    dollars,
    duration,
    full,
    moved,
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


def candles(api: Api) -> Wanted:
    told = api.get("/candles")
    made = told["candles"]
    asked = {"mint": told["mint"], "since": made[0]["ts"], "limit": 200}
    trades = api.get("/telemetry/trading/trades", **asked)["trades"]
    bought = sum(trade["side"] == "buy" for trade in trades)
    high = max((each["high"] for each in made), key=float)
    low = min((each["low"] for each in made), key=float)
    last = made[-1]
    closing = f"close {decimal(last['close'])} SOL"
    prices = [f"open {decimal(last['open'])}", f"high {decimal(last['high'])}", f"low {decimal(last['low'])}", closing]
    rows: list[Said] = [
        row(short(each["ts"]), *(decimal(each[name]) for name in ("open", "high", "low", "close", "volume")))
        for each in made[-ROWS:][::-1]
    ]
    dealt: list[Said] = [
        row(
            "▲ Entry, why" if trade["side"] == "buy" else "▼ Exit, why",
            short(trade["ts"]),
            f"{decimal(trade['price_sol'], 4)} SOL",
            decimal(trade["amount"]),
            words(trade["strategy"]),
        )
        for trade in trades[:ROWS]
    ]
    label = (
        f"Price of {told['symbol']} from {full(made[0]['ts'])} to {full(last['ts'])} in {count(len(made))} candles of "
        f"{duration(told['interval_s'])}: open {decimal(made[0]['open'])}, high {decimal(high)}, low {decimal(low)}, "
        f"{closing}; {count(bought)} entries and {count(len(trades) - bought)} exits"
    )
    return {
        **one(candles_meta=f"{count(len(made))} candles of {duration(told['interval_s'])}"),
        **one(candles_readout=JOIN.join([full(last["ts"]), *prices, f"{decimal(last['volume'])} tokens traded"])),
        "#candles-chart@aria-label": [label],
        "#candles-trades tr": dealt,
        "#candles-rows tr": rows,
    }


def trade_list(api: Api) -> Wanted:
    told = api.get("/telemetry/trading/trades", limit=PAGE)
    all_of_them = told["totals"]
    sales = all_of_them["won"] + all_of_them["lost"]
    won = f"{count(all_of_them['won'])} of {count(sales)} sales won"
    totals = row(
        f"All that match: {count(all_of_them['trades'])} trades, {won}, realised",
        moved(all_of_them["realised"]),
        ", fees",
        f"{sol(all_of_them['fees']['lamports'])} SOL",
    )
    rows: list[Said] = [trade_row(each) for each in told["trades"]]
    return {
        **one(trade_list_meta=f"{count(len(rows))} of {count(all_of_them['trades'])} shown, paper money"),
        "#trade-list-totals": [totals],
        "#trade-list tr": rows,
        **hidden("#trade-list-more", told["next_cursor"] is None),
    }


def heat(figures: Document) -> list[str]:
    """Return what a cell of the heatmap says: colour is for intervals that lie on one side of nothing."""
    if figures["trades"] == 0:
        return [NOTHING, "no trade"]
    mean, low, high = (figures.get(name) for name in ("mean_return_bps", "low_bps", "high_bps"))
    if mean is None or low is None or high is None or figures["trades"] < 10:
        verdict = "open"
    elif low > 0 or high < 0:
        verdict = "▲ gains" if low > 0 else "▼ loses"
    elif mean == 0:
        verdict = "open"
    else:
        verdict = "△ leans up" if mean > 0 else "▽ leans down"
    return [NOTHING if mean is None else signed_percent(mean), f"{verdict} · n {count(figures['trades'])}"]


def strategy_row(each: Document, cells: list[str]) -> str:
    stands = [words(each["kind"]), words(each["stage"]), "" if each["enabled"] else "off in this profile"]
    signal = each["last_signal"]
    stands += ["" if each["in_tier"] else "barred by the tier"]
    stands += ["no signal yet" if signal is None else f"last signal {short(signal)}"]
    return row(
        each["name"],
        JOIN.join(filter(None, stands)),
        f"{sol(each['capital']['lamports'])} SOL",
        f"{percent(each['allocation']['share_bps'], 0)} of capital" if each["allocation"] else "",
        moved(each["realised"]),
        moved(each["unrealised"]),
        NOTHING if each["win_rate_bps"] is None else percent(each["win_rate_bps"], 0),
        f"{count(each['wins'])} of {count(each['trades'])}",
        *out_of_sample(each),
        *cells,
    )


def out_of_sample(each: Document) -> list[str]:
    """Return the reading of what did not choose the parameters; the recorded run has promoted nothing."""
    assert (each["stage"], each["gates"]) == ("", [])
    return [NOTHING, "no candidate"]


HEADS: Final = ("Strategy", "Capital", "Realised · open", "Won", "Out of sample")


def strategies(api: Api) -> Wanted:
    told = api.get("/strategies")["strategies"]
    digest = {each["name"]: each for each in api.get("/strategies/digest")["strategies"]}
    rows: list[Said] = []
    for each in told:
        of_it = digest[each["name"]]
        windows = sorted(of_it["windows"], key=lambda window: -int(window["days"]))
        assert [window["days"] for window in windows] == [30, 7, 1]
        # What is told beside the strategy is the same.
        assert {window["days"]: window["trades"] for window in each["windows"]} == {
            w["days"]: w["trades"] for w in windows
        }
        rows.append(strategy_row(each, [text for figures in (of_it, *windows) for text in heat(figures)]))
    return {
        **one(strategies_meta=f"{counted(len(told), 'strategy', 'strategies')}, whole run"),
        **one(strategies_extremes=extremes(told)),
        "#strategies-head th": [*HEADS, "Whole run", "Last 30 d", "Last 7 d", "Last 1 d"],
        "#strategies-rows tr": rows,
    }


def strategies_within(since: str, until: str, said: str) -> PanelTexts:
    """Return what the heatmap says of a range that is longer than a day and shorter than a week."""

    def texts(api: Api) -> Wanted:
        [strategy] = api.get("/strategies")["strategies"]
        [told] = api.get("/strategies/digest", since=since, until=until)["strategies"]
        [day] = told["windows"]
        assert (day["days"], strategy["trades"] > told["trades"] > day["trades"] > 0) == (1, True)
        shown = strategy | {name: told[name] for name in ("trades", "wins", "win_rate_bps")}
        shown |= {"realised": {"lamports": told["realised_lamports"]}}
        return {
            **one(strategies_meta=f"1 strategy, {said}"),
            **one(strategies_extremes="No two strategies have finished trades in the range yet."),
            "#strategies-head th": [*HEADS, said, "Its last 1 d"],
            "#strategies-rows tr": [strategy_row(shown, [text for each in (told, day) for text in heat(each)])],
        }

    return texts


def extremes(told: list[Document]) -> str:
    traded = sorted((each for each in told if each["trades"]), key=lambda each: int(each["realised"]["lamports"]))
    if len(traded) < 2:
        return "No two strategies have finished trades in the whole run yet."
    [worst, best] = traded[0], traded[-1]
    return (
        f"Best realised: {best['name']} {moved(best['realised'])}. Worst: {worst['name']} {moved(worst['realised'])}."
    )


def strategies_by_regime(api: Api) -> Wanted:
    told = api.get("/strategies")["strategies"]
    digest = {each["name"]: each for each in api.get("/strategies/digest")["strategies"]}
    keys = sorted({(cell["regime"], cell["tier"]) for each in digest.values() for cell in each["cells"]})
    is_tier_said = len({tier for _, tier in keys}) > 1
    rows: list[Said] = []
    for each in told:
        cells = {(cell["regime"], cell["tier"]): cell for cell in digest[each["name"]]["cells"]}
        texts = [heat(cells.get(key, {"trades": 0})) for key in keys]
        rows.append(strategy_row(each, [text for pair in texts for text in pair]))
    names = [words(f"{regime} · {tier}" if is_tier_said else regime) for regime, tier in keys]
    return {"#strategies-head th": [*HEADS, *names], "#strategies-rows tr": rows}


def strategy_cell(api: Api) -> Wanted:
    """What stands behind the first cell by regime."""
    [strategy] = api.get("/strategies")["strategies"]
    cells = api.get("/strategies/digest")["strategies"][0]["cells"]
    key = min((cell["regime"], cell["tier"]) for cell in cells)
    told = api.get("/strategies/cell", strategy=strategy["name"], regime=key[0], tier=key[1])
    figures = told["figures"]
    mean, low, high = (figures[name] for name in ("mean_return_bps", "low_bps", "high_bps"))
    interval = (
        ", too few for an interval" if low is None else f", 95 %: {signed_percent(low)} to {signed_percent(high)}"
    )
    won = percent(figures["wins"] * 10_000 / figures["trades"], 0)
    verdict = heat(figures)[1].split(" · ")[0]
    facts: list[Said] = [
        f"{count(figures['trades'])}, {count(figures['wins'])} won ({won})",
        f"{signed_percent(mean)}{interval}",
        moved({"lamports": figures["realised_lamports"]}),
        f"{verdict}; {figures['confidence']}",
        "Not read: no candidate of it was promoted, so its finished trades are all there is.",
    ]
    trades: list[Said] = [
        row(
            short(each["closed_at"]),
            words(each["outcome"]),
            moved({"lamports": each["reward_lamports"]}),
            each["title"],
        )
        for each in told["trades"]
    ]
    assert sum(len(each["evidence"]) for each in told["findings"]) >= len(trades) > 0
    return {
        "#strategy-cell h3:first-child": [f"{strategy['name']}, {key[0]}, tier {key[1]}, whole run"],
        "#strategy-cell dd": facts,
        '#strategy-cell ol[aria-label="Trades"] > li': trades,
        '#strategy-cell ol[aria-label="Findings"] > li': [finding(each) for each in told["findings"]],
    }


def nodes(api: Api) -> Wanted:
    told = api.get("/nodes")["nodes"]
    [node] = told
    done = node["transactions"]
    tried = done["success"] + done["failed"] + done["expired"]
    head = row(node["id"], "paper: nothing is sent", node["state"], f"{node['role']} · version {node['version']}")
    latency: list[Said] = []
    for each in node["latency"]:
        bound = each["bound_s"]
        times = [each[name] for name in ("p50_s", "p95_s", "p99_s")]
        texts = [
            NOTHING if value is None else f"≥ {precise(bound)}" if bound and value >= bound else precise(value)
            for value in times
        ]
        stands = "simulated" if each["is_simulated"] else "measured"
        latency.append(row(each["what"], stands, count(each["count"]), *texts))
    figures: list[Said] = [
        re.compile(rf"(\d+ min )?[\d.]+ s ago \| a cycle takes {re.escape(duration(node['cycle_s']))}"),
        short(node["since"]),
        row(f"{count(done['success'])} done", f"{count(done['failed'])} failed, {count(done['expired'])} expired"),
        count(done["under_way"]),
        row(f"{done['success'] / tried * 100:.1f}\u202f%", f"of {count(tried)} tried"),
        row(
            f"{sol(total_cost(node['costs']))} SOL",
            f"of it {sol(node['costs']['priority_lamports'])} SOL priority fees",
        ),
    ]
    return {
        **one(nodes_meta="1 node"),
        "#nodes .node-head": [head],
        "#nodes p.warn": [node["state_reason"]],
        "#nodes dd": figures,
        "#nodes tbody tr": latency,
    }


def transactions(api: Api) -> Wanted:
    told = api.get("/transactions", limit=25)
    rows: list[Said] = []
    for each in told["transactions"]:
        paid = each["fee_lamports"] + each["priority_lamports"] + each["failed_lamports"]
        rows.append(
            row(
                f"{'Buy' if each['side'] == 'buy' else 'Sell'} {each['symbol']}",
                cut(each["reason"], 60),
                words(each["state"]),
                short(each["ts"]),
                f"took {precise(each['took_s'])} simulated",
                f"{sol(each['sol_lamports'])} SOL",
                each["wallet"],
                f"{sol(paid, 6)} SOL",
                f"slippage {percent(each['slippage_bps'])}",
                "none, simulated",
            )
        )
    return {
        **one(transactions_meta="paper: simulated, nothing was sent"),
        "#transactions tr": rows,
        **hidden("#transactions-more", told["next_cursor"] is None),
    }


def wallets(api: Api) -> Wanted:
    rows: list[Said] = []
    for each in (wallet for node in api.get("/nodes")["nodes"] for wallet in node["wallets"]):
        trades = "only sells" if each["role"] == "exit" else "trades"
        buckets = ", ".join(map(words, each["buckets"])) or "all buckets"
        held = f"{sol(each['cash']['lamports'])} SOL"
        stands = f"{trades} · {each['leased_by']}"
        rows.append(row(each["name"], "no address on paper", held, dollars(each["cash"]), buckets, stands))
    return {**one(wallets_meta="paper: simulated"), "#wallets tr": rows}


def costs(api: Api) -> Wanted:
    told = api.get("/costs", days=14)
    running = told["running"]
    net = running["net"]
    model = running["model"]
    by_endpoint = [
        row(
            each["name"],
            count(each["calls"]),
            NOTHING,
            "no price" if each["usd"] is None else f"{usd(each['usd'])} USD",
        )
        for each in running["endpoints"]
    ]
    days: list[Said] = []
    for each in told["days"]:
        assert each["realised"] is None, "the days of a recording are not those of the wall"
        at_least = "" if each["is_complete"] else "at least"
        days.append(
            row(each["day"], f"{count(each['calls'])} calls", NOTHING, f"{usd(each['usd'])} USD", at_least, NOTHING)
        )
    least, most = ("", "") if running["total"]["is_complete"] else (" at least", " at most")
    return {
        **one(costs_meta=f"since {running['since']}, days in UTC"),
        "#costs-net dd": [
            row(moved(net["trading"]), f"{sol(net['on_chain']['lamports'])} SOL of costs on chain are in it"),
            row(f"{sol(-net['running']['lamports'])} SOL", f"{usd(running['total']['usd'])} USD{least}"),
            row(moved(net["net"]), f"{usd(net['net']['usd'])} USD{most}"),
            row(f"{count(model['tokens'])} tokens", f"{count(model['calls'])} questions, {usd(model['usd'])} USD"),
        ],
        "#costs-days tr": days,
        **({"#costs-endpoints tr": [*by_endpoint]} if by_endpoint else hidden("#costs-asked", is_hidden=True)),
    }


def trade(order_id: str) -> PanelTexts:
    """Return what the dialog of a trade must say: its chain, each step with what the memory holds of it."""

    def texts(api: Api) -> Wanted:
        told = api.get("/why", order_id=order_id)
        steps = api.get(f"/trajectories/{told['trajectory_id']}")["steps"]
        known = {(step["kind"], at(step["ts"])) for step in steps}
        chain: list[Said] = [
            row(
                words(step["step"]),
                full(step["ts"]),
                cut(step["text"], 2_000),
                "its memory" if (step["step"], at(step["ts"])) in known else "",
            )
            for step in told["chain"]
        ]
        nothing_sent = "None: the fill is simulated"
        facts: list[Said] = ["Paper: simulated, no SOL moves", order_id, told["trajectory_id"], nothing_sent]
        return {"#trade-title": ["Paper trade"], "#trade-body dd": facts, "#trade-body ol.chain > li": chain}

    return texts


def strategy_detail(api: Api) -> Wanted:
    [told] = api.get("/strategies")["strategies"]
    return {"#strategy-detail dd": [str(value) for value in told["parameters"].values()]}
