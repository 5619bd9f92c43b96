import { describe, expect, test } from "vitest";
import { loadHistory } from "../src/history";
import { EquityHistory, failed, Heartbeat, LOADING, MemoryFeed, ready, valueOf, WriteRate } from "../src/model";
import { ticks, timeTicks } from "../src/panels/ticks";
import { readMemoryNote, readMetrics, readSnapshot, UnknownDocument } from "../src/wire";
import type { EquityPoint, MemoryNote, Metrics, TradingSnapshot } from "../src/wire";
import { ZonedTime } from "../src/format";

const note = (seq: number, namespace = "trading"): MemoryNote => ({
  seq, id: `m${seq}`, kind: "note", namespace, agent: "a", content: `text ${seq}`, ts: "2026-11-22T09:00:00Z", trajectory_id: null,
});
const seqs = (feed: MemoryFeed): (number | string)[] =>
  feed.list("all", 100).map((entry) => (entry.kind === "gap" ? `gap ${entry.gap.from}-${entry.gap.to}` : entry.note.seq));

describe("the feed of memories", () => {
  test("keeps the newest first, each once, also when a reconnect replays them", () => {
    const feed = new MemoryFeed(0);
    for (const seq of [1, 2, 3, 2, 3, 4]) feed.add(note(seq));
    expect(seqs(feed)).toEqual([4, 3, 2, 1]);
    expect(feed.lastSeq).toBe(4);
  });

  test("a replayed older memory takes its place in order", () => {
    const feed = new MemoryFeed(0);
    for (const seq of [1, 4, 2]) feed.add(note(seq));
    expect(seqs(feed)).toEqual([4, 2, 1]);
    expect(feed.lastSeq).toBe(4);
  });

  test("a gap is named, and its newest entries are asked for again", () => {
    const feed = new MemoryFeed(0);
    feed.add(note(5));
    feed.resync({ from: 6, to: 2_000 }, 40);
    expect(feed.lastSeq).toBe(1_960);
    feed.add(note(1_961));
    expect(seqs(feed)).toEqual([1_961, "gap 6-1960", 5]);
  });

  test("a gap short enough to be asked for again is none", () => {
    const feed = new MemoryFeed(5);
    feed.resync({ from: 6, to: 30 }, 40);
    expect(seqs(feed)).toEqual([]);
    expect(feed.lastSeq).toBe(5);
  });

  test("is bounded, and forgets what it dropped", () => {
    const feed = new MemoryFeed(0, 3);
    for (let seq = 1; seq <= 6; seq += 1) feed.add(note(seq));
    expect(seqs(feed)).toEqual([6, 5, 4]);
  });

  test("another journal starts it anew", () => {
    const feed = new MemoryFeed(0);
    feed.add(note(50));
    feed.restart(2);
    expect(feed.add(note(3))).toBe(true);
    expect(seqs(feed)).toEqual([3]);
  });

  test("filters tell the desk's memories from those of agents, and keep gaps in sight", () => {
    const feed = new MemoryFeed(0);
    feed.add(note(1, "trading"));
    feed.add(note(2, "team/notes"));
    feed.add(note(3, "strategies/momentum"));
    const list = (filter: "decisions" | "agents"): number[] =>
      feed.list(filter, 10).flatMap((entry) => (entry.kind === "memory" ? [entry.note.seq] : []));
    expect(list("decisions")).toEqual([3, 1]);
    expect(list("agents")).toEqual([2]);
  });
});

const START = Date.parse("2026-11-22T00:00:00Z");
const at = (s: number): string => new Date(START + s * 1_000).toISOString();
const point = (s: number, lamports = 2_000_000_000): EquityPoint => ({ ts: at(s), equity_lamports: lamports, drawdown_bps: 10 });
const live = (s: number, lamports = 2_000_000_000): TradingSnapshot =>
  ({ ts: at(s), equity: { lamports, sol: "2" }, drawdown_bps: 25, sol_usd: "180" }) as unknown as TradingSnapshot;

