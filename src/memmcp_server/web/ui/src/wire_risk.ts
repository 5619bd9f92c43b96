// What the page reads of exposure, and of why nothing happened.

import { check, isObject, UnknownDocument } from "./wire";

export interface ExposureShare { name: string; label: string; lamports: number; share_bps: number }

export interface ExposureMap {
  by_token: ExposureShare[]; by_strategy: ExposureShare[]; by_bucket: ExposureShare[]; by_tier: ExposureShare[]; by_group: ExposureShare[];
}

export interface Risk { exposure_bps: number; exposure_map: ExposureMap | null }

export function readRisk(value: unknown): Risk {
  const risk = check<Risk>("risk", value, { exposure_bps: "number" });
  if (risk.exposure_map === null || risk.exposure_map === undefined) return { ...risk, exposure_map: null };
  check("risk: exposure map", risk.exposure_map, {
    by_token: "array", by_strategy: "array", by_bucket: "array", by_tier: "array", by_group: "array",
  });
  for (const share of Object.values(risk.exposure_map).filter(Array.isArray).flat()) {
    check("risk: share", share, { name: "string", label: "string", lamports: "number", share_bps: "number" });
  }
  return risk;
}

export interface Funnel {
  since: string; until: string; is_cut: boolean; seen: number; eligible: number; forecast: number; signalled: number; sized: number; approved: number;
  filled: number; denied: Record<string, number>; passed_over: Record<string, number>; newest_price: { ts: string; age_s: number } | null;
}

export function readFunnel(value: unknown): { summary: string; funnel: Funnel } {
  const why = check<{ summary: string; funnel: Funnel }>("why", value, { summary: "string" });
  if (!isObject(why.funnel)) throw new UnknownDocument('why: field "funnel" should be object');
  check("why: funnel", why.funnel, {
    since: "string", until: "string", is_cut: "boolean", seen: "number", eligible: "number", forecast: "number", signalled: "number", sized: "number",
    approved: "number", filled: "number", denied: "object", passed_over: "object",
  });
  return why;
}
