// What the page reads of what it did: rebalances, what became of a key, candidates, arming, the sidecar's answer.

import { check } from "./wire";
import type { Amount, Costs } from "./wire";

export interface Leg {
  mint?: string; symbol?: string; side?: "buy" | "sell"; percent?: number; value?: Amount; costs?: Partial<Costs>;
  verdict?: { approved?: boolean; message?: string | null; reason?: string | null }; would_be?: string;
  from?: string; to?: string; lamports?: number;
  status?: string; message?: string; outcome?: "working" | "filled" | "rejected" | "awaiting_operator"; told?: string;
}

export interface Rebalance { status: string; message: string; preview_id: string | null; expires_at: string | null; legs: Leg[]; orders_open: number }

export function readRebalance(value: unknown): Rebalance {
  return check<Rebalance>("rebalance", value, { status: "string", message: "string", legs: "array", orders_open: "number" });
}

export interface KeyAnswer {
  is_known: boolean; status: string; message: string; order_id: string | null; legs: Leg[]; orders_open: number;
  fill: Record<string, unknown> | null;
}

export function readKeyAnswer(value: unknown): KeyAnswer {
  return check<KeyAnswer>("answer of a key", value, { is_known: "boolean", status: "string", message: "string", legs: "array", orders_open: "number" });
}

export interface GateRead { name: string; value: number; bound: number; unit: string; is_floor: boolean; passed: boolean; note: string }

export interface Candidate { id: string; strategy: string; stage: string; who: string; proposed_at: string; parameters: Record<string, unknown>; released: boolean }

export function readCandidates(value: unknown): Candidate[] {
  const { candidates } = check<{ candidates: Candidate[] }>("candidates", value, { candidates: "array", total: "number" });
  for (const each of candidates) check("candidate", each, { id: "string", strategy: "string", stage: "string", parameters: "object" });
  return candidates;
}

export interface Promotion { status: "done" | "denied" | "checked"; effect: string; gates: GateRead[]; strategy: string; stage: string; family_trials: number | null }

export function readPromotion(value: unknown): Promotion {
  return check<Promotion>("promotion", value, { status: "string", effect: "string", gates: "array" });
}

export interface Mandate {
  name: string; network: string; sha256: string; wallets: string[]; cold_address: string; mints: string[]; sides: string[]; venues: string[];
  endpoints: number; order_lamports_max: number; day_lamports_max: number; fee_lamports_max: number; fee_day_lamports_max: number;
  slippage_bps_max: number; ramp_trades: number; ramp_lamports_max: number; approval_above_lamports: number; sweep_day_lamports_max: number;
  armed_s_max: number; expires_at: string;
}

export interface Live {
  is_available: boolean; is_unlocked: boolean; why_not: string; spent_day_lamports: number; fee_day_lamports: number; ramp_left: number;
  armed: { number: number; name: string; network: string; sha256: string; armed_at: string; ends_at: string; day_lamports_max: number } | null;
  mandate: Mandate | null; mandate_problem: string; arm_commands: string[];
}

export function readLive(value: unknown): Live {
  const live = check<Live>("arming", value, {
    is_available: "boolean", is_unlocked: "boolean", why_not: "string", spent_day_lamports: "number", ramp_left: "number",
    mandate_problem: "string", arm_commands: "array",
  });
  if (live.armed !== null) check("arming: armed", live.armed, { number: "number", name: "string", network: "string", sha256: "string", ends_at: "string" });
  if (live.mandate !== null) {
    check("arming: mandate", live.mandate, {
      name: "string", network: "string", sha256: "string", wallets: "array", mints: "array", sides: "array", order_lamports_max: "number",
      day_lamports_max: "number", armed_s_max: "number", expires_at: "string",
    });
  }
  return live;
}

export interface Assessed {
  model: string;
  assessment: {
    stance_bps: number; probability_bps: number; expected_bps: number; low_bps: number; high_bps: number; size_scale_bps: number;
    wait_s: number; confidence_bps: number; evidence_ids: string[]; reasons: string[]; expires_in_s: number;
  };
  usage: { tokens_in: number; tokens_out: number; cost_micro_usd: number; latency_ms: number; is_cached: boolean };
}

export function readAssessed(value: unknown): Assessed {
  const found = check<Assessed>("assessment", value, { model: "string", assessment: "object", usage: "object" });
  check("assessment", found.assessment, {
    stance_bps: "number", probability_bps: "number", expected_bps: "number", low_bps: "number", high_bps: "number", size_scale_bps: "number",
    wait_s: "number", confidence_bps: "number", reasons: "array",
  });
  check("assessment: usage", found.usage, { tokens_in: "number", tokens_out: "number", cost_micro_usd: "number", latency_ms: "number" });
  return found;
}
