// One time range for the whole page. It stands in the address, so that a link, the back button and every part agree:
// range=1h|1d|1w|1m, counted back from the newest event, or since= and until= (ISO, UTC); without any of them: all.

import type { ZonedTime } from "./format";

export type RangeName = "1h" | "1d" | "1w" | "1m" | "all";

export interface TimeRange { sinceMs: number | null; untilMs: number | null }

export const WINDOW_S: Readonly<Record<RangeName, number | null>> = {
  "1h": 3_600, "1d": 86_400, "1w": 604_800, "1m": 30 * 86_400, all: null,
};
export const RANGE_NAMES = ["range", "since", "until"] as const;
const EARLIEST_MS = Date.UTC(2009, 0, 1);
const LATEST_MS = Date.UTC(2100, 0, 1);

export function isRange(text: string | null | undefined): text is RangeName {
  return typeof text === "string" && Object.hasOwn(WINDOW_S, text);
}

/** An instant as somebody types it, in UTC unless it names a zone: "2026-11-22", "2026-11-22 09:30"; null where it is none. */
export function instantMs(text: string | null): number | null {
  const match = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(Z|[+-]\d{2}:\d{2})?)?$/i.exec(text?.trim() ?? "");
  if (match === null) return null;
  const atMs = Date.parse(`${match[1]}T${match[2] ?? "00:00"}${(match[3] ?? "Z").toUpperCase()}`);
  return Number.isFinite(atMs) && atMs >= EARLIEST_MS && atMs < LATEST_MS ? atMs : null;
}

/** Which button the address stands for; "custom" where it names instants. */
export function rangeName(search: string): RangeName | "custom" {
  const { sinceMs, untilMs } = named(search);
  if (sinceMs !== null || untilMs !== null) return "custom";
  const name = new URLSearchParams(search).get("range");
  return isRange(name) ? name : "all";
}

/**
 * The range of an address; null: open on that side. Nothing lies before `since` or at `until`. A window such as 1d ends
 * now and stays open, so that what happens next is in it; `nowMs` is the time of the newest event, which in a replay is
 * not that of the clock. An address that ends before it begins names no range, as does one that cannot be read.
 */
export function timeRange(search: string, nowMs: number): TimeRange {
  const range = named(search);
  if (range.sinceMs !== null || range.untilMs !== null) return range;
  const name = new URLSearchParams(search).get("range");
  const windowS = isRange(name) ? WINDOW_S[name] : null;
  return { sinceMs: windowS === null ? null : nowMs - windowS * 1_000, untilMs: null };
}

const WORDS: Readonly<Record<RangeName, string>> = {
  "1h": "last hour", "1d": "last day", "1w": "last 7 days", "1m": "last 30 days", all: "whole run",
};

/** The range in words, for a panel that says of which it is: "last 7 days", "11-01 00:00 to 11-02 00:00 UTC". */
export function rangeWords(search: string, time: Pick<ZonedTime, "short" | "label">): string {
  const name = rangeName(search);
  if (name !== "custom") return WORDS[name];
  const { sinceMs, untilMs } = timeRange(search, 0);
  if (sinceMs === null) return `until ${time.short(untilMs ?? 0)}`;
  if (untilMs === null) return `since ${time.short(sinceMs)}`;
  return `${time.short(sinceMs).replace(` ${time.label}`, "")} to ${time.short(untilMs)}`;
}

/** The range as the server is asked for it; a window ends at `nowMs`, the time of the newest event. */
export function rangeTimes(search: string, nowMs: number): { since: string | null; until: string | null } {
  const { sinceMs, untilMs } = timeRange(search, nowMs);
  return { since: isoOrNull(sinceMs), until: isoOrNull(untilMs) };
}

/** An instant for the server; null where there is none, or none that a calendar knows. */
export function isoOrNull(atMs: number | null): string | null {
  const at = atMs === null ? null : new Date(atMs);
  return at === null || Number.isNaN(at.getTime()) ? null : at.toISOString();
}

/** The part of an address that names its range, for links that keep it: "range=1d", or "". */
export function rangeQuery(search: string): string {
  const from = new URLSearchParams(search);
  const query = new URLSearchParams();
  for (const name of RANGE_NAMES) {
    const value = from.get(name);
    if (value !== null && value.length <= 40) query.set(name, value);
  }
  return query.toString();
}

/** The same address over another range: one of the windows, or the instants that were typed. */
export function searchWith(search: string, range: RangeName | TimeRange): string {
  const query = new URLSearchParams(search);
  for (const name of RANGE_NAMES) query.delete(name);
  if (typeof range === "string") {
    if (range !== "all") query.set("range", range);
  } else {
    if (range.sinceMs !== null) query.set("since", isoText(range.sinceMs));
    if (range.untilMs !== null) query.set("until", isoText(range.untilMs));
  }
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

/** "2026-11-22T09:30Z": as short as an address and a field can say it. */
export function isoText(atMs: number): string {
  const iso = new Date(atMs).toISOString();
  return iso.endsWith(":00.000Z") ? `${iso.slice(0, 16)}Z` : iso;
}

function named(search: string): TimeRange {
  const query = new URLSearchParams(search);
  const sinceMs = instantMs(query.get("since"));
  const untilMs = instantMs(query.get("until"));
  const isBackwards = sinceMs !== null && untilMs !== null && untilMs <= sinceMs;
  return isBackwards ? { sinceMs: null, untilMs: null } : { sinceMs, untilMs };
}
