import uPlot from "uplot";
import { byId, setAttribute, setText } from "../dom";
import { lamportsInUsd, percent, sol, usd, ZonedTime } from "../format";
import type { Curve, EquityHistory, Loadable } from "../model";
import type { CurveMark, CurveMarks } from "../wire_path";
import { drawMarks, drawnMarks, markText, marksText, nearestMark } from "./curve_marks";
import { ExportLinks } from "../export";
import { times } from "./trade_wish";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";
import { padded, ticks, timeTicks } from "./ticks";

const SPOKEN_EVERY_MS = 15_000;
const EQUITY_HEIGHT = 242;
const DRAWDOWN_HEIGHT = 130;
const FONT = "11px Inter, system-ui, sans-serif";

interface Colours { line: string; fill: string; loss: string; lossFill: string; grid: string; text: string; gain: string; panel: string }

function colours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return {
    line: of("--accent"), fill: of("--accent-fill"), loss: of("--loss"), lossFill: of("--loss-fill"),
    grid: of("--grid"), text: of("--muted"), gain: of("--gain"), panel: of("--panel"),
  };
}

/** Equity in SOL and the drawdown below it, on one time axis with one cursor. */
export class ChartPanel {
  private readonly panel = new Panel("panel-equity");
  private readonly links = new ExportLinks(byId("equity-export"), "equity");
  private equity: uPlot | null = null;
  private drawdown: uPlot | null = null;
  private curve: Curve = { ts: [], equity: [], drawdown: [], solUsd: [], low: [], high: [] };
  private time = new ZonedTime("UTC");
  private spokenMs = 0;
  private drawn: { history: EquityHistory | null; version: number } = { history: null, version: 0 };
  private hovered: number | null = null;
  private marks: CurveMark[] = [];
  private marksText = "";

  /** Take what is to be marked; it is drawn with the curve. */
  mark(found: CurveMarks): void {
    this.marks = drawnMarks(found);
    this.marksText = marksText(found);
    setText(byId("equity-meta"), this.marksText);
    this.equity?.redraw(false);
    this.spokenMs = 0;
    if (this.curve.ts.length > 0) this.describe(Date.now());
  }

  /** Say why the marks are not known; those of before stay. */
  unmarked(why: string): void {
    setText(byId("equity-meta"), `marks out of date: ${why}`);
  }

