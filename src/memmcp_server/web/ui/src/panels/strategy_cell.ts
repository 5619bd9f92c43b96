// What stands behind a cell of the heatmap: its figures, what they allow to be said, its trades, digests and memories.

import type { Api } from "../api";
import { byId, h, setAttribute } from "../dom";
import type { Child } from "../dom";
import { count, NOTHING, percent, plain, signedPercent, sol, words, ZonedTime } from "../format";
import { readCell } from "../wire_strategies";
import type { Cell, CellTrade, Figures } from "../wire_strategies";
import { briefItem, findingItem, testedText } from "./findings";
import { intervalText, SAID, verdictOf } from "./heat";
import { addressed } from "./trade_wish";
import { movement, trend } from "./trading";

const FINDINGS_MAX = 20;
const NAME_MAX = 64;

/** Which cell: of all regimes where it names none. `within` is what the server is asked for. */
export interface Chosen {
  strategy: string; regime: string | null; tier: string | null; title: string;
  within: Readonly<Record<"window" | "since" | "until", string | null>>;
}

export function keyOf(chosen: Chosen | null): string {
  return chosen === null ? "" : JSON.stringify([chosen.strategy, chosen.regime, chosen.tier, chosen.title]);
}

/** What the server is asked: a name is as long there as it takes one. */
function asked({ strategy, regime, tier, within }: Chosen): Record<string, string | null> {
  return { strategy: strategy.slice(0, NAME_MAX), regime: regime?.slice(0, NAME_MAX) ?? null, tier: tier?.slice(0, NAME_MAX) ?? null, ...within };
}

export class StrategyCell {
  private readonly place = byId("strategy-cell");
  private key = "";

  constructor(private readonly api: Api, private readonly onClose: () => void) {}

  /** Ask for the cell and show it; null hides it. An answer that comes after another choice is let go. */
  async show(chosen: Chosen | null, time: ZonedTime): Promise<void> {
    const key = keyOf(chosen);
    this.key = key;
    setAttribute(this.place, "hidden", chosen === null ? "" : null);
    if (chosen === null) return;
    const head = this.head(chosen);
    const place = h("div", { class: "cell-body" }, h("p", { class: "quiet" }, "Asking what stands behind it."));
    this.place.replaceChildren(head, place);
    head.querySelector<HTMLElement>("h3")?.focus();
    try {
      const cell = readCell(await this.api.get(addressed("/strategies/cell", asked(chosen))));
      if (key === this.key) place.replaceChildren(...body(cell, time));
    } catch (error) {
      const text = plain(error instanceof Error ? error.message : String(error), 300);
      if (key === this.key) place.replaceChildren(h("p", { class: "loss", role: "alert" }, `Cannot show it: ${text}`));
    }
  }

  private head(chosen: Chosen): HTMLElement {
    const close = h("button", { type: "button", class: "small" }, "Close");
    close.addEventListener("click", this.onClose);
    return h("div", { class: "cell-head" }, h("h3", { tabindex: "-1" }, `${plain(chosen.strategy, 48)}, ${plain(lowered(chosen.title), 100)}`), close);
  }
}

function body(cell: Cell, time: ZonedTime): HTMLElement[] {
  const { figures } = cell;
  const tested = cell.findings.find((each) => each.about === "result" || each.about === "gates")?.out_of_sample;
  return [
    h("dl", { class: "facts", "aria-label": "Figures of the cell" },
      ...(figures === null ? [fact("Finished trades", "none in this time")] : figuresOf(figures)),
      fact("Out of sample", testedText(tested))),
    h("h3", {}, "Findings"),
    list("Findings", cell.findings.slice(0, FINDINGS_MAX).map(findingItem), "Nothing can be said of no trade."),
    h("h3", {}, "Newest trades"),
    list("Trades", cell.trades.map((trade) => tradeItem(trade, time)), "No finished trade in this time."),
    h("h3", {}, "Digests of this time"),
    list("Digests", cell.digests.map((brief) => briefItem(brief, time)), "No digest was written in this time. The desk writes one at the end of each day."),
    h("h3", {}, "Candidates, promotions and lessons"),
    list("Memories", cell.memories.map((brief) => briefItem(brief, time)), "None was written."),
    h("p", { class: "stream-links wrap" }, h("a", {
      href: `/?view=memory&namespace=${encodeURIComponent(cell.namespace)}&q=${encodeURIComponent(cell.strategy)}`,
    }, `search all ${count(cell.memories_total)} memories of ${plain(cell.namespace, 80)}`)),
  ];
}

function figuresOf(figures: Figures): HTMLElement[] {
  const { mean_return_bps: mean = null, realised_lamports: realised, wins = 0 } = figures;
  const interval = intervalText(figures);
  return [
    fact("Finished trades", `${count(figures.trades)}, ${count(wins)} won (${percent(Math.round((wins / Math.max(1, figures.trades)) * 10_000), 0)})`),
    fact("Mean return a trade", mean === null ? NOTHING : `${signedPercent(mean)}${interval === "" ? ", too few for an interval" : `, 95 %: ${interval}`}`),
    fact("Realised", realised === undefined ? NOTHING
      : h("span", { class: trend(realised) }, movement({ lamports: realised, sol: sol(realised), usd: null }))),
    fact("Verdict", `${SAID[verdictOf(figures)]}; ${plain(figures.confidence, 200)}`),
  ];
}

function lowered(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

function fact(name: string, value: Child): HTMLElement {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

function list(label: string, items: HTMLElement[], none: string): HTMLElement {
  return items.length === 0 ? h("p", { class: "quiet" }, none) : h("ol", { class: "stream", "aria-label": label }, ...items);
}

function tradeItem(trade: CellTrade, time: ZonedTime): HTMLElement {
  const { reward_lamports: reward } = trade;
  return h("li", {}, h("p", { class: "stream-meta" },
    ...(trade.closed_at === null ? [] : [h("time", { datetime: trade.closed_at, title: time.full(trade.closed_at) }, time.short(trade.closed_at))]),
    ...(trade.outcome === null ? [] : [h("span", { class: "kind" }, words(trade.outcome))]),
    ...(reward === null ? [] : [h("span", { class: trend(reward) }, movement({ lamports: reward, sol: sol(reward), usd: null }))]),
    h("a", { href: `/trajectories/${encodeURIComponent(trade.id)}`, "data-trajectory": trade.id, dir: "auto" }, plain(trade.title ?? trade.id, 200))));
}
