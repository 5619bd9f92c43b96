// What running costs beside the trades, and what is left of their result after it.

import type { Api } from "../api";
import { byId, fillRows, h, setAttribute, setText } from "../dom";
import type { Cell } from "../dom";
import { count, duration, exactSol, NOTHING, plain, precise, sol, usd, ZonedTime } from "../format";
import { Poll } from "../poll";
import { readCosts } from "../wire_execution";
import type { CostDay, CostReport, Endpoint, EndpointCost, Node, RunningCosts } from "../wire_execution";
import type { Amount } from "../wire";
import { Panel } from "./panel";
import type { AskingPanel, Surroundings } from "./panel";
import { movement, trend } from "./trading";

const EVERY_MS = 15_000;
const DAYS = 14;
const ENDPOINTS_MAX = 24;

export class RunningPanel implements AskingPanel {
  private readonly panel = new Panel("panel-costs");
  private readonly poll: Poll<CostReport>;

  constructor(api: Api, private readonly nodes: Poll<Node[]>, onChange: () => void) {
    this.poll = new Poll(async () => readCosts(await api.get(`/costs?days=${DAYS}`)), EVERY_MS, onChange);
  }

  draw(nowMs: number, _time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    const report = this.panel.follow(this.poll.value, { waiting: "Adding up the costs.", staleReason: around.staleReason });
    if (report === null) return;
    const nodes = this.nodes.value.state === "ready" ? this.nodes.value.value : null;
    if (report.running === null) {
      if (this.poll.value.state === "ready") this.panel.show("empty", "Nobody counts what running costs here.");
      return;
    }
    if (!this.panel.isChanged(report, nodes)) return;
    const { running, days } = report;
    setText(byId("costs-meta"), `since ${plain(running.since, 12)}, days in UTC`);
    byId("costs-net").replaceChildren(...net(running));
    setText(byId("costs-note"), missing(running));
    drawDays(days);
    const endpoints = joined(running.endpoints, nodes?.flatMap((node) => node.endpoints) ?? []);
    setAttribute(byId("costs-asked"), "hidden", endpoints.length === 0 ? "" : null);
    fillRows(byId("costs-endpoints") as HTMLTableSectionElement, endpoints.slice(0, ENDPOINTS_MAX).map(endpointRow));
  }
}

function amountOf(amount: Amount | null): string {
  return amount === null ? NOTHING : movement(amount);
}

function net(running: RunningCosts): HTMLElement[] {
  const { trading, on_chain: onChain, running: taken, net: left } = running.net;
  const least = running.net.is_complete ? "" : " at most";
  const pair = (name: string, text: string, sub: string, level: string, title?: string): HTMLElement =>
    h("div", {}, h("dt", {}, name), h("dd", { class: level, ...(title === undefined ? {} : { title }) }, h("b", {}, text), h("span", {}, sub)));
  return [
    pair("Result of trading", amountOf(trading), `${sol(onChain.lamports)} SOL of costs on chain are in it`, trend(trading.lamports), exactSol(trading.lamports)),
    pair("Running", taken === null ? NOTHING : `${sol(-taken.lamports)} SOL`, `${usd(running.total.usd) ?? NOTHING} USD${running.total.is_complete ? "" : " at least"}`, ""),
    pair("Net result", amountOf(left), left === null ? "no price of SOL" : `${usd(left.usd) ?? NOTHING} USD${least}`, left === null ? "" : trend(left.lamports)),
    pair("Model", `${count(running.model.tokens)} tokens`, `${count(running.model.calls)} questions, ${usd(running.model.usd) ?? NOTHING} USD`, ""),
  ];
}

/** What stands in the sums without a price, and how to give it one; "" where nothing does. */
export function missing(running: RunningCosts): string {
  const { unknown } = running.net;
  if (unknown.length === 0) return "";
  return `Without a price: ${unknown.slice(0, 8).map((each) => plain(each, 60)).join(", ")}. TRADING_COSTS__USD_A_MILLION_CREDITS and TRADING_COSTS__PLANS_USD_A_MONTH name prices.`;
}

function drawDays(days: readonly CostDay[]): void {
  const hasResults = days.some((each) => each.realised !== null);
  setAttribute(byId("costs-apart"), "hidden", hasResults || days.length === 0 ? "" : null);
  setAttribute(byId("costs-none"), "hidden", days.length === 0 ? null : "");
  setAttribute(byId("costs-table"), "hidden", days.length === 0 ? "" : null);
  fillRows(byId("costs-days") as HTMLTableSectionElement, days.slice(0, DAYS).map((each): Cell[] => [
    { text: plain(each.day, 12), sub: `${count(each.calls)} calls${each.limited > 0 ? `, ${count(each.limited)} \u00d7 429` : ""}` },
    { text: amountOf(each.realised), sub: each.on_chain === null ? "" : `on chain ${sol(each.on_chain.lamports)}`, class: each.realised === null ? "num" : `num ${trend(each.realised.lamports)}` },
    { text: `${usd(each.usd) ?? NOTHING} USD`, sub: each.is_complete ? "" : "at least", class: "num" },
    { text: amountOf(each.net), class: each.net === null ? "num" : `num ${trend(each.net.lamports)}` },
  ]));
}

export interface Asked { name: string; cost: EndpointCost | null; endpoint: Endpoint | null }

/** What was counted of an endpoint over the run beside what is known of it since the start, by its name. */
export function joined(costs: readonly EndpointCost[], endpoints: readonly Endpoint[]): Asked[] {
  const names = [...new Set([...costs.map((each) => each.name), ...endpoints.map((each) => each.name)])];
  return names.map((name) => ({
    name, cost: costs.find((each) => each.name === name) ?? null, endpoint: endpoints.find((each) => each.name === name) ?? null,
  }));
}

function endpointRow({ name, cost, endpoint }: Asked): Cell[] {
  const away = endpoint !== null && endpoint.away_s > 0 ? `left alone for ${duration(endpoint.away_s)}` : "";
  const p95 = endpoint?.answered.p95_s ?? null;
  const wrong = cost === null ? "" : [
    cost.limited > 0 ? `${count(cost.limited)} \u00d7 429` : "", cost.failed > 0 ? `${count(cost.failed)} failed` : "",
    cost.withheld > 0 ? `${count(cost.withheld)} withheld` : "",
  ].filter((each) => each !== "").join(", ");
  return [
    { text: plain(name, 60), sub: [away, p95 === null ? "" : `p95 ${precise(p95)}`, wrong].filter((each) => each !== "").join(", "), class: away === "" ? "wrap" : "wrap warn" },
    { text: cost === null ? NOTHING : count(cost.calls), class: "num" },
    { text: endpoint?.budget_left == null ? NOTHING : count(endpoint.budget_left), class: "num" },
    { text: cost?.usd == null ? "no price" : `${usd(cost.usd) ?? NOTHING} USD`, class: "num" },
  ];
}