describe("the equity history", () => {
  test("joins what was loaded with what is live, in order and without doubles", () => {
    const history = new EquityHistory(null);
    history.load({ points: [point(60), point(0)], resolution_s: 60 });
    expect(history.add(live(60))).toBe("same");
    expect(history.add(live(120, 3_000_000_000))).toBe("added");
    expect(history.curve().equity).toEqual([2, 2, 3]);
    expect(history.curve().drawdown).toEqual([-0.1, -0.1, -0.25]);
  });

  test("shows the deepest drawdown of each stretch, and knows the lowest and highest equity between the points", () => {
    const history = new EquityHistory(null);
    const thinned = { ...point(0), low_lamports: 1_000_000_000, high_lamports: 4_000_000_000, drawdown_bps_max: 900 };
    history.load({ points: [thinned, { ...thinned, ts: at(60) }], resolution_s: 60 });
    expect(history.curve().drawdown).toEqual([-9, -0.1]);
    expect(history.curve().low).toEqual([1, 1]);
    expect(history.curve().high).toEqual([4, 4]);
    expect(history.curve().equity).toEqual([2, 2]);
  });

  test("a desk that is starting is no point: its time is no time of the market", () => {
    const history = new EquityHistory(null);
    const starting = { ...live(10_000_000), cycle: 0, feed: { last_event: null } } as unknown as TradingSnapshot;
    expect(history.add(starting)).toBe("same");
    expect(history.length).toBe(0);
    expect(history.add(live(60))).toBe("added");
  });

  test("the newest point is always the present, also within a bucket", () => {
    const history = new EquityHistory(null);
    history.load({ points: [point(0), point(60), point(121)], resolution_s: 60 });
    history.add(live(130, 4_000_000_000));
    history.add(live(140, 5_000_000_000));
    expect(history.curve().ts.map((ts) => ts - START / 1_000)).toEqual([0, 60, 121, 140]);
    expect(history.curve().equity.at(-1)).toBe(5);
  });

  test("a window drops what is older than it", () => {
    const history = new EquityHistory(100_000);
    history.load({ points: [point(0), point(50), point(90)], resolution_s: null });
    history.add(live(140));
    expect(history.curve().ts.map((ts) => ts - START / 1_000)).toEqual([50, 90, 140]);
  });

  test("stays bounded over a long run and keeps its first and last point", () => {
    const history = new EquityHistory(null, 100);
    for (let s = 0; s < 5_000; s += 1) history.add(live(s));
    const { ts } = history.curve();
    expect(ts.length).toBeLessThanOrEqual(100);
    expect(ts.length).toBeGreaterThan(30);
    expect(ts[0]).toBe(START / 1_000);
    expect(ts.at(-1)).toBe(START / 1_000 + 4_999);
    expect([...ts].sort((a, b) => a - b)).toEqual(ts);
  });

  test("five thousand points are all there", () => {
    const history = new EquityHistory(null);
    history.load({ points: Array.from({ length: 5_000 }, (_, at) => point(at * 60)), resolution_s: 60 });
    expect(history.curve().ts.length).toBe(5_000);
  });

  test("columns that grew with the points are those that would be made of them anew", () => {
    for (const [windowMs, lengthMax, resolution_s] of [[null, 6_000, 60], [null, 20, 10], [90_000, 6_000, 10], [null, 6_000, null]] as const) {
      const made = (isLookedAt: boolean): unknown => {
        const history = new EquityHistory(windowMs, lengthMax);
        history.load({ points: [point(0), { ...point(60), drawdown_bps_max: 700 }, { ...point(65), drawdown_bps_max: 900 }], resolution_s });
        for (let s = 66; s < 400; s += 7) {
          if (isLookedAt) history.curve();
          history.add(live(s === 150 ? 20 : s, 2_000_000_000 + s));
        }
        return history.curve();
      };
      expect(made(true)).toEqual(made(false));
    }
  });

  test("a time that runs backwards is another run", () => {
    const history = new EquityHistory(null);
    history.add(live(1_000));
    expect(history.add(live(5))).toBe("restarted");
    expect(history.length).toBe(1);
  });
});

