// What executes: the nodes, how fast they are, what their transactions came to, and the wallets that they use.

import type { Api } from "../api";
import { byId, fillRows, h, setText } from "../dom";
import type { Cell } from "../dom";
import { count, duration, exactSol, NOTHING, plain, precise, sol, words, ZonedTime } from "../format";
import { Poll } from "../poll";
import { readNodes } from "../wire_execution";
import type { Latency, Node, Wallet } from "../wire_execution";
import { copyable } from "./copy";
import { costLines, totalCost } from "./costs";
import { Panel } from "./panel";
import type { AskingPanel, Surroundings } from "./panel";
import { usdText } from "./trading";

const EVERY_MS = 5_000;
const NODES_MAX = 20;
const OTHERS_MAX = 50;
const EXECUTES = "executes"; // a node beside the desk: it only carries out
const WALLETS_MAX = 50;
const LATE_CYCLES = 3;

export function nodesPoll(api: Api, onChange: () => void): Poll<Node[]> {
  return new Poll(async () => readNodes(await api.get("/nodes")), EVERY_MS, onChange);
}

export class NodesPanel implements AskingPanel {
  private readonly panel = new Panel("panel-nodes");

  constructor(private readonly poll: Poll<Node[]>) {}

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    const nodes = this.panel.follow(this.poll.value, { waiting: "Asking the nodes.", staleReason: around.staleReason });
    if (nodes === null || !this.panel.isChanged(nodes, time)) return;
    setText(byId("nodes-meta"), `${count(nodes.length)} ${nodes.length === 1 ? "node" : "nodes"}`);
    const others = nodes.filter((node) => node.role === EXECUTES);
    const own = nodes.filter((node) => node.role !== EXECUTES).slice(0, NODES_MAX);
    byId("nodes").replaceChildren(
      ...own.map((node) => nodeView(node, time)), ...(others.length === 0 ? [] : [othersTable(others, time)]));
  }
}

function nodeView(node: Node, time: ZonedTime): HTMLElement {
  const done = node.transactions;
  const tries = done.success + done.failed + done.expired;
  return h("section", { class: "node", "aria-label": `node ${plain(node.id, 60)}` },
    h("p", { class: "node-head" },
      h("b", {}, plain(node.id, 60)),
      h("span", { class: "kind", "data-mode": node.mode }, node.mode === "paper" ? "paper: nothing is sent" : "live: real money"),
      h("span", { class: `kind ${node.state === "working" ? "" : "warn"}` }, plain(node.state, 40)),
      h("span", { class: "dim" }, `${plain(node.role, 80)} \u00b7 version ${plain(node.version, 40)}`)),
    ...(trouble(node) === "" ? [] : [h("p", { class: "warn", dir: "auto" }, trouble(node))]),
    h("dl", { class: "figures" },
      figure("Heartbeat", `${duration(node.heartbeat_age_s)} ago`, node.cycle_s === null ? "" : `a cycle takes ${duration(node.cycle_s)}`, isLate(node) ? "warn" : ""),
      figure("Up since", time.short(node.since), "", "", time.full(node.since)),
      figure(node.mode === "paper" ? "Simulated swaps" : "Transactions", `${count(done.success)} done`,
        `${count(done.failed)} failed, ${count(done.expired)} expired`),
      figure("Under way", count(done.under_way), done.needs_review > 0 ? `${count(done.needs_review)} wait for you` : "",
        done.needs_review > 0 ? "warn" : ""),
      figure("Success", tries === 0 ? NOTHING : `${((done.success / tries) * 100).toFixed(1)}\u202f%`, tries === 0 ? "nothing tried yet" : `of ${count(tries)} tried`),
      figure("Cost", `${sol(totalCost(node.costs))} SOL`, `of it ${sol(node.costs.priority_lamports)} SOL priority fees`,
        "", costLines(node.costs))),
    latencyTable(node.latency));
}

function figure(name: string, text: string, sub: string, level = "", title?: string): HTMLElement {
  return h("div", {}, h("dt", {}, name), h("dd", { class: level, ...(title === undefined ? {} : { title }) }, h("b", {}, text), h("span", {}, sub)));
}

/** The nodes beside the desk, a row each: those that are in trouble first. */
function othersTable(nodes: readonly Node[], time: ZonedTime): HTMLElement {
  const body = h("tbody", {});
  const rows = [...nodes].sort((one, other) => Number(isWell(one)) - Number(isWell(other)));
  fillRows(body, rows.slice(0, OTHERS_MAX).map((node) => otherRow(node, time)));
  const more = nodes.length - OTHERS_MAX;
  return h("div", { class: "scroll node", role: "region", "aria-label": "Execution nodes table", tabindex: "0" },
    h("table", { class: "others" }, h("caption", { class: "sr-only" }, "Execution nodes beside this desk"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Execution node"), h("th", { scope: "col" }, "State"),
        ...["Wallets", "Done", "Sent after", "Confirmed"].map((name) => h("th", { scope: "col", class: "num" }, name)))),
      body),
    ...(more > 0 ? [h("p", { class: "dim" }, `and ${count(more)} more`)] : []));
}

function isWell(node: Node): boolean {
  return node.state === "working" && node.transactions.needs_review === 0 && node.wallets.every((each) => each.problem === "");
}

