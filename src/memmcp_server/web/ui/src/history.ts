// How the equity history is asked for: as fine as the panel can show, in few and small requests.

import type { Api } from "./api";
import { readSeries } from "./wire";
import type { EquitySeries } from "./wire";

export type Range = "1h" | "1d" | "1w" | "all";

export const WINDOW_S: Record<Range, number | null> = { "1h": 3_600, "1d": 86_400, "1w": 604_800, all: null };
const POINTS = 800;
const ENOUGH = 60;

export function isRange(text: string | undefined): text is Range {
  return text !== undefined && Object.hasOwn(WINDOW_S, text);
}

/** The time range that an address names, all of it where it names none. */
export function rangeOf(search: string): Range {
  const named = new URLSearchParams(search).get("range") ?? undefined;
  return isRange(named) ? named : "all";
}

function address(sinceMs: number | null, resolutionS: number | null): string {
  const query = new URLSearchParams();
  if (sinceMs !== null) query.set("since", new Date(sinceMs).toISOString());
  if (resolutionS !== null) query.set("resolution", String(resolutionS));
  return `/telemetry/trading/history?${query.toString()}`;
}

/** The next whole number of minutes or hours: what the server keeps is put together from these. */
function whole(seconds: number): number {
  const unit = seconds > 3_600 ? 3_600 : seconds > 60 ? 60 : 1;
  return Math.max(1, Math.ceil(seconds / unit)) * unit;
}

/** Load a range that ends at the newest event (its own time, which in a replay is not ours). Throws ApiError. */
export async function loadHistory(api: Pick<Api, "get">, range: Range, newestMs: number | null): Promise<EquitySeries> {
  const get = async (sinceMs: number | null, resolutionS: number | null): Promise<EquitySeries> =>
    readSeries(await api.get(address(sinceMs, resolutionS)));
  const windowS = WINDOW_S[range];
  if (windowS !== null && newestMs !== null) return get(newestMs - windowS * 1_000, whole(windowS / POINTS));
  // How long the desk has run is not known: ask for days first, then as fine as the answer allows.
  const days = await get(null, 86_400);
  if (days.points.length >= 3) return get(null, whole((days.points.length * 86_400) / POINTS));
  for (const resolutionS of [300, 20]) {
    const series = await get(null, resolutionS);
    if (series.points.length >= ENOUGH) return series;
  }
  return get(null, null);
}
