// What the desk wrote down of its settings and its sidecar: GET /profiles/log, GET /sidecar/log.

import { check } from "./wire";

export interface ProfileEntry {
  seq: number; ts: string; kind: string; what: string; strategy: string | null; before: string; after: string; by: string; why: string;
  changes: { field: string; before: string; after: string }[]; changes_total: number; gates: { name: string; passed: boolean; note: string }[];
}

export interface ProfilePage { entries: ProfileEntry[]; next_cursor: string | null }

/** Check the log of profiles. Throws UnknownDocument naming the field. */
export function readProfileLog(value: unknown): ProfilePage {
  const page = check<ProfilePage>("profile log", value, { entries: "array" });
  for (const each of page.entries) {
    check("profile log: entry", each, {
      seq: "number", ts: "string", what: "string", before: "string", after: "string", by: "string", why: "string",
      changes: "array", changes_total: "number", gates: "array",
    });
  }
  return page;
}

export interface SidecarEntry {
  seq: number; ts: string; kind: string; symbol: string; strategy: string; question: string; outcome: string; is_answered: boolean;
  detail: string; text: string; model: string; latency_ms: number; tokens_in: number; tokens_out: number; cost_micro_usd: number; is_cached: boolean;
  effect: { scale_bps: number; wait_until: string | null; weight_bps: number; reason: string } | null;
  score: { is_hit: boolean; realised_bps: number; brier_ppm: number } | null;
}

export interface SidecarStanding {
  weight_bps_max: number;
  records: { model: string; kind: string; count: number; hit_rate_bps: number | null; weight_bps: number }[];
  asking: {
    kind: string; model: string; breaker: string; outcomes: Record<string, number>; last_fault: string; calls_left: number; tokens_left: number;
    micro_usd_left: number; has_failed: boolean; waiting: number; dropped: number;
  } | null;
}

export interface SidecarPage { standing: SidecarStanding; entries: SidecarEntry[]; next_cursor: string | null }

/** Check the sidecar's log. Throws UnknownDocument naming the field. */
export function readSidecarLog(value: unknown): SidecarPage {
  const page = check<SidecarPage>("sidecar log", value, { standing: "object", entries: "array" });
  check("sidecar log: standing", page.standing, { weight_bps_max: "number", records: "array" });
  if (page.standing.asking !== null) {
    check("sidecar log: asking", page.standing.asking, {
      model: "string", breaker: "string", outcomes: "object", last_fault: "string", calls_left: "number", tokens_left: "number",
      micro_usd_left: "number", has_failed: "boolean", waiting: "number",
    });
  }
  for (const each of page.entries) {
    check("sidecar log: entry", each, {
      seq: "number", ts: "string", kind: "string", question: "string", outcome: "string", is_answered: "boolean", detail: "string",
      text: "string", latency_ms: "number", tokens_in: "number", tokens_out: "number", cost_micro_usd: "number",
    });
  }
  return page;
}
