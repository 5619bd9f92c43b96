// The path of the equity, and what is marked on its curve.

import { check, isObject } from "./wire";
import type { Amount } from "./wire";

export interface TargetChange { ts: string; actor: string; reason: string; before: Amount | null; after: Amount }

export interface ProjectedRange {
  ts: string; days: number;
  lamports_p5: number; lamports_p25: number; lamports_p50: number; lamports_p75: number; lamports_p95: number;
}

export interface ProjectedReach {
  goal: string; at: Amount; chance_bps: number;
  days_p5: number | null; days_p25: number | null; days_p50: number | null; days_p75: number | null; days_p95: number | null;
}

export interface Projection {
  start: Amount; equity: Amount; target: Amount; path: Amount[];
  tiers: { name: string; from_equity: Amount }[];
  targets: TargetChange[];
  since: string | null; until: string | null;
  basis: "day" | "hour"; returns: number; returns_needed: number; too_little: string; method: string; paths: number;
  days_ahead: number; range: ProjectedRange[]; reaches: ProjectedReach[];
}

const AMOUNT = { lamports: "number", sol: "string" } as const;

/** Check a projection. Throws UnknownDocument naming the field. */
export function readProjection(value: unknown): Projection {
  const found = check<Projection>("projection", value, {
    start: "object", equity: "object", target: "object", path: "array", tiers: "array", targets: "array", basis: "string",
    returns: "number", too_little: "string", method: "string", paths: "number", days_ahead: "number", range: "array", reaches: "array",
  });
  for (const each of [found.start, found.equity, found.target, ...found.path]) check("projection: sum", each, AMOUNT);
  for (const each of found.tiers) {
    check("projection: tier", each, { name: "string", from_equity: "object" });
    check("projection: tier", each.from_equity, AMOUNT);
  }
  for (const each of found.targets) {
    check("projection: target", each, { ts: "string", actor: "string", reason: "string", after: "object" });
    check("projection: target", each.after, AMOUNT);
    if (isObject(each.before)) check("projection: target", each.before, AMOUNT);
  }
  for (const each of found.range) {
    check("projection: range", each, {
      ts: "string", lamports_p5: "number", lamports_p25: "number", lamports_p50: "number", lamports_p75: "number", lamports_p95: "number",
    });
  }
  for (const each of found.reaches) check("projection: reach", each, { goal: "string", at: "object", chance_bps: "number" });
  return found;
}

export interface CurveMark {
  ts: string; kind: "buy" | "sell" | "deposit" | "withdrawal"; lamports: number; mint: string; symbol: string; trajectory_id: string | null;
}

export interface CurveMarks { marks: CurveMark[]; totals: Record<string, number>; is_cut: boolean }

/** Check what is marked on the curve. Throws UnknownDocument naming the field. */
export function readMarks(value: unknown): CurveMarks {
  const found = check<CurveMarks>("curve marks", value, { marks: "array", totals: "object", is_cut: "boolean" });
  for (const each of found.marks) check("curve mark", each, { ts: "string", kind: "string", lamports: "number", symbol: "string" });
  return found;
}
