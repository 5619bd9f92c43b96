// What each strategy did, by window or by regime: colour says what the sample carries, never the profit alone.

import type { Api } from "../api";
import { byId, h, setAttribute, setText } from "../dom";
import { count, exactSol, NOTHING, percent, plain, signedPercent, sol, words, ZonedTime } from "../format";
import { ExportLinks } from "../export";
import { Poll } from "../poll";
import { readDigest, readStrategies } from "../wire_strategies";
import type { Digest, Figures, Strategy, StrategyList } from "../wire_strategies";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";
import { movement, trend } from "./trading";

const ASK_EVERY_MS = 15_000;
const REGIME_WINDOW = "30d";
const BY = ["window", "regime"] as const;
type By = (typeof BY)[number];

interface HeatCell { column: string; figures: Figures | null; evidence: string[] }

/**
 * What a cell's colour may say: a gain or a loss only where the whole interval of the mean return lies on one side of
 * zero, a leaning where the mean does and the sample is of some size, nothing otherwise.
 */
export function verdictOf(figures: Figures | null): "gain" | "leans-gain" | "loss" | "leans-loss" | "open" | "none" {
  if (figures === null || figures.trades === 0) return "none";
  const { mean_return_bps: mean = null, low_bps: low = null, high_bps: high = null } = figures;
  if (mean === null || low === null || high === null) return "open";
  if (low > 0) return "gain";
  if (high < 0) return "loss";
  if (figures.trades < LEANING_TRADES_MIN) return "open";
  if (mean > 0) return "leans-gain";
  return mean < 0 ? "leans-loss" : "open";
}

const LEANING_TRADES_MIN = 10;
const SAID: Record<ReturnType<typeof verdictOf>, string> = {
  gain: "\u25b2 gains", "leans-gain": "\u25b3 leans up", loss: "\u25bc loses", "leans-loss": "\u25bd leans down", open: "open", none: "no trade",
};

/** The strategies with the most and the least realised, null where there are not two that differ. */
export function extremes(strategies: readonly Strategy[]): { best: Strategy; worst: Strategy } | null {
  const traded = strategies.filter((each) => each.trades > 0);
  const sorted = [...traded].sort((a, b) => b.realised.lamports - a.realised.lamports);
  const best = sorted[0];
  const worst = sorted.at(-1);
  return best && worst && best.realised.lamports !== worst.realised.lamports ? { best, worst } : null;
}

export class StrategiesPanel {
  private readonly panel = new Panel("panel-strategies");
  private readonly links = new ExportLinks(byId("strategies-export"), "strategies");
  private readonly poll: Poll<{ list: StrategyList; digest: Digest }>;
  private digest: Digest | null = null;
  private by: By = "window";
  private chosen: string | null = null;

  constructor(api: Api, private readonly onChange: () => void) {
    this.poll = new Poll(async () => {
      const [list, digest] = await Promise.all([api.get("/strategies"), api.get(`/strategies/digest?window=${REGIME_WINDOW}`)]);
      return { list: readStrategies(list), digest: readDigest(digest) };
    }, ASK_EVERY_MS, onChange);
    byId("strategies-by").addEventListener("click", (event) => {
      const by = (event.target as Element).closest("button")?.dataset["by"];
      const found = BY.find((each) => each === by);
      if (found === undefined) return;
      this.by = found;
      for (const button of byId("strategies-by").querySelectorAll("button")) {
        setAttribute(button, "aria-pressed", String(button.dataset["by"] === found));
      }
      this.onChange();
    });
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    const both = this.panel.follow(this.poll.value, { waiting: "Loading the strategies.", staleReason: around.staleReason });
    if (both === null) return;
    const { list, digest } = both;
    this.digest = digest;
    if (list.strategies.length === 0) this.panel.show("empty", "The profile names no strategy.");
    if (!this.panel.isChanged(both, time, this.by, this.chosen)) return;
    const found = extremes(list.strategies);
    setText(byId("strategies-meta"), `${count(list.strategies.length)} strategies`);
    setText(byId("strategies-extremes"), found === null ? "No two strategies have finished trades yet."
      : `Best realised: ${plain(found.best.name, 48)} ${movement(found.best.realised)}. Worst: ${plain(found.worst.name, 48)} ${movement(found.worst.realised)}.`);
    this.links.follow(list.strategies.length > 0);
    this.drawTable(list.strategies, time);
    this.drawDetail(list.strategies.find((each) => each.name === this.chosen) ?? null);
  }

  private columns(): string[] {
    if (this.by === "window") return ["1 d", "7 d", "30 d"];
    const names = (this.digest?.strategies ?? []).flatMap((each) => each.cells.map((cell) => cell.regime));
    return [...new Set(names)].sort();
  }

  private cells(strategy: Strategy): HeatCell[] {
    if (this.by === "window") {
      return strategy.windows.map((window) => ({ column: `${window.days} d`, figures: window, evidence: [] }));
    }
    const cells = this.digest?.strategies.find((each) => each.name === strategy.name)?.cells ?? [];
    return cells.map((cell) => ({ column: cell.regime, figures: cell, evidence: cell.evidence }));
  }

