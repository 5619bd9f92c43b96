// What each strategy did in the page's time range, whole and by window or by regime, and what stands behind each figure.

import type { Api } from "../api";
import { byId, h, setAttribute, setText } from "../dom";
import { count, exactSol, NOTHING, percent, plain, sol, words, ZonedTime } from "../format";
import { ExportLinks } from "../export";
import { RangedPoll } from "../poll";
import type { Asked } from "../poll";
import { isoOrNull, rangeName, rangeQuery, rangeWords, timeRange } from "../range";
import { readDigest, readStrategies } from "../wire_strategies";
import type { Digest, Figures, RegimeCell, Strategy, StrategyList, Told } from "../wire_strategies";
import { heatCell } from "./heat";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";
import { keyOf, StrategyCell } from "./strategy_cell";
import type { Chosen } from "./strategy_cell";
import { addressed } from "./trade_wish";
import { movement, trend } from "./trading";

const ASK_EVERY_MS = 15_000;
const STRATEGIES_MAX = 40;
const COLUMNS_MAX = 16;
const DAY_MS = 86_400_000;
const DAYS_MAX = 3_660;
const BY = ["window", "regime"] as const;
type By = (typeof BY)[number];
/** Gates that read what did not choose the parameters, the most telling first. */
const OUT_OF_SAMPLE = ["trade_psr", "paper_psr", "holdout_psr"] as const;

interface Column { key: string; title: string; figures: (told: Told | null) => Figures | null; chosen: (strategy: string) => Chosen }

/** What a strategy realised in the range: over the whole run the desk's own total, which counts trades that were let go. */
export interface Result { name: string; trades: number; wins: number; realised_lamports: number; win_rate_bps: number | null }

export function resultOf(strategy: Strategy, told: Told | null, isWhole: boolean): Result {
  if (isWhole) {
    const { name, trades, wins, win_rate_bps } = strategy;
    return { name, trades, wins, win_rate_bps, realised_lamports: strategy.realised.lamports };
  }
  const { trades = 0, wins = 0, realised_lamports = 0, win_rate_bps = null } = told ?? {};
  return { name: strategy.name, trades, wins, realised_lamports, win_rate_bps };
}

/** The strategies with the most and the least realised, null where there are not two that differ. */
export function extremes(results: readonly Result[]): { best: Result; worst: Result } | null {
  const traded = results.filter((each) => each.trades > 0);
  const sorted = [...traded].sort((a, b) => b.realised_lamports - a.realised_lamports);
  const best = sorted[0];
  const worst = sorted.at(-1);
  return best && worst && best.realised_lamports !== worst.realised_lamports ? { best, worst } : null;
}

/** The name of a cell by regime; the tier is in it where the cells are of more than one. */
function regimeKey(cell: RegimeCell, isTierSaid: boolean): string {
  return isTierSaid ? `${cell.regime} \u00b7 ${cell.tier}` : cell.regime;
}

export class StrategiesPanel {
  private readonly panel = new Panel("panel-strategies");
  private readonly links = new ExportLinks(byId("strategies-export"), "strategies", "strategies over the whole run");
  private readonly poll: RangedPoll<{ list: StrategyList; digest: Digest }>;
  private readonly cell: StrategyCell;
  private by: By = "window";
  /** The strategy whose parameters and gates are shown, and the cell whose grounds are. */
  private chosen: string | null = null;
  private behind: Chosen | null = null;
  private range = "";
  private time = new ZonedTime("UTC");

