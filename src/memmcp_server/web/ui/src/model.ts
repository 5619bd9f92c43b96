// What the page knows, folded from the stream and a few requests. No drawing here.

import { isStarting } from "./wire";
import type { EquityPoint, EquitySeries, MemoryNote, Metrics, Resync, TradingSnapshot } from "./wire";

/** What a panel has to show: nothing yet, a value, or the reason why there is none. */
export type Loadable<T> =
  | { state: "loading" }
  | { state: "ready"; value: T; atMs: number }
  | { state: "failed"; message: string; last: T | null };

export const LOADING = { state: "loading" } as const;

export function ready<T>(value: T, atMs: number): Loadable<T> {
  return { state: "ready", value, atMs };
}

/** Keep the last value beside the reason, so that a panel can show it as out of date. */
export function failed<T>(previous: Loadable<T>, message: string): Loadable<T> {
  return { state: "failed", message, last: valueOf(previous) };
}

export function valueOf<T>(loadable: Loadable<T>): T | null {
  if (loadable.state === "ready") return loadable.value;
  return loadable.state === "failed" ? loadable.last : null;
}

export type StreamEntry = { kind: "memory"; note: MemoryNote } | { kind: "gap"; gap: Resync };
export type StreamFilter = "all" | "decisions" | "agents";

/** The newest memories, newest first, each once; a gap stands where the server had to skip. */
export class MemoryFeed {
  private entries: StreamEntry[] = [];
  private known = new Set<number>();
  lastSeq: number;

  constructor(startSeq: number, private readonly lengthMax = 200) {
    this.lastSeq = startSeq;
  }

  /** Take one event; false when it was known already (the server replays after a reconnect). */
  add(note: MemoryNote): boolean {
    if (this.known.has(note.seq)) return false;
    this.known.add(note.seq);
    this.entries.unshift({ kind: "memory", note });
    if (note.seq < this.lastSeq) this.sort();
    this.lastSeq = Math.max(this.lastSeq, note.seq);
    this.trim();
    return true;
  }

  /** Note a gap, but for its newest entries: they are asked for again from `lastSeq`. */
  resync(gap: Resync, again: number): void {
    const to = Math.max(this.lastSeq, gap.to - again);
    if (to >= gap.from) this.entries.push({ kind: "gap", gap: { from: gap.from, to } });
    this.lastSeq = to;
    this.sort();
    this.trim();
  }

  /** The journal is another one, or was restored: its numbers start below ours. */
  restart(seq: number): void {
    this.entries = [];
    this.known.clear();
    this.lastSeq = seq;
  }

  list(filter: StreamFilter, lengthMax: number): StreamEntry[] {
    const wanted = filter === "all" ? this.entries : this.entries.filter((entry) => matches(entry, filter));
    return wanted.slice(0, lengthMax);
  }

  private sort(): void {
    this.entries.sort((a, b) => seqOf(b) - seqOf(a));
  }

  private trim(): void {
    for (const entry of this.entries.splice(this.lengthMax)) if (entry.kind === "memory") this.known.delete(entry.note.seq);
  }
}

function seqOf(entry: StreamEntry): number {
  return entry.kind === "memory" ? entry.note.seq : entry.gap.from;
}

function matches(entry: StreamEntry, filter: StreamFilter): boolean {
  if (entry.kind === "gap") return true;
  const isDesk = /^(trading|strategies|memory_bank)(\/|$)/.test(entry.note.namespace);
  return filter === "decisions" ? isDesk : !isDesk;
}

export interface Curve {
  ts: number[]; equity: number[]; drawdown: number[]; solUsd: (string | null)[]; low: number[]; high: number[];
}

/** Its time is read once: a curve has thousands of points, and is drawn several times a second. */
interface TimedPoint extends EquityPoint { atMs: number }

const timed = (point: EquityPoint): TimedPoint => ({ ...point, atMs: Date.parse(point.ts) });

/** Equity over event time: history, then live points, one per bucket; the bucket doubles when there are too many. */
export class EquityHistory {
  private points: TimedPoint[] = [];
  private columns: Curve | null = null;
  private bucketMs = 0;
  /** Grows with every change, so that an unchanged curve is not drawn again. */
  version = 0;

  constructor(private readonly windowMs: number | null, private readonly lengthMax = 6_000) {}

  load(series: EquitySeries): void {
    this.bucketMs = (series.resolution_s ?? 0) * 1_000;
    this.columns = null;
    const live = this.points;
    this.points = series.points.map(timed).sort((a, b) => a.atMs - b.atMs);
    const newest = this.newestMs;
    for (const point of live) if (newest === null || point.atMs > newest) this.points.push(point);
    this.bound();
  }

