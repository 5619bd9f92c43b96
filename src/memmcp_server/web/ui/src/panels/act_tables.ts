// Tables under an act: what a rebalance would do or did, leg by leg, and what each gate of a promotion read.

import { h } from "../dom";
import { count, NOTHING, plain, sol, words } from "../format";
import type { GateRead, Leg } from "../wire_acts";
import { totalCost } from "./costs";

const LEGS_SHOWN = 24;
const GATES_SHOWN = 50;

/** The legs as a table, with what each costs and what the gate says to it; then what became of it. */
export function legsTable(legs: readonly Leg[], caption: string): HTMLElement[] {
  if (legs.length === 0) return [];
  const isTrade = legs.some((leg) => leg.side !== undefined);
  const heads = isTrade ? ["Token", "Trade", "Worth", "Costs", "Said"] : ["From", "To", "SOL", "Said"];
  const rows = legs.slice(0, LEGS_SHOWN).map((leg) => (isTrade ? tradeRow(leg) : moveRow(leg)));
  const more = legs.length > LEGS_SHOWN ? [h("p", { class: "quiet" }, `and ${count(legs.length - LEGS_SHOWN)} more`)] : [];
  return [h("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" }, h("table", {}, h("caption", { class: "sr-only" }, caption),
    h("thead", {}, h("tr", {}, ...heads.map((name) => h("th", { scope: "col", class: ["Worth", "Costs", "SOL"].includes(name) ? "num" : "" }, name)))),
    h("tbody", {}, ...rows))), ...more];
}

function tradeRow(leg: Leg): HTMLElement {
  const part = leg.side === "sell" && leg.percent !== undefined ? `sell ${count(leg.percent)} %` : plain(leg.side ?? "", 8);
  const costs = leg.costs?.fee_lamports === undefined ? "\u2013" : `${sol(totalCost({ failed_lamports: 0, impact_lamports: 0, priority_lamports: 0, rent_lamports: 0, fee_lamports: 0, ...leg.costs }))} SOL`;
  return h("tr", {}, h("th", { scope: "row", title: plain(leg.mint ?? "", 64) }, plain(leg.symbol ?? leg.mint ?? "", 24)), h("td", {}, part),
    h("td", { class: "num" }, leg.value === undefined ? "\u2013" : `${sol(leg.value.lamports)} SOL`), h("td", { class: "num" }, costs), saidCell(leg));
}

function moveRow(leg: Leg): HTMLElement {
  return h("tr", {}, h("th", { scope: "row" }, plain(leg.from ?? "", 48)), h("td", {}, plain(leg.to ?? "", 48)),
    h("td", { class: "num" }, `${sol(leg.lamports ?? 0)} SOL`), saidCell(leg));
}

const OUTCOMES: Record<string, string> = { working: "\u2026 sent", filled: "\u2713 filled", rejected: "\u2717 rejected", awaiting_operator: "\u2026 waits for your passkey" };

function saidCell(leg: Leg): HTMLElement {
  if (leg.outcome !== undefined) {
    return h("td", { class: leg.outcome === "rejected" ? "loss" : "", "data-outcome": leg.outcome }, `${OUTCOMES[leg.outcome] ?? plain(leg.outcome, 24)}: ${plain(leg.told ?? "", 200)}`);
  }
  if (leg.status === "denied" || leg.would_be === "denied") {
    return h("td", { class: "loss" }, `\u2717 denied: ${plain(leg.message ?? leg.verdict?.message ?? "nobody buys it now", 240)}`);
  }
  if (leg.status === "done") return h("td", {}, leg.side === undefined ? "\u2713 moved" : "\u2026 sent");
  return h("td", {}, leg.side === "buy" ? "\u2713 the gate lets it pass" : leg.side === "sell" ? "\u2713 a sale; no limit holds it back" : "would be moved");
}

export function gatesTable(gates: readonly GateRead[]): HTMLElement[] {
  if (gates.length === 0) return [];
  const rows = gates.slice(0, GATES_SHOWN).map((gate) => h("tr", {}, h("th", { scope: "row" }, words(gate.name)),
    h("td", { class: "num" }, `${count(gate.value)} ${plain(gate.unit, 16)}`), h("td", { class: "num" }, `${gate.is_floor ? "at least" : "at most"} ${count(gate.bound)}`),
    h("td", { class: gate.passed ? "gain" : "loss" }, gate.passed ? "\u2713 passed" : "\u2717 not passed"), h("td", {}, plain(gate.note, 160) || NOTHING)));
  return [h("div", { class: "scroll", role: "region", "aria-label": "Gates", tabindex: "0" }, h("table", {}, h("caption", { class: "sr-only" }, "What each gate read"),
    h("thead", {}, h("tr", {}, ...["Gate", "Read", "Bound", "Verdict", "Note"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, ...rows)))];
}