  private drawTable(strategies: Strategy[], time: ZonedTime): void {
    const columns = this.columns();
    byId("strategies-head").replaceChildren(h("tr", {},
      h("th", { scope: "col" }, "Strategy"), h("th", { scope: "col", class: "num" }, "Capital"),
      h("th", { scope: "col", class: "num" }, "Realised \u00b7 open"), h("th", { scope: "col", class: "num" }, "Won"),
      ...columns.map((name) => h("th", { scope: "col", class: "heat" }, this.by === "window" ? `Last ${name}` : words(name)))));
    byId("strategies-rows").replaceChildren(...strategies.map((strategy) => {
      const cells = new Map(this.cells(strategy).map((cell) => [cell.column, cell]));
      const open = h("button", { type: "button", class: "plain", "aria-expanded": String(strategy.name === this.chosen) }, plain(strategy.name, 48));
      open.addEventListener("click", () => {
        this.chosen = this.chosen === strategy.name ? null : strategy.name;
        this.onChange();
      });
      return h("tr", {},
        h("th", { scope: "row" }, open, h("span", { class: "sub" }, standing(strategy, time))),
        h("td", { class: "num" }, `${sol(strategy.capital.lamports)} SOL`, h("span", { class: "sub" }, share(strategy))),
        h("td", { class: `num ${trend(strategy.realised.lamports)}`, title: exactSol(strategy.realised.lamports) }, movement(strategy.realised),
          h("span", { class: "sub" }, movement(strategy.unrealised))),
        h("td", { class: "num" }, strategy.win_rate_bps === null ? NOTHING : percent(strategy.win_rate_bps, 0),
          h("span", { class: "sub" }, `${count(strategy.wins)} of ${count(strategy.trades)}`)),
        ...columns.map((name) => heat(cells.get(name) ?? null)));
    }));
  }

  private drawDetail(strategy: Strategy | null): void {
    const place = byId("strategy-detail");
    setAttribute(place, "hidden", strategy === null ? "" : null);
    if (strategy === null) return;
    const evidence = [...new Set(this.digest?.strategies.find((each) => each.name === strategy.name)?.cells.flatMap((cell) => cell.evidence) ?? [])];
    place.replaceChildren(
      h("h3", {}, plain(strategy.name, 48)),
      facts("Parameters", Object.entries(strategy.parameters).map(([name, value]) => [words(name), plain(String(value), 60)])),
      h("h3", {}, "Promotion"),
      strategy.stage === "" ? h("p", { class: "quiet" }, "It trades its own parameters; no candidate was promoted.")
        : h("p", {}, `${words(strategy.stage)}, candidate ${plain(strategy.lineage, 80)}`),
      ...(strategy.gates.length === 0 ? [] : [gates(strategy)]),
      h("h3", {}, "Behind it"),
      h("p", { class: "stream-links" },
        h("a", { href: `/?view=memory&kinds=digest&q=${encodeURIComponent(strategy.name)}` }, "digests"),
        h("a", { href: `/?view=memory&q=${encodeURIComponent(strategy.name)}` }, "memories"),
        ...evidence.slice(-12).map((id, at) => h("a", { href: `/trajectories/${encodeURIComponent(id)}`, "data-trajectory": id }, `trade ${at + 1}`))),
    );
  }
}

function standing(strategy: Strategy, time: ZonedTime): string {
  const parts = [words(strategy.kind), strategy.stage === "" ? null : words(strategy.stage), strategy.enabled ? null : "off in this profile",
    strategy.in_tier ? null : "barred by the tier", strategy.state === undefined || strategy.state === "ACTIVE" ? null : `switched off (${plain(strategy.state, 16)})`, strategy.last_signal === null ? "no signal yet" : `last signal ${time.short(strategy.last_signal)}`];
  return parts.filter((each) => each !== null).join(" \u00b7 ");
}

function share(strategy: Strategy): string {
  const bps = strategy.allocation?.["share_bps"];
  return typeof bps === "number" ? `${percent(bps, 0)} of capital` : "";
}

function heat(cell: HeatCell | null): HTMLElement {
  const figures = cell?.figures ?? null;
  const verdict = verdictOf(figures);
  if (figures === null || verdict === "none") return h("td", { class: "heat", "data-verdict": "none" }, NOTHING, h("span", { class: "sub" }, SAID.none));
  const { mean_return_bps: mean = null, low_bps: low = null, high_bps: high = null } = figures;
  const interval = low === null || high === null ? "" : ` (${signedPercent(low)} to ${signedPercent(high)})`;
  return h("td", { class: "heat", "data-verdict": verdict, title: `${plain(figures.confidence, 200)}${interval}` },
    mean === null ? NOTHING : signedPercent(mean), h("span", { class: "sub" }, `${SAID[verdict]} \u00b7 n ${count(figures.trades)}`));
}

function facts(label: string, rows: [string, string][]): HTMLElement {
  return h("dl", { class: "facts", "aria-label": label }, ...rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function gates(strategy: Strategy): HTMLElement {
  const rows = strategy.gates.map((gate) => h("tr", {},
    h("th", { scope: "row" }, words(String(gate["name"] ?? ""))),
    h("td", { class: "num" }, plain(String(gate["value"] ?? NOTHING), 24)),
    h("td", { class: "num" }, `${gate["is_floor"] === true ? "at least" : "at most"} ${plain(String(gate["bound"] ?? NOTHING), 24)}`),
    h("td", { class: gate["passed"] === true ? "gain" : "loss" }, gate["passed"] === true ? "\u2713 passed" : "\u2717 not passed"),
    h("td", {}, plain(String(gate["note"] ?? ""), 160))));
  return h("table", {}, h("caption", { class: "sr-only" }, "Promotion gates as last read"),
    h("thead", {}, h("tr", {}, ...["Gate", "Read", "Bound", "Verdict", "Note"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, ...rows));
}
