// How the equity history is asked for: as fine as the panel can show, in few and small requests.

import type { Api } from "./api";
import { WINDOW_S } from "./range";
import type { RangeName, TimeRange } from "./range";
import { readSeries } from "./wire";
import type { EquitySeries } from "./wire";

const POINTS = 800;
const ENOUGH = 60;

function address(sinceMs: number | null, resolutionS: number | null, untilMs: number | null = null): string {
  const query = new URLSearchParams();
  if (sinceMs !== null) query.set("since", new Date(sinceMs).toISOString());
  if (untilMs !== null) query.set("until", new Date(untilMs).toISOString());
  if (resolutionS !== null) query.set("resolution", String(resolutionS));
  return `/telemetry/trading/history?${query.toString()}`;
}

/** The next whole number of minutes or hours: what the server keeps is put together from these. */
function whole(seconds: number): number {
  const unit = seconds > 3_600 ? 3_600 : seconds > 60 ? 60 : 1;
  return Math.max(1, Math.ceil(seconds / unit)) * unit;
}

/** Load a range; a window ends at the newest event (its own time, which in a replay is not ours). Throws ApiError. */
export async function loadHistory(
  api: Pick<Api, "get">, range: RangeName | TimeRange, newestMs: number | null,
): Promise<EquitySeries> {
  const get = async (sinceMs: number | null, resolutionS: number | null, untilMs: number | null = null): Promise<EquitySeries> =>
    readSeries(await api.get(address(sinceMs, resolutionS, untilMs)));
  if (typeof range === "object") {
    const endMs = range.untilMs ?? newestMs;
    const spanS = range.sinceMs === null || endMs === null ? null : Math.max(1, (endMs - range.sinceMs) / 1_000);
    return get(range.sinceMs, spanS === null ? null : whole(spanS / POINTS), range.untilMs);
  }
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
