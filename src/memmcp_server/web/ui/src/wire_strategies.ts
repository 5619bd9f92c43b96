// What the page reads of strategies and their results.

import { check } from "./wire";
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

export interface Digest { window: string; strategies: { name: string; cells: RegimeCell[] }[] }

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
  const digest = check<Digest>("digest", value, { window: "string", strategies: "array" });
  for (const each of digest.strategies) {
    check("digest: strategy", each, { name: "string", cells: "array" });
    for (const cell of each.cells) check("digest: cell", cell, { regime: "string", trades: "number", confidence: "string", evidence: "array" });
  }
  return digest;
}