function otherRow(node: Node, time: ZonedTime): Cell[] {
  const done = node.transactions;
  const held = node.wallets.reduce((sum, each) => sum + each.cash.lamports, 0);
  const halted = node.wallets.filter((each) => each.state === "HALTED").length;
  const waiting = [
    done.under_way > 0 ? `${count(done.under_way)} under way` : "",
    done.needs_review > 0 ? `${count(done.needs_review)} wait for you` : "",
    halted > 0 ? `${count(halted)} halted` : "",
  ].filter((each) => each !== "").join(", ");
  return [
    { text: plain(node.id, 60), sub: `since ${time.short(node.since)}`, class: "wrap", title: `version ${plain(node.version, 40)}` },
    { text: plain(node.state, 40), sub: waiting || `heard of ${duration(node.heartbeat_age_s)} ago`,
      class: isWell(node) ? "wrap" : "wrap warn", title: plain(trouble(node), 300) },
    { text: count(node.wallets.length), sub: `${sol(held)} SOL`, class: "num" },
    { text: count(done.success), sub: `${count(done.failed)} failed, ${count(done.expired)} expired`, class: "num" },
    ...["send", "confirm"].map((name) => delayCell(node.latency.find((each) => each.name === name))),
  ];
}

/** Half of them took no longer; below it what all but one in a hundred took. */
function delayCell(latency: Latency | undefined): Cell {
  if (latency === undefined || latency.count === 0) return { text: NOTHING, class: "num" };
  return { text: percentile(latency.p50_s, latency.bound_s), sub: `p99 ${percentile(latency.p99_s, latency.bound_s)}`, class: "num" };
}

/** Why a node may not do all of its work, "" where it may. */
export function trouble(node: Node): string {
  const found = [node.state_reason, node.not_armed === "" ? "" : `buys nothing: ${node.not_armed}`, node.is_reconciled === false ? "the books are not reconciled with the chain yet" : ""];
  return plain(found.filter((each) => each !== "").join("; "), 300);
}

/** Whether the loop should have committed something long ago; one that waits for nothing is never late. */
export function isLate(node: Node): boolean {
  return node.state === "working" && node.cycle_s !== null && node.heartbeat_age_s > Math.max(30, LATE_CYCLES * node.cycle_s);
}

function latencyTable(latency: readonly Latency[]): HTMLElement {
  const body = h("tbody", {});
  fillRows(body, latency.map((each): Cell[] => [
    { text: plain(each.what, 60), sub: each.is_simulated ? "simulated" : "measured", class: "wrap" },
    { text: count(each.count), class: "num" },
    ...[each.p50_s, each.p95_s, each.p99_s].map((value): Cell => ({ text: percentile(value, each.bound_s), class: "num" })),
  ]));
  return h("div", { class: "scroll", role: "region", "aria-label": "Latency table", tabindex: "0" },
    h("table", { class: "latency" }, h("caption", { class: "sr-only" }, "How long things take"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Since the start"), ...["Count", "p50", "p95", "p99"].map((name) => h("th", { scope: "col", class: "num" }, name)))),
      body));
}

/** A percentile; one that lies above the last bucket is known to be at least that. */
export function percentile(value: number | null, bound: number | null): string {
  if (value === null) return NOTHING;
  return bound !== null && value >= bound ? `\u2265 ${precise(bound)}` : precise(value);
}

export class WalletsPanel implements AskingPanel {
  private readonly panel = new Panel("panel-wallets");

  constructor(private readonly poll: Poll<Node[]>) {}

  draw(nowMs: number, _time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    const nodes = this.panel.follow(this.poll.value, { waiting: "Asking for the wallets.", staleReason: around.staleReason });
    if (nodes === null || !this.panel.isChanged(nodes)) return;
    const wallets = nodes.flatMap((node) => node.wallets).slice(0, WALLETS_MAX);
    const isPaper = nodes.every((node) => node.mode === "paper");
    setText(byId("wallets-meta"), isPaper ? "paper: simulated" : `${count(wallets.length)} ${wallets.length === 1 ? "wallet" : "wallets"}`);
    fillRows(byId("wallets") as HTMLTableSectionElement, wallets.map(walletRow));
  }
}

function walletRow(wallet: Wallet): Cell[] {
  const held = [
    wallet.tokens === null ? "" : `tokens ${sol(wallet.tokens.lamports)}`,
    wallet.reserved === null || wallet.reserved.lamports === 0 ? "" : `promised ${sol(wallet.reserved.lamports)}`,
  ].filter((each) => each !== "");
  return [
    h("span", { class: "token" }, h("span", {}, plain(wallet.name, 40)),
      wallet.address === "" ? h("span", { class: "sub" }, "no address on paper") : copyable(wallet.address, "address"),
      wallet.problem === "" ? null : h("span", { class: "sub warn wrap", dir: "auto" }, plain(wallet.problem, 160))),
    { text: `${sol(wallet.cash.lamports)} SOL`, sub: usdText(wallet.cash, null), class: "num", title: exactSol(wallet.cash.lamports) },
    { text: wallet.buckets.length === 0 ? "all buckets" : wallet.buckets.map((each) => words(each)).join(", "),
      sub: [wallet.role === "exit" ? "only sells" : "trades", plain(wallet.leased_by, 60), ...held].join(" \u00b7 "), class: "wrap" },
  ];
}
