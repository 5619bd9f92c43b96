// The path on a logarithmic scale as SVG: equity so far, the projected range, tiers and target.

import { svg } from "../dom";
import { plain, sol, words } from "../format";
import type { EquityPoint } from "../wire";
import type { ProjectedRange, Projection } from "../wire_path";

const HEIGHT = 280;
const TOP = 14;
const BOTTOM = 26;
const LEFT = 64;
const RIGHT = 12;
const LABEL_ROOM = 14;
const DECADES_BELOW = 1;
const TIERS_MAX = 12;

interface Scale { x: (atMs: number) => number; y: (lamports: number) => number; width: number; low: number; high: number; fromMs: number; toMs: number }

/** The lowest and highest sum to show: the whole path, the target, the past, and what lies ahead of it. */
export function bounds(path: Projection, past: EquityPoint[]): [number, number] {
  const first = path.path[0]?.lamports ?? path.start.lamports;
  const last = path.path.at(-1)?.lamports ?? path.target.lamports;
  const seen = [...past.map((point) => point.equity_lamports), path.equity.lamports, path.start.lamports].filter((each) => each > 0);
  const ahead = path.range.map((each) => each.lamports_p5).filter((each) => each > 0);
  const floor = first / 10 ** DECADES_BELOW;
  const low = Math.min(first, ...seen, ...ahead.map((each) => Math.max(each, floor)));
  return [Math.max(1, low * 0.9), Math.max(last, path.target.lamports, ...seen) * 1.25];
}

/** Draw the path over a width in pixels. `day` writes a time on the axis. */
export function pathChart(path: Projection, past: EquityPoint[], width: number, day: (atMs: number) => string, label: string): SVGElement {
  const scale = scaleOf(path, past, width);
  return svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width: String(width), height: String(HEIGHT), role: "img", "aria-label": label, class: "path-chart" },
    ...levels(path, scale), ...ahead(path.range, path, scale), ...behind(path, past, scale), ...times(path, scale, day));
}

function scaleOf(path: Projection, past: EquityPoint[], width: number): Scale {
  const [low, high] = bounds(path, past);
  const untilMs = path.until === null ? 0 : Date.parse(path.until);
  const sinceMs = path.since === null ? untilMs : Date.parse(path.since);
  const toMs = Math.max(path.range.length > 0 ? Date.parse(path.range.at(-1)?.ts ?? "") : untilMs, sinceMs + 3_600_000);
  const inner = width - LEFT - RIGHT;
  return {
    width, low, high, fromMs: sinceMs, toMs,
    x: (atMs) => LEFT + (Math.min(Math.max(atMs, sinceMs), toMs) - sinceMs) / (toMs - sinceMs) * inner,
    y: (lamports) => {
      const share = Math.log(Math.min(Math.max(lamports, low), high) / low) / Math.log(high / low);
      return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
    },
  };
}

const at = (x: number, y: number): string => `${x.toFixed(1)},${y.toFixed(1)}`;
const text = (x: number, y: number, words: string, extra: Record<string, string> = {}): SVGElement => {
  const element = svg("text", { x: x.toFixed(1), y: y.toFixed(1), ...extra });
  element.textContent = words;
  return element;
};

/** A line for each sum that has a name; a name that would cover the one before it moves to the other side of its line. */
function levels(path: Projection, scale: Scale): SVGElement[] {
  const named: { lamports: number; name: string; isTarget: boolean }[] = path.tiers.slice(0, TIERS_MAX)
    .map((tier) => ({ lamports: tier.from_equity.lamports, name: words(tier.name), isTarget: false }));
  const first = named.find((each) => each.lamports === 0);
  if (first !== undefined) first.lamports = path.path[0]?.lamports ?? path.start.lamports;
  const end = path.path.at(-1);
  if (end !== undefined) named.push({ lamports: end.lamports, name: "end of the path", isTarget: false });
  const same = named.find((each) => each.lamports === path.target.lamports);
  if (same === undefined) named.push({ lamports: path.target.lamports, name: "target", isTarget: true });
  else Object.assign(same, { name: `${same.name}, target`, isTarget: true });
  let lastY = Infinity;
  return named.filter((each) => each.lamports >= scale.low && each.lamports <= scale.high).sort((a, b) => a.lamports - b.lamports)
    .flatMap((each) => {
      const y = scale.y(each.lamports);
      const isTight = lastY - y < LABEL_ROOM;
      lastY = y;
      return [
        svg("line", { x1: String(LEFT), x2: String(scale.width - RIGHT), y1: y.toFixed(1), y2: y.toFixed(1), class: each.isTarget ? "path-target" : "path-tier" }),
        text(LEFT - 8, y + (isTight ? -4 : 4), `${sol(each.lamports, each.lamports < 10_000_000_000 ? 1 : 0)}`, { "text-anchor": "end" }),
        text(scale.width - RIGHT - 2, y - (isTight ? 10 : 4), plain(each.name, 60), { "text-anchor": "end" }),
      ];
    });
}

function ahead(range: ProjectedRange[], path: Projection, scale: Scale): SVGElement[] {
  if (range.length === 0 || path.until === null) return [];
  const now = at(scale.x(Date.parse(path.until)), scale.y(path.equity.lamports));
  const side = (of: (each: ProjectedRange) => number): string[] => range.map((each) => at(scale.x(Date.parse(each.ts)), scale.y(of(each))));
  const band = (low: (each: ProjectedRange) => number, high: (each: ProjectedRange) => number, name: string): SVGElement =>
    svg("polygon", { points: [now, ...side(high), ...side(low).reverse()].join(" "), class: name });
  return [
    band((each) => each.lamports_p5, (each) => each.lamports_p95, "path-band"),
    band((each) => each.lamports_p25, (each) => each.lamports_p75, "path-band inner"),
  ];
}

function behind(path: Projection, past: EquityPoint[], scale: Scale): SVGElement[] {
  const points = past.filter((point) => point.equity_lamports > 0).map((point) => at(scale.x(Date.parse(point.ts)), scale.y(point.equity_lamports)));
  if (path.until === null || path.equity.lamports <= 0) return [];
  const x = scale.x(Date.parse(path.until));
  const y = scale.y(path.equity.lamports);
  return [
    svg("polyline", { points: [...points, at(x, y)].join(" "), class: "path-line", fill: "none" }),
    svg("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: "3.5", class: "path-now" }),
  ];
}

function times(path: Projection, scale: Scale, day: (atMs: number) => string): SVGElement[] {
  if (path.until === null) return [];
  const found: [number, string][] = [[scale.fromMs, "start"], [scale.toMs, "end"]];
  const nowMs = Date.parse(path.until);
  const x = scale.x(nowMs);
  const hasRoom = x - LEFT > 110 && scale.width - RIGHT - x > 110;
  if (hasRoom) found.splice(1, 0, [nowMs, "middle"]);
  return found.map(([atMs, anchor]) => text(scale.x(atMs), HEIGHT - 8, anchor === "middle" ? "now" : day(atMs), { "text-anchor": anchor }));
}
