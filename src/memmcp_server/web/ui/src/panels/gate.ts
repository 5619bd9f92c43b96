import { byId, fillRows, setAttribute, setText, svg } from "../dom";
import type { Cell } from "../dom";
import { count, inUnit, percent, plain, words, ZonedTime } from "../format";
import { valueOf } from "../model";
import type { Loadable } from "../model";
import { rangeWords } from "../range";
import type { Limit, TradingSnapshot } from "../wire";
import type { Why } from "./funnel";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";

const ROWS_MAX = 12;

/** How near each limit is, and what the gate refused so far. */
export class GatePanel {
  private readonly panel = new Panel("panel-gate");

  /** ``ranged``: what was denied in the page's time range, null for the whole run, which the snapshot tells. */
  draw(trading: Loadable<TradingSnapshot>, ranged: Loadable<Why> | null, time: ZonedTime, around: Surroundings): void {
    const snapshot = this.panel.follow(trading, { waiting: "Waiting for the desk.", staleReason: around.staleReason });
    if (snapshot === null || !this.panel.isChanged(snapshot, ranged, location.search, time)) return;
    const limits = [...snapshot.limits].sort((a, b) => a.distance_bps - b.distance_bps).slice(0, ROWS_MAX);
    fillRows(byId("limits") as HTMLTableSectionElement, limits.map(limitRow));
    const of = rangeWords(location.search, time);
    setText(byId("denials-title"), `Denials by reason, ${of}`);
    const why = ranged === null ? null : valueOf(ranged);
    const counted = ranged === null ? snapshot.denials : why?.funnel.denied ?? null;
    const denials = Object.entries(counted ?? {}).sort(([a, m], [b, n]) => n - m || a.localeCompare(b));
    const total = denials.reduce((sum, [, number]) => sum + number, 0);
    setText(byId("gate-meta"), counted === null ? "" : `${count(total)} denied`);
    fillRows(byId("denials") as HTMLTableSectionElement, denials.slice(0, ROWS_MAX).map(([reason, number]) => denialRow(reason, number, total)));
    const said = saidOf(ranged, counted === null, total);
    setText(byId("denials-none"), said);
    setAttribute(byId("denials-none"), "hidden", said === "" ? "" : null);
  }
}

/** What is to be said of the denials beside their numbers: nothing yet, not known, too many, none. */
function saidOf(ranged: Loadable<Why> | null, isUnknown: boolean, total: number): string {
  if (ranged?.state === "failed") return isUnknown ? `The denials are not known: ${plain(ranged.message, 300)}` : `Out of date: ${plain(ranged.message, 300)}`;
  if (isUnknown) return "Counting the denials of this range.";
  if (ranged?.state === "ready" && ranged.value.funnel.is_cut) return "There were more: these are the newest.";
  return total === 0 ? `Nothing was denied in ${ranged === null ? "this run" : "this range"}.` : "";
}

function limitRow(limit: Limit): Cell[] {
  const usedBps = Math.min(10_000, Math.max(0, 10_000 - limit.distance_bps));
  return [
    { text: limitName(limit.name), sub: words(limit.scope) },
    { text: inUnit(limit.used, limit.unit), sub: `${limit.is_floor ? "at least" : "of"} ${inUnit(limit.limit, limit.unit)}`, class: "num" },
    bar(usedBps, limit.is_floor ? `${percent(usedBps, 0)} of it must stay` : `${percent(usedBps, 0)} of the limit used`, usedBps >= 9_000 ? "bad" : usedBps >= 7_000 ? "warn" : "plain"),
  ];
}

function denialRow(reason: string, number: number, total: number): Cell[] {
  const shareBps = total > 0 ? Math.round((number / total) * 10_000) : 0;
  return [{ text: limitName(reason) }, { text: count(number), class: "num" }, bar(shareBps, `${percent(shareBps, 0)} of all denials`, "plain")];
}

export function bar(bps: number, label: string, level: string): SVGElement {
  return svg(
    "svg", { viewBox: "0 0 10000 8", preserveAspectRatio: "none", class: "bar", role: "img", "aria-label": label, "data-level": level },
    svg("rect", { width: String(bps), height: "8" }),
  );
}

/** "exposure_bps_max" as people say it: "exposure". The unit stands beside the figure. */
export function limitName(name: string): string {
  return words(name.replace(/(_(bps|lamports|sol|s))?(_max)?$/, ""));
}