  constructor() {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.rebuild());
    new ResizeObserver(() => this.resize()).observe(byId("equity-chart"));
  }

  draw(history: EquityHistory, loaded: Loadable<true>, time: ZonedTime, around: Surroundings): void {
    this.panel.follow(loaded, { waiting: "Loading the equity history.", staleReason: around.staleReason });
    if (loaded.state === "ready" && history.length === 0 && around.staleReason === null) {
      this.panel.show("empty", "No equity recorded yet. The curve begins with the desk\u2019s first cycle.");
    }
    const isOtherZone = time.zone !== this.time.zone;
    if (!isOtherZone && history === this.drawn.history && history.version === this.drawn.version) return;
    this.drawn = { history, version: history.version };
    this.time = time;
    this.curve = history.curve();
    this.links.follow(history.length > 0, times(location.search, around.deskMs ?? around.nowMs));
    if (history.length === 0) return;
    if (this.equity === null || isOtherZone) this.rebuild();
    else {
      this.equity.setData([this.curve.ts, this.curve.equity]);
      this.drawdown?.setData([this.curve.ts, this.curve.drawdown]);
    }
    this.drawReadout();
    this.describe(around.nowMs);
  }

  private rebuild(): void {
    this.equity?.destroy();
    this.drawdown?.destroy();
    this.equity = null;
    this.drawdown = null;
    if (this.curve.ts.length === 0) return;
    const paint = colours();
    const width = this.width();
    // Below the upper chart there is room for half of its lowest label, which stands over the lower one otherwise.
    const padding = (bottom: number): uPlot.Padding => [8, 14, bottom, 0];
    const shared = { tzDate: (s: number) => uPlot.tzDate(new Date(s * 1_000), this.time.zone), legend: { show: false } };
    const series = (stroke: string, fill: string): uPlot.Series[] => [{}, { stroke, fill, width: 1.6, points: { show: false } }];
    this.equity = new uPlot({
      ...shared, padding: padding(12), hooks: { draw: [(plot: uPlot) => drawMarks(plot, this.marks, paint)] }, width, height: EQUITY_HEIGHT, series: series(paint.line, paint.fill), cursor: this.cursor(),
      axes: [{ ...axis(paint), show: false }, { ...axis(paint), size: 64, values: (_: uPlot, splits: number[]) => ticks(splits) }],
      scales: { y: { range: (_: uPlot, low: number, high: number): [number, number] => padded(low, high) } },
    }, [this.curve.ts, this.curve.equity], byId("equity-chart"));
    this.drawdown = new uPlot({
      ...shared, padding: padding(0), width, height: DRAWDOWN_HEIGHT, series: series(paint.loss, paint.lossFill), cursor: this.cursor(),
      axes: [this.timeAxis(paint), { ...axis(paint), size: 64, space: 22, values: (_: uPlot, splits: number[]) => splits.map((value) => `${value.toFixed(1)}%`) }],
      scales: { y: { range: (_: uPlot, low: number): [number, number] => [Math.min(low * 1.1, -0.5), 0] } },
    }, [this.curve.ts, this.curve.drawdown], byId("drawdown-chart"));
  }

  private timeAxis(paint: Colours): uPlot.Axis {
    return {
      ...axis(paint), size: 34, label: `Time in ${this.time.label}`, labelSize: 18, labelFont: FONT,
      values: (_: uPlot, splits: number[], __: number, ___: number, incrementS: number) => timeTicks(splits, incrementS, this.time),
    };
  }

  private cursor(): uPlot.Cursor {
    return {
      sync: { key: "equity" }, y: false, drag: { x: false, y: false }, points: { size: 6 },
      move: (plot: uPlot, left: number, top: number): [number, number] => {
        this.hovered = left < 0 ? null : plot.posToIdx(left);
        this.drawReadout();
        return [left, top];
      },
    };
  }

  private drawReadout(): void {
    const last = this.curve.ts.length - 1;
    const at = this.hovered !== null && this.hovered <= last ? this.hovered : last;
    const ts = this.curve.ts[at];
    if (ts === undefined) return;
    const lamports = Math.round((this.curve.equity[at] ?? 0) * 1e9);
    const dollars = usd(lamportsInUsd(lamports, this.curve.solUsd[at]));
    const parts = [this.time.full(ts * 1_000), `${sol(lamports)} SOL`];
    if (dollars !== null) parts.push(`${dollars} USD`);
    parts.push(`drawdown ${percent(Math.round(-(this.curve.drawdown[at] ?? 0) * 100))}`);
    const mark = this.hovered === null ? null : nearestMark(this.marks, ts * 1_000, this.reachMs());
    if (mark !== null) parts.push(`${markText(mark)} at ${this.time.clock(mark.ts)}`);
    setText(byId("equity-readout"), parts.join(" \u00b7 "));
  }

  /** A mark this near to the cursor is read out: a hundredth of what is shown. */
  private reachMs(): number {
    return ((this.curve.ts.at(-1) ?? 0) - (this.curve.ts[0] ?? 0)) * 10;
  }

  /** The curve in words for who cannot see it, renewed now and then: not at every tick. */
  private describe(nowMs: number): void {
    if (nowMs - this.spokenMs < SPOKEN_EVERY_MS) return;
    this.spokenMs = nowMs;
    const { ts, equity, drawdown, low, high } = this.curve;
    const first = ts[0];
    const last = ts.at(-1);
    if (first === undefined || last === undefined) return;
    const inSol = (value: number | undefined): string => `${sol(Math.round((value ?? 0) * 1e9))} SOL`;
    const span = `from ${this.time.full(first * 1_000)} to ${this.time.full(last * 1_000)}`;
    setAttribute(byId("equity-chart"), "aria-label",
      `Equity curve ${span}: ${inSol(equity[0])} to ${inSol(equity.at(-1))}, lowest ${inSol(lowest(low))}, highest ${inSol(highest(high))}${this.marksText === "" ? "" : `; marked: ${this.marksText}`}`);
    setAttribute(byId("drawdown-chart"), "aria-label",
      `Drawdown curve ${span}: now ${percent(Math.round(-(drawdown.at(-1) ?? 0) * 100))}, worst ${percent(Math.round(-lowest(drawdown) * 100))}`);
  }

  private width(): number {
    return Math.max(240, byId("equity-chart").clientWidth);
  }

  private resize(): void {
    this.equity?.setSize({ width: this.width(), height: EQUITY_HEIGHT });
    this.drawdown?.setSize({ width: this.width(), height: DRAWDOWN_HEIGHT });
  }
}

const lowest = (values: number[]): number => values.reduce((low, value) => Math.min(low, value), Infinity);
const highest = (values: number[]): number => values.reduce((high, value) => Math.max(high, value), -Infinity);

function axis(paint: Colours): uPlot.Axis {
  return {
    stroke: paint.text, font: FONT,
    grid: { stroke: paint.grid, width: 1 }, ticks: { show: false },
  };
}
