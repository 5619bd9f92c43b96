// Candles with the desk's own entries and exits, drawn by hand on uPlot's axes.

import uPlot from "uplot";
import type { Trade } from "../wire";
import type { Candle } from "../wire_trades";
import { ZonedTime } from "../format";
import { padded, ticks, timeTicks } from "./ticks";

const HEIGHT = 320;
const FONT = "11px Inter, system-ui, sans-serif";
const REACH_PX = 16;
const SIDE_PX = 7;

interface Paint { gain: string; loss: string; grid: string; text: string; mark: string; panel: string }

function paints(): Paint {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return { gain: of("--gain"), loss: of("--loss"), grid: of("--grid"), text: of("--muted"), mark: of("--text"), panel: of("--panel") };
}

/** As many decimals as the prices need: four figures of the smallest tick. */
export function priceTicks(splits: number[]): string[] {
  const most = Math.max(...splits.map(Math.abs));
  return most > 0 && most < 1e-3 ? splits.map((value) => (value === 0 ? "0" : value.toExponential(2))) : ticks(splits);
}

export class CandlePlot {
  private plot: uPlot | null = null;
  private candles: readonly Candle[] = [];
  private trades: readonly Trade[] = [];
  private intervalS = 60;
  private time = new ZonedTime("UTC");
  private chosen: string | null = null;
  private drawn = "";