  /** Take the live snapshot. A time before the newest point means that another run began: the curve starts again. */
  add(snapshot: TradingSnapshot): "added" | "same" | "restarted" {
    if (isStarting(snapshot)) return "same";
    const atMs = Date.parse(snapshot.ts);
    const newest = this.newestMs;
    if (newest !== null && atMs === newest) return "same";
    const isRestart = newest !== null && atMs < newest;
    if (isRestart) {
      this.points = [];
      this.columns = null;
    }
    const last = this.points.at(-1);
    const beforeLast = this.points.at(-2);
    // The newest point of an unfinished bucket is replaced, so that the line's end is always the present.
    if (last && beforeLast && this.bucketMs > 0 && this.bucket(last) === this.bucket(beforeLast)) this.cut(this.points.length - 1, 1);
    this.points.push({
      ts: snapshot.ts, equity_lamports: snapshot.equity.lamports, drawdown_bps: snapshot.drawdown_bps, sol_usd: snapshot.sol_usd, atMs,
    });
    this.append(this.points.length - 1);
    this.bound();
    return isRestart ? "restarted" : "added";
  }

  get newestMs(): number | null {
    return this.points.at(-1)?.atMs ?? null;
  }

  get length(): number {
    return this.points.length;
  }

  /**
   * Columns for drawing: seconds since 1970, SOL, drawdown in percent (zero or below). A point's drawdown is the deepest
   * of its stretch, so that no spike is lost; that of the newest is the present one.
   */
  curve(): Curve {
    if (this.columns === null) {
      this.columns = { ts: [], equity: [], drawdown: [], solUsd: [], low: [], high: [] };
      this.points.forEach((_, at) => this.append(at));
    }
    return this.columns;
  }

  /** The columns grow with the points: to make thousands of them anew would be a good part of a tick. */
  private append(at: number): void {
    const { columns } = this;
    const [before, point] = [this.points[at - 1], this.points[at]];
    if (columns === null || point === undefined) return;
    if (before !== undefined) columns.drawdown[at - 1] = 0 - Math.max(before.drawdown_bps, before.drawdown_bps_max ?? 0) / 100;
    columns.ts.push(point.atMs / 1_000);
    columns.equity.push(point.equity_lamports / 1e9);
    columns.drawdown.push(0 - point.drawdown_bps / 100);
    columns.low.push((point.low_lamports ?? point.equity_lamports) / 1e9);
    columns.high.push((point.high_lamports ?? point.equity_lamports) / 1e9);
    columns.solUsd.push(point.sol_usd ?? null);
  }

  /** Take points away, here and from what is drawn. */
  private cut(from: number, number: number): void {
    this.points.splice(from, number);
    if (this.columns !== null) for (const column of Object.values(this.columns) as unknown[][]) column.splice(from, number);
  }

  private bucket(point: TimedPoint): number {
    return Math.floor(point.atMs / this.bucketMs);
  }

  private bound(): void {
    this.version += 1;
    const newest = this.newestMs;
    if (newest !== null && this.windowMs !== null) {
      const from = newest - this.windowMs;
      const first = this.points.findIndex((point) => point.atMs >= from);
      if (first > 0) this.cut(0, first);
    }
    while (this.points.length > this.lengthMax) this.coarsen();
  }

  private coarsen(): void {
    this.columns = null;
    const first = this.points[0];
    const spanMs = first && this.newestMs !== null ? this.newestMs - first.atMs : 0;
    this.bucketMs = Math.max(this.bucketMs * 2, Math.ceil(spanMs / (this.lengthMax / 2)), 1);
    this.points = this.points.filter((point, at) => {
      const next = this.points[at + 1];
      return at === 0 || next === undefined || this.bucket(next) !== this.bucket(point);
    });
  }
}

/** Journal entries per second over the last minute, from the once-a-second metrics. */
export class WriteRate {
  private samples: { atMs: number; seq: number }[] = [];

  constructor(private readonly windowMs = 60_000) {}

  add(metrics: Metrics): void {
    const atMs = Date.parse(metrics.ts);
    const last = this.samples.at(-1);
    if (last && (metrics.journal_seq < last.seq || atMs < last.atMs)) this.samples = [];
    if (last && atMs === last.atMs) return;
    this.samples.push({ atMs, seq: metrics.journal_seq });
    while (this.samples.length > 2 && atMs - (this.samples[0]?.atMs ?? atMs) > this.windowMs) this.samples.shift();
  }

  /** Entries per second, null before there are two samples. */
  perSecond(): number | null {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (!first || !last || last.atMs <= first.atMs) return null;
    return ((last.seq - first.seq) * 1_000) / (last.atMs - first.atMs);
  }

  steps(): number[] {
    return this.samples.slice(1).map((sample, at) => sample.seq - (this.samples[at]?.seq ?? sample.seq));
  }
}

/** Knows when snapshots come too late: three times the longest of the recent intervals, never under a minute. */
export class Heartbeat {
  private beats: number[] = [];

  constructor(private readonly lateAfterMs = 60_000, private readonly firstLateAfterMs = 900_000) {}

  beat(nowMs: number): void {
    this.beats.push(nowMs);
    if (this.beats.length > 10) this.beats.shift();
  }

  lateByMs(nowMs: number): number | null {
    const last = this.beats.at(-1);
    if (last === undefined) return null;
    const intervals = this.beats.slice(1).map((beat, at) => beat - (this.beats[at] ?? beat));
    const allowed = intervals.length === 0 ? this.firstLateAfterMs : Math.max(this.lateAfterMs, 3 * Math.max(...intervals));
    return nowMs - last > allowed ? nowMs - last : null;
  }
}
