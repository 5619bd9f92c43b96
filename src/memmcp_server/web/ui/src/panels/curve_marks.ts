// Buys, sells, deposits and withdrawals on the equity curve: each kind has its own shape, and a readout.

import type uPlot from "uplot";
import { count, plain, sol } from "../format";
import type { CurveMark, CurveMarks } from "../wire_path";

export const MARKS_SHOWN = 400;
const SIZE = 5;
const APART = 11;
const NAMES = { buy: "buy", sell: "sell", deposit: "deposit", withdrawal: "withdrawal" } as const;
const SIGNS = { buy: "\u25b2", sell: "\u25bc", deposit: "+", withdrawal: "\u2212" } as const;
const MANY = { buy: "buys", sell: "sells", deposit: "deposits", withdrawal: "withdrawals" } as const;

type Kind = keyof typeof NAMES;

function isKind(kind: string): kind is Kind {
  return Object.hasOwn(NAMES, kind);
}

/** The marks that are drawn: of known kinds, at most so many, the newest. */
export function drawnMarks(found: CurveMarks): CurveMark[] {
  return found.marks.filter((mark) => isKind(mark.kind)).slice(-MARKS_SHOWN);
}

/** "▲ 12 buys · ▼ 9 sells, every other one is left out where they are dense", or "" where there is none. */
export function marksText(found: CurveMarks): string {
  const kinds = (Object.keys(NAMES) as Kind[]).filter((kind) => (found.totals[kind] ?? 0) > 0);
  const parts = kinds.map((kind) => {
    const many = found.totals[kind] ?? 0;
    return `${SIGNS[kind]} ${count(many)} ${many === 1 ? NAMES[kind] : MANY[kind]}`;
  });
  const all = kinds.reduce((sum, kind) => sum + (found.totals[kind] ?? 0), 0);
  const shown = drawnMarks(found).length;
  const thinned = shown < all ? `; ${count(shown)} of them are drawn` : "";
  return `${parts.join(" \u00b7 ")}${thinned}${found.is_cut ? "; earlier ones are not looked at" : ""}`;
}

/** A mark in words, its time written by the caller: "▲ buy BONK for 0.0500 SOL". */
export function markText(mark: CurveMark): string {
  const kind = mark.kind;
  const what = mark.symbol === "" ? "" : ` ${plain(mark.symbol, 24)}`;
  return `${SIGNS[kind]} ${NAMES[kind]}${what} ${kind === "buy" || kind === "sell" ? "for" : "of"} ${sol(mark.lamports)} SOL`;
}

/** The mark that lies nearest to a time, and not further off than that. */
export function nearestMark(marks: CurveMark[], atMs: number, withinMs: number): CurveMark | null {
  let best: CurveMark | null = null;
  let least = withinMs;
  for (const mark of marks) {
    const off = Math.abs(Date.parse(mark.ts) - atMs);
    if (off <= least) [best, least] = [mark, off];
  }
  return best;
}

/** Draw them on the plot's canvas beside the curve: buys below it, sells above, money in and out as signs in a box. */
export function drawMarks(plot: uPlot, marks: CurveMark[], paint: { gain: string; loss: string; text: string; panel: string }): void {
  const { ctx } = plot;
  const ratio = devicePixelRatio || 1;
  ctx.save();
  ctx.lineWidth = 1.5 * ratio;
  for (const mark of marks) {
    const atS = Date.parse(mark.ts) / 1_000;
    const { min, max } = plot.scales["x"] ?? {};
    if (min == null || max == null || atS < min || atS > max) continue;
    const equity = plot.data[1]?.[plot.valToIdx(atS)];
    if (equity == null) continue;
    const x = plot.valToPos(atS, "x", true);
    const y = plot.valToPos(equity, "y", true);
    const side = mark.kind === "buy" || mark.kind === "withdrawal" ? 1 : -1;
    shape(ctx, mark.kind, x, y + side * APART * ratio, SIZE * ratio, paint);
  }
  ctx.restore();
}

function shape(
  ctx: CanvasRenderingContext2D, kind: CurveMark["kind"], x: number, y: number, size: number,
  paint: { gain: string; loss: string; text: string; panel: string },
): void {
  ctx.beginPath();
  if (kind === "buy" || kind === "sell") {
    const tip = kind === "buy" ? -size : size;
    ctx.moveTo(x, y + tip);
    ctx.lineTo(x - size, y - tip);
    ctx.lineTo(x + size, y - tip);
    ctx.closePath();
    ctx.fillStyle = kind === "buy" ? paint.gain : paint.loss;
    ctx.fill();
    return;
  }
  ctx.rect(x - size, y - size, 2 * size, 2 * size);
  ctx.fillStyle = paint.panel;
  ctx.fill();
  ctx.moveTo(x - size / 2, y);
  ctx.lineTo(x + size / 2, y);
  if (kind === "deposit") {
    ctx.moveTo(x, y - size / 2);
    ctx.lineTo(x, y + size / 2);
  }
  ctx.strokeStyle = paint.text;
  ctx.stroke();
}