  constructor(api: Api, private readonly onChange: () => void) {
    this.poll = new RangedPoll(async (within: Asked) => {
      const asked = within.since === null && within.until === null ? { window: "all" } : { ...within };
      const [list, digest] = await Promise.all([api.get("/strategies"), api.get(addressed("/strategies/digest", asked))]);
      return { list: readStrategies(list), digest: readDigest(digest) };
    }, ASK_EVERY_MS, onChange);
    this.cell = new StrategyCell(api, () => this.choose(null));
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

  private choose(chosen: Chosen | null): void {
    const from = this.behind;
    this.behind = chosen === null || keyOf(chosen) === keyOf(from) ? null : chosen;
    void this.cell.show(this.behind, this.time);
    this.onChange();
    // Who closed it goes on where it was opened.
    if (this.behind === null) requestAnimationFrame(() => byId("strategies-rows").querySelector<HTMLElement>(`[data-cell="${CSS.escape(keyOf(from))}"]`)?.focus());
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.time = time;
    const range = rangeQuery(location.search);
    if (this.range !== range && this.behind !== null) this.choose(null);
    this.range = range;
    this.poll.follow(location.search, nowMs, around.deskMs ?? nowMs);
    const both = this.panel.follow(this.poll.value, { waiting: "Loading the strategies.", staleReason: around.staleReason });
    const isChanged = this.panel.isChanged(both, time, this.by, this.chosen, this.behind);
    if (both === null) return;
    const { list, digest } = both;
    if (list.strategies.length === 0) this.panel.show("empty", "The profile names no strategy.");
    if (!isChanged) return;
    const isWhole = rangeName(location.search) === "all";
    const told = new Map(digest.strategies.map((each) => [each.name, each]));
    const results = list.strategies.map((each) => resultOf(each, told.get(each.name) ?? null, isWhole));
    const found = extremes(results);
    const of = rangeWords(location.search, time);
    setText(byId("strategies-meta"), `${count(list.strategies.length)} ${list.strategies.length === 1 ? "strategy" : "strategies"}, ${of}`);
    setText(byId("strategies-extremes"), found === null ? `No two strategies have finished trades in the ${isWhole ? "whole run" : "range"} yet.`
      : `Best realised: ${plain(found.best.name, 48)} ${moved(found.best)}. Worst: ${plain(found.worst.name, 48)} ${moved(found.worst)}.`);
    this.drawCut(digest, time);
    this.links.follow(list.strategies.length > 0);
    this.drawTable(list.strategies.slice(0, STRATEGIES_MAX), results, told, this.columns(digest, of), time);
    this.drawDetail(list.strategies.find((each) => each.name === this.chosen) ?? null, told.get(this.chosen ?? "") ?? null);
  }

  /** Trades that the desk keeps only in its totals are in no window: say of which strategies, and since when it counts. */
  private drawCut(digest: Digest, time: ZonedTime): void {
    const cut = digest.strategies.filter((each) => each.counted_since !== undefined).slice(0, 8);
    setAttribute(byId("strategies-cut"), "hidden", cut.length === 0 ? "" : null);
    setText(byId("strategies-cut"), cut.map((each) => `${plain(each.name, 48)}: trades since ${time.short(each.counted_since ?? "")} alone are in the cells.`).join(" "));
  }

  private columns(digest: Digest, of: string): Column[] {
    const { since, until } = digest;
    const isWhole = digest.window === "all";
    const isOpen = timeRange(location.search, 0).untilMs === null;
    const within = isWhole ? { window: "all", since: null, until: null } : { window: null, since, until: isOpen ? null : until };
    const at = (title: string, more: Partial<Chosen>) => (strategy: string): Chosen => ({ strategy, regime: null, tier: null, title, within, ...more });
    if (this.by === "window") {
      const whole: Column = { key: "whole", title: capital(of), figures: (told) => told, chosen: at(of, {}) };
      const told = new Set(digest.strategies.flatMap((each) => each.windows.map((window) => window.days)));
      const days = [...told].filter((each) => Number.isInteger(each) && each > 0 && each <= DAYS_MAX).sort((a, b) => b - a).slice(0, COLUMNS_MAX);
      return [whole, ...days.map((each): Column => {
        const title = `${isOpen ? "Last" : "Its last"} ${each} d`;
        const begin = isoOrNull(Date.parse(until) - each * DAY_MS);
        const window = isOpen ? { window: `${each}d`, since: null, until: null } : { window: null, since: begin, until };
        return { key: `${each}`, title, figures: (told) => told?.windows.find((found) => found.days === each) ?? null, chosen: at(title, { within: window }) };
      })];
    }
    const cells = digest.strategies.flatMap((each) => each.cells);
    const isTierSaid = new Set(cells.map((cell) => cell.tier)).size > 1;
    const names = new Map(cells.map((cell) => [regimeKey(cell, isTierSaid), cell]));
    return [...names].sort(([a], [b]) => a.localeCompare(b)).slice(0, COLUMNS_MAX).map(([key, { regime, tier }]): Column => ({
      key, title: words(key), figures: (told) => told?.cells.find((cell) => cell.regime === regime && cell.tier === tier) ?? null,
      chosen: at(`${words(regime)}, tier ${words(tier)}, ${of}`, { regime, tier }),
    }));
  }

  private drawTable(strategies: Strategy[], results: readonly Result[], told: ReadonlyMap<string, Told>, columns: readonly Column[], time: ZonedTime): void {
    byId("strategies-head").replaceChildren(h("tr", {},
      h("th", { scope: "col" }, "Strategy"), h("th", { scope: "col", class: "num" }, "Capital"),
      h("th", { scope: "col", class: "num" }, "Realised \u00b7 open"), h("th", { scope: "col", class: "num" }, "Won"),
      h("th", { scope: "col", class: "num" }, "Out of sample"),
      ...columns.map((column) => h("th", { scope: "col", class: "heat" }, plain(column.title, 60)))));
    const focused = document.activeElement?.getAttribute("data-cell");
    byId("strategies-rows").replaceChildren(...strategies.map((strategy, at) => this.row(strategy, results[at] as Result, told.get(strategy.name) ?? null, columns, time)));
    if (focused) byId("strategies-rows").querySelector<HTMLElement>(`[data-cell="${CSS.escape(focused)}"]`)?.focus();
  }

  private row(strategy: Strategy, result: Result, told: Told | null, columns: readonly Column[], time: ZonedTime): HTMLElement {
    const open = h("button", { type: "button", class: "plain", "aria-expanded": String(strategy.name === this.chosen), "data-cell": `name:${strategy.name}` }, plain(strategy.name, 48));
    open.addEventListener("click", () => {
      this.chosen = this.chosen === strategy.name ? null : strategy.name;
      this.onChange();
    });
    const [tested, of] = outOfSample(strategy);
    return h("tr", {},
      h("th", { scope: "row" }, open, h("span", { class: "sub" }, standing(strategy, time))),
      h("td", { class: "num" }, `${sol(strategy.capital.lamports)} SOL`, h("span", { class: "sub" }, share(strategy))),
      h("td", { class: `num ${trend(result.realised_lamports)}`, title: exactSol(result.realised_lamports) }, moved(result),
        h("span", { class: "sub" }, movement(strategy.unrealised))),
      h("td", { class: "num" }, result.win_rate_bps === null ? NOTHING : percent(result.win_rate_bps, 0),
        h("span", { class: "sub" }, `${count(result.wins)} of ${count(result.trades)}`)),
      h("td", { class: "num", title: "The probability that it earns anything, of days or trades that did not choose its parameters" }, tested, h("span", { class: "sub" }, of)),
      ...columns.map((column) => {
        const chosen = column.chosen(strategy.name);
        const made = heatCell(column.figures(told), keyOf(this.behind) === keyOf(chosen), () => this.choose(chosen));
        made.querySelector("button")?.setAttribute("data-cell", keyOf(chosen));
        return made;
      }));
  }

  private drawDetail(strategy: Strategy | null, told: Told | null): void {
    const place = byId("strategy-detail");
    setAttribute(place, "hidden", strategy === null ? "" : null);
    if (strategy === null) return;
    const evidence = [...new Set(told?.cells.flatMap((cell) => cell.evidence) ?? [])];
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

function moved(result: Result): string {
  return movement({ lamports: result.realised_lamports, sol: "", usd: null });
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function standing(strategy: Strategy, time: ZonedTime): string {
  const parts = [words(strategy.kind), strategy.stage === "" ? null : words(strategy.stage), strategy.enabled ? null : "off in this profile",
    strategy.in_tier ? null : "barred by the tier", strategy.state === undefined || strategy.state === "ACTIVE" ? null : `switched off (${plain(strategy.state, 16)})`, strategy.last_signal === null ? "no signal yet" : `last signal ${time.short(strategy.last_signal)}`];
  return parts.filter((each) => each !== null).join(" \u00b7 ");
}

function outOfSample(strategy: Strategy): [string, string] {
  for (const name of OUT_OF_SAMPLE) {
    const gate = strategy.gates.find((each) => each["name"] === name);
    const { value, sample, bound } = gate ?? {};
    if (typeof value !== "number" || typeof sample !== "number" || sample === 0 || /^(too few|not known)/.test(String(gate?.["note"] ?? ""))) continue;
    const counted = name === "trade_psr" ? "trades" : "days";
    const asked = typeof bound === "number" ? `, asked ${percent(bound, 0)}` : "";
    return [`${gate?.["passed"] === true ? "\u2713" : "\u2717"} ${percent(value, 1)}`, `${count(sample)} ${counted}${asked}`];
  }
  return [NOTHING, strategy.stage === "" ? "no candidate" : "not read yet"];
}

function share(strategy: Strategy): string {
  const bps = strategy.allocation?.["share_bps"];
  return typeof bps === "number" ? `${percent(bps, 0)} of capital` : "";
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
