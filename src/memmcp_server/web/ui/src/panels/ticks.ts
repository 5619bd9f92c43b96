// What the axes of the curves say.

import type { ZonedTime } from "../format";

/** "09:15" within a day, with the date at the first tick and at each new day; dates alone when ticks are days apart. */
export function timeTicks(splits: number[], incrementS: number, time: ZonedTime): string[] {
  let day = "";
  return splits.map((split) => {
    const full = time.full(split * 1_000);
    const date = full.slice(5, 10);
    if (incrementS >= 86_400) return date;
    const isNewDay = date !== day;
    day = date;
    return isNewDay ? `${full.slice(11, 16)}\n${date}` : full.slice(11, 16);
  });
}

/** As many decimals as the distance between the ticks needs. */
export function ticks(splits: number[]): string[] {
  const step = splits.length > 1 ? Math.abs((splits[1] ?? 0) - (splits[0] ?? 0)) : 1;
  let places = 0;
  while (places < 9 && Math.abs(step * 10 ** places - Math.round(step * 10 ** places)) > 1e-6) places += 1;
  return splits.map((value) => value.toFixed(places));
}

/** Room above and below; a flat line sits in the middle instead of filling the panel with noise. */
export function padded(low: number, high: number): [number, number] {
  const span = high - low;
  const room = span > Math.abs(high) * 1e-6 ? span * 0.12 : Math.max(Math.abs(high) * 0.01, 1e-6);
  return [low - room, high + room];
}
