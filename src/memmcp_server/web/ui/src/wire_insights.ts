// What the page reads of what was learned, and of the desks that report.

import { check, UnknownDocument } from "./wire";
import { readFindings } from "./wire_strategies";
import type { Finding } from "./wire_strategies";

export interface Brief { id: string; kind: string; namespace: string; agent: string; ts: string; text: string; stale: string[] | null; pinned: boolean }

export interface Warning { about: string; text: string; next: string }

export interface DeskSum {
  money: string; desks: number; stale: number; with_equity: number; equity_lamports: number | null; with_exposure: number;
  exposure_lamports: number | null;
}

export interface DeskTotals { own: DeskSum | null; outside: DeskSum[] }

export interface Totals {
  desks: DeskTotals;
  nodes: { nodes: number; working: number; success: number; failed: number; expired: number } | null;
  agents: { connected: number; callers: number; calls: number; writers: number; writers_left_out: boolean; memories: number };
}

export interface Insights {
  warnings: Warning[]; warnings_left_out: number; lessons: Brief[]; lessons_total: number; digests: Brief[]; findings: Finding[];
  confidence: string | null; totals: Totals | null;
}

export function checkBriefs(of: string, briefs: readonly Brief[]): void {
  for (const each of briefs) {
    check(`${of}: memory`, each, { id: "string", kind: "string", namespace: "string", agent: "string", ts: "string", text: "string" });
  }
}

export function readInsights(value: unknown): Insights {
  const insights = check<Insights>("insights", value, {
    warnings: "array", warnings_left_out: "number", lessons: "array", lessons_total: "number", digests: "array", findings: "array",
  });
  checkBriefs("insights", [...insights.lessons, ...insights.digests]);
  readFindings("insights", insights.findings);
  for (const each of insights.warnings) check("insights: warning", each, { about: "string", text: "string", next: "string" });
  if (insights.totals) {
    const { desks, nodes, agents } = check<Totals>("insights: totals", insights.totals, { desks: "object", agents: "object" });
    checkTotals("insights", desks);
    if (nodes) check("insights: nodes", nodes, { nodes: "number", working: "number", success: "number", failed: "number", expired: "number" });
    check("insights: agents", agents, { connected: "number", callers: "number", calls: "number", writers: "number", memories: "number" });
  }
  return { ...insights, totals: insights.totals ?? null, confidence: insights.confidence ?? null };
}

function checkTotals(of: string, totals: DeskTotals): void {
  check(`${of}: totals`, totals, { outside: "array" });
  for (const sum of [...(totals.own ? [totals.own] : []), ...totals.outside]) {
    check(`${of}: sum`, sum, { money: "string", desks: "number", stale: "number", with_equity: "number", with_exposure: "number" });
  }
}

export interface Desk {
  desk_id: string; is_own: boolean; ts: string; age_s: number; stale: boolean; money: string | null; state: string | null;
  equity_lamports: number | null; exposure_lamports: number | null; exposure_bps: number | null; drawdown_bps: number | null;
}

export interface DeskList { desks: Desk[]; left_out: number; totals: DeskTotals }

/** The last report of every desk; a figure that a desk leaves out is null. */
export function readDesks(value: unknown): DeskList {
  const list = check<DeskList>("desks", value, { desks: "array", left_out: "number", totals: "object" });
  for (const desk of list.desks) {
    check("desks: desk", desk, { desk_id: "string", is_own: "boolean", ts: "string", age_s: "number", stale: "boolean" });
    for (const name of ["equity_lamports", "exposure_lamports", "exposure_bps", "drawdown_bps"] as const) {
      if (desk[name] !== null && typeof desk[name] !== "number") throw new UnknownDocument(`desks: desk: field "${name}" should be number`);
    }
  }
  checkTotals("desks", list.totals);
  return list;
}
