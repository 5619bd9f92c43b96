// What a cell of the heatmap says: colour by what the sample carries, never by the profit alone.

import { h } from "../dom";
import { count, NOTHING, plain, signedPercent } from "../format";
import type { Figures } from "../wire_strategies";

/** Fewer finished trades say nothing, however sure their interval looks. */
const TRADES_MIN = 10;

export type Verdict = "gain" | "leans-gain" | "loss" | "leans-loss" | "open" | "none";

/**
 * What a cell's colour may say of ten trades or more: a gain or a loss only where the whole interval of the mean return
 * lies on one side of zero, a leaning where the mean does; nothing of fewer.
 */
export function verdictOf(figures: Figures | null): Verdict {
  if (figures === null || figures.trades === 0) return "none";
  const { mean_return_bps: mean = null, low_bps: low = null, high_bps: high = null } = figures;
  if (mean === null || low === null || high === null || figures.trades < TRADES_MIN) return "open";
  if (low > 0) return "gain";
  if (high < 0) return "loss";
  if (mean > 0) return "leans-gain";
  return mean < 0 ? "leans-loss" : "open";
}

export const SAID: Readonly<Record<Verdict, string>> = {
  gain: "\u25b2 gains", "leans-gain": "\u25b3 leans up", loss: "\u25bc loses", "leans-loss": "\u25bd leans down", open: "open", none: "no trade",
};

/** "+0.12 % to +0.98 %", "" where there are too few trades for an interval. */
export function intervalText({ low_bps: low = null, high_bps: high = null }: Figures): string {
  return low === null || high === null ? "" : `${signedPercent(low)} to ${signedPercent(high)}`;
}

/** One cell. What was traded is a button that opens what stands behind it. */
export function heatCell(figures: Figures | null, isOpen: boolean, choose: () => void): HTMLElement {
  const verdict = verdictOf(figures);
  if (figures === null || verdict === "none") return h("td", { class: "heat", "data-verdict": "none" }, NOTHING, h("span", { class: "sub" }, SAID.none));
  const mean = figures.mean_return_bps ?? null;
  const interval = intervalText(figures);
  const button = h("button", { type: "button", class: "cell", "aria-expanded": String(isOpen) },
    mean === null ? NOTHING : signedPercent(mean), h("span", { class: "sub" }, `${SAID[verdict]} \u00b7 n ${count(figures.trades)}`));
  button.addEventListener("click", choose);
  return h("td", { class: "heat", "data-verdict": verdict, title: `${plain(figures.confidence, 200)}${interval === "" ? "" : ` (${interval})`}` }, button);
}