describe("loading the history", () => {
  const api = (points: number): { asked: URLSearchParams[]; get: (path: string) => Promise<unknown> } => {
    const asked: URLSearchParams[] = [];
    return {
      asked,
      get: async (path) => {
        const query = new URLSearchParams(path.split("?")[1]);
        asked.push(query);
        const resolution = Number(query.get("resolution") ?? "1");
        return { points: Array.from({ length: Math.ceil(points / resolution) }, (_, at) => point(at * resolution)) };
      },
    };
  };

  test("a window is asked for once, from the newest event's own time", async () => {
    const server = api(100);
    await loadHistory(server, "1h", START);
    expect(server.asked.map(String)).toEqual([`since=${encodeURIComponent(at(-3_600))}&resolution=5`]);
  });

  test("a young desk is shown in full detail", async () => {
    const server = api(600);
    expect((await loadHistory(server, "all", null)).points.length).toBe(600);
  });

  test("an old desk is asked for no more points than a panel shows", async () => {
    const server = api(86_400 * 90);
    const series = await loadHistory(server, "all", null);
    expect(series.points.length).toBeLessThanOrEqual(801);
    expect(server.asked.length).toBe(2);
  });
});

describe("gauges", () => {
  const metrics = (s: number, seq: number): Metrics => ({ ts: at(s), journal_seq: seq }) as unknown as Metrics;

  test("the rate of entries is per second over the last minute", () => {
    const rate = new WriteRate();
    expect(rate.perSecond()).toBeNull();
    for (let s = 0; s <= 120; s += 1) rate.add(metrics(s, s < 60 ? 0 : (s - 60) * 4));
    expect(rate.perSecond()).toBeCloseTo(4, 1);
  });

  test("the rate starts anew with another journal", () => {
    const rate = new WriteRate();
    rate.add(metrics(0, 1_000));
    rate.add(metrics(1, 3));
    rate.add(metrics(2, 5));
    expect(rate.perSecond()).toBe(2);
  });

  test("a desk that keeps its pace is not late, one that stops is", () => {
    const heartbeat = new Heartbeat();
    expect(heartbeat.lateByMs(1e9)).toBeNull();
    for (let beat = 0; beat < 5; beat += 1) heartbeat.beat(beat * 300_000);
    expect(heartbeat.lateByMs(1_200_000 + 600_000)).toBeNull();
    expect(heartbeat.lateByMs(1_200_000 + 1_000_000)).toBe(1_000_000);
  });

  test("a failure keeps the last value beside its reason", () => {
    expect(valueOf(failed(ready(7, 0), "gone"))).toBe(7);
    expect(valueOf(failed(LOADING, "gone"))).toBeNull();
  });
});

describe("documents", () => {
  test("a wrong document names its field", () => {
    expect(() => readMetrics({ ts: "x" })).toThrow('metrics: field "uptime_s" should be number, got undefined');
    expect(() => readMemoryNote({ ...note(1), seq: "1" })).toThrow('field "seq" should be number, got string');
    expect(() => readSnapshot([])).toThrow(UnknownDocument);
  });
});

describe("ticks of the time axis", () => {
  const utc = new ZonedTime("UTC");

  test("hours carry the date where a day begins", () => {
    const noon = Date.parse("2026-11-22T12:00:00Z") / 1_000;
    expect(timeTicks([noon, noon + 21_600, noon + 43_200], 21_600, utc)).toEqual(["12:00\n11-22", "18:00", "00:00\n11-23"]);
    expect(timeTicks([noon], 86_400, utc)).toEqual(["11-22"]);
  });

  test("amounts show the digits that tell them apart", () => {
    expect(ticks([2, 2.05, 2.1])).toEqual(["2.00", "2.05", "2.10"]);
    expect(ticks([0, 0.025])).toEqual(["0.000", "0.025"]);
    expect(ticks([10, 20])).toEqual(["10", "20"]);
  });
});
