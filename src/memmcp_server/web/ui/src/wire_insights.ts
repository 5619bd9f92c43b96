// What the page reads of what was learned, and of the desks that report.

import { check, isObject } from "./wire";

export interface Brief { id: string; kind: string; namespace: string; agent: string; ts: string; text: string; stale: string[] | null; pinned: boolean }

export interface Warning { about: string; text: string; next: string }

export interface Insights { warnings: Warning[]; warnings_left_out: number; lessons: Brief[]; lessons_total: number; digests: Brief[] }

export function readInsights(value: unknown): Insights {
  const insights = check<Insights>("insights", value, {
    warnings: "array", warnings_left_out: "number", lessons: "array", lessons_total: "number", digests: "array",
  });
  for (const each of [...insights.lessons, ...insights.digests]) {
    check("insights: memory", each, { id: "string", kind: "string", namespace: "string", agent: "string", ts: "string", text: "string" });
  }
  for (const each of insights.warnings) check("insights: warning", each, { about: "string", text: "string", next: "string" });
  return insights;
}

export interface Desk { desk_id: string; ts: string; money: string; stale: boolean; equity_lamports: number | null; drawdown_bps: number | null }

/** The last report of every desk; a figure that a desk leaves out is null. */
export function readDesks(value: unknown): Desk[] {
  const { desks } = check<{ desks: { desk_id: string; ts: string; stale: boolean; report: Record<string, unknown> }[] }>(
    "desks", value, { desks: "array" });
  return desks.map(({ report, ...desk }) => {
    check("desks: desk", { ...desk, report }, { desk_id: "string", ts: "string", stale: "boolean", report: "object" });
    const equity = isObject(report["equity"]) ? report["equity"]["lamports"] : report["equity_lamports"];
    return {
      desk_id: desk.desk_id, ts: desk.ts, stale: desk.stale, money: typeof report["money"] === "string" ? report["money"] : "unknown",
      equity_lamports: typeof equity === "number" ? equity : null,
      drawdown_bps: typeof report["drawdown_bps"] === "number" ? report["drawdown_bps"] : null,
    };
  });
}

/** What the desks that say their equity hold together, by whose money it is: paper and real are never one sum. */
export function totals(desks: readonly Desk[]): { money: string; lamports: number; desks: number }[] {
  const sums = new Map<string, { money: string; lamports: number; desks: number }>();
  for (const desk of desks) {
    if (desk.equity_lamports === null) continue;
    const sum = sums.get(desk.money) ?? { money: desk.money, lamports: 0, desks: 0 };
    sums.set(desk.money, { ...sum, lamports: sum.lamports + desk.equity_lamports, desks: sum.desks + 1 });
  }
  return [...sums.values()].sort((a, b) => a.money.localeCompare(b.money));
}
