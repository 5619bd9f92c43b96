// What the page reads of strategies and their results.

import { check } from "./wire";
import { checkBriefs } from "./wire_insights";
import type { Brief } from "./wire_insights";
import type { Amount } from "./wire";

/** Finished trades of a window or of a regime in it; the interval is that of the mean return. */
export interface Figures {
  trades: number; wins?: number; realised_lamports?: number;
  mean_return_bps?: number | null; low_bps?: number | null; high_bps?: number | null; confidence: string;
}

export interface Window extends Figures { days: number }

export interface Gate { name: string; value: unknown; bound: unknown; is_floor: boolean; passed: boolean; note: string }

export interface Strategy {
  name: string; kind: string; enabled: boolean; in_tier: boolean; state?: string; state_reason?: string; parameters: Record<string, unknown>; bucket: string;
  capital: Amount; trades: number; wins: number; realised: Amount; unrealised: Amount; win_rate_bps: number | null;
  last_signal: string | null; lineage: string; stage: string; gates: Record<string, unknown>[]; windows: Window[];
  allocation: Record<string, unknown> | null;
}

export interface StrategyList { strategies: Strategy[] }

export interface RegimeCell extends Figures { regime: string; tier: string; evidence: string[] }

/** How a strategy did in a range: all of it, the windows before its end that are shorter, and by regime and tier. */
export interface Told extends Figures {
  name: string; wins: number; win_rate_bps: number | null; realised_lamports: number; counted_since?: string;
  windows: Window[]; cells: RegimeCell[];
}

export interface Digest { window: string; since: string; until: string; strategies: Told[] }

export interface OutOfSample { gate: string; confidence_bps: number; bound_bps: number; sample: number; sample_of: string; passed: boolean; note: string }

export interface Finding {
  about: string; strategy: string; regime: string | null; tier: string | null; says: string; text: string; sample: number;
  confidence: string; out_of_sample: OutOfSample | null; evidence: string[];
}

export interface CellTrade { id: string; title: string | null; outcome: string | null; reward_lamports: number | null; closed_at: string | null }

export interface Cell {
  strategy: string; regime: string | null; tier: string | null; since: string; until: string; figures: Figures | null; findings: Finding[];
  trades: CellTrade[]; digests: Brief[]; memories: Brief[]; namespace: string; memories_total: number;
}

export function readStrategies(value: unknown): StrategyList {
  const list = check<StrategyList>("strategies", value, { strategies: "array" });
  for (const each of list.strategies) {
    check("strategies: strategy", each, {
      name: "string", kind: "string", enabled: "boolean", in_tier: "boolean", parameters: "object", capital: "object", trades: "number",
      wins: "number", realised: "object", unrealised: "object", lineage: "string", stage: "string", gates: "array", windows: "array",
    });
    for (const window of each.windows) check("strategies: window", window, { days: "number", trades: "number", confidence: "string" });
  }
  return list;
}

export function readDigest(value: unknown): Digest {
  const digest = check<Digest>("digest", value, { window: "string", since: "string", until: "string", strategies: "array" });
  for (const each of digest.strategies) {
    check("digest: strategy", each, {
      name: "string", trades: "number", wins: "number", realised_lamports: "number", confidence: "string", windows: "array", cells: "array",
    });
    for (const window of each.windows) check("digest: window", window, { days: "number", trades: "number", confidence: "string" });
    for (const cell of each.cells) {
      check("digest: cell", cell, { regime: "string", tier: "string", trades: "number", confidence: "string", evidence: "array" });
    }
  }
  return digest;
}

export function readFindings(of: string, findings: readonly Finding[]): readonly Finding[] {
  for (const each of findings) {
    check(`${of}: finding`, each, {
      about: "string", strategy: "string", says: "string", text: "string", sample: "number", confidence: "string", evidence: "array",
    });
    if (each.out_of_sample) {
      check(`${of}: out of sample`, each.out_of_sample, { gate: "string", confidence_bps: "number", bound_bps: "number", sample: "number", sample_of: "string", passed: "boolean" });
    }
  }
  return findings;
}

export function readCell(value: unknown): Cell {
  const cell = check<Cell>("cell", value, {
    strategy: "string", since: "string", until: "string", findings: "array", trades: "array", digests: "array", memories: "array",
    namespace: "string", memories_total: "number",
  });
  if (cell.figures) check("cell: figures", cell.figures, { trades: "number", confidence: "string" });
  readFindings("cell", cell.findings);
  for (const each of cell.trades) check("cell: trade", each, { id: "string" });
  checkBriefs("cell", [...cell.digests, ...cell.memories]);
  return cell;
}