  constructor(private readonly place: HTMLElement, private readonly onChoose: (orderId: string) => void, private readonly onHover: (candle: Candle | null) => void) {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.rebuild());
    new ResizeObserver(() => this.plot?.setSize({ width: this.width(), height: HEIGHT })).observe(place);
    place.addEventListener("click", (event) => this.pick(event));
  }

  show(candles: readonly Candle[], trades: readonly Trade[], intervalS: number, time: ZonedTime): void {
    const drawn = JSON.stringify([candles, trades.map((trade) => trade.order_id), intervalS, time.zone]);
    if (drawn === this.drawn) return; // asked again, and nothing new was told
    this.drawn = drawn;
    [this.candles, this.trades, this.intervalS, this.time] = [candles, trades, intervalS, time];
    this.rebuild();
  }

  choose(orderId: string | null): void {
    if (orderId === this.chosen) return;
    this.chosen = orderId;
    this.plot?.redraw(false);
  }

  private width(): number {
    return Math.max(240, this.place.clientWidth);
  }

  private rebuild(): void {
    this.plot?.destroy();
    this.plot = null;
    if (this.candles.length === 0) return;
    const paint = paints();
    const axis = { stroke: paint.text, font: FONT, grid: { stroke: paint.grid, width: 1 }, ticks: { show: false } };
    const at = this.candles.map((candle) => Date.parse(candle.ts) / 1_000 + this.intervalS / 2);
    const of = (name: "high" | "low"): number[] => this.candles.map((candle) => Number(candle[name]));
    const half = this.intervalS;
    this.plot = new uPlot({
      width: this.width(), height: HEIGHT, padding: [12, 14, 0, 0], legend: { show: false },
      tzDate: (seconds: number) => uPlot.tzDate(new Date(seconds * 1_000), this.time.zone),
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false }, move: (plot: uPlot, left: number, top: number): [number, number] => {
        this.onHover(left < 0 ? null : this.candles[plot.posToIdx(left)] ?? null);
        return [left, top];
      } },
      series: [{}, { paths: () => null, points: { show: false } }, { paths: () => null, points: { show: false } }],
      scales: {
        x: { range: (_: uPlot, low: number, high: number): [number, number] => [low - half, high + Math.max(half, (high - low) * 0.02)] },
        y: { range: (_: uPlot, low: number, high: number): [number, number] => padded(low, high) },
      },
      axes: [
        { ...axis, size: 34, label: `Time in ${this.time.label}`, labelSize: 18, labelFont: FONT,
          values: (_: uPlot, splits: number[], __: number, ___: number, stepS: number) => timeTicks(splits, stepS, this.time) },
        { ...axis, size: 72, label: "SOL a token", labelSize: 16, labelFont: FONT, values: (_: uPlot, splits: number[]) => priceTicks(splits) },
      ],
      hooks: { draw: [(plot: uPlot) => this.paint(plot, paint)] },
    }, [at, of("high"), of("low")], this.place);
  }

  private paint(plot: uPlot, paint: Paint): void {
    const { ctx } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
    ctx.clip();
    const ratio = devicePixelRatio || 1;
    const step = plot.valToPos(this.intervalS, "x", true) - plot.valToPos(0, "x", true);
    const body = Math.max(1, Math.min(14 * ratio, Math.floor(step * 0.66)));
    ctx.lineWidth = ratio;
    for (const candle of this.candles) this.candle(plot, candle, body, paint);
    for (const trade of this.trades) this.mark(plot, trade, ratio, paint);
    ctx.restore();
  }

  /** Rising candles are hollow, falling ones filled: the colour is never the only sign. */
  private candle(plot: uPlot, candle: Candle, width: number, paint: Paint): void {
    const { ctx } = plot;
    const x = Math.round(plot.valToPos(Date.parse(candle.ts) / 1_000 + this.intervalS / 2, "x", true)) + 0.5;
    const [open, high, low, close] = [candle.open, candle.high, candle.low, candle.close].map((text) => plot.valToPos(Number(text), "y", true)) as [number, number, number, number];
    const isUp = close <= open; // pixels count downwards
    ctx.strokeStyle = ctx.fillStyle = isUp ? paint.gain : paint.loss;
    const [top, bottom] = isUp ? [close, open] : [open, close];
    ctx.beginPath();
    ctx.moveTo(x, high);
    ctx.lineTo(x, top);
    ctx.moveTo(x, bottom);
    ctx.lineTo(x, low);
    ctx.stroke();
    const height = Math.max(1, bottom - top);
    const edge = ctx.lineWidth;
    if (isUp && width < 3 * edge && height > 2 * edge) {
      // Too narrow to be hollow between two sides: its ends alone, and nothing between them.
      ctx.fillRect(x - width / 2, top, width, edge);
      ctx.fillRect(x - width / 2, bottom - edge, width, edge);
    } else if (isUp && width >= 3 * edge) {
      ctx.fillStyle = paint.panel;
      ctx.fillRect(x - width / 2, top, width, height);
      ctx.strokeRect(x - width / 2, top, width, height);
    } else ctx.fillRect(x - width / 2, top, width, height);
  }

  private spot(plot: uPlot, trade: Trade, isCanvas: boolean): { x: number; y: number } {
    return { x: plot.valToPos(Date.parse(trade.ts) / 1_000, "x", isCanvas), y: plot.valToPos(Number(trade.price_sol), "y", isCanvas) };
  }

  /** An entry points up from below its price, an exit down from above. */
  private mark(plot: uPlot, trade: Trade, ratio: number, paint: Paint): void {
    const { ctx } = plot;
    const { x, y } = this.spot(plot, trade, true);
    const side = SIDE_PX * ratio * (trade.order_id === this.chosen ? 1.5 : 1);
    const away = (trade.side === "buy" ? 1 : -1) * side * 1.7;
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x - side, y + away);
    ctx.lineTo(x + side, y + away);
    ctx.closePath();
    ctx.fillStyle = trade.side === "buy" ? paint.gain : paint.loss;
    ctx.fill();
    ctx.strokeStyle = paint.mark;
    ctx.lineWidth = ratio * (trade.order_id === this.chosen ? 2.5 : 1);
    ctx.stroke();
  }

  private pick(event: MouseEvent): void {
    if (this.plot === null) return;
    const box = this.plot.over.getBoundingClientRect();
    const [left, top] = [event.clientX - box.left, event.clientY - box.top];
    let nearest: { id: string; far: number } | null = null;
    for (const trade of this.trades) {
      const { x, y } = this.spot(this.plot, trade, false);
      const far = Math.hypot(x - left, y + (trade.side === "buy" ? SIDE_PX : -SIDE_PX) - top);
      if (far <= REACH_PX && (nearest === null || far < nearest.far)) nearest = { id: trade.order_id, far };
    }
    if (nearest !== null) this.onChoose(nearest.id);
  }
}
