import { describe, expect, it } from "vitest";
import { allQueues, deadLetters, memoryDead } from "../src/panels/queues";
import type { Metrics, Queue, TradingSnapshot } from "../src/wire";

const queue = (pending: number, dead = 0): Queue => ({ pending, oldest_s: 1, dead, delivered: 5 });
const metrics = (cycle: Record<string, unknown> | null): Metrics => ({ queues: { qdrant: queue(3, 2) }, cycle } as unknown as Metrics);
const snapshot = { queues: { memory: queue(40, 1) } } as unknown as TradingSnapshot;

describe("the queues of memory and desk", () => {
  it("are told by the figures of this second, not by the snapshot of the last cycle", () => {
    const found = allQueues(metrics({ queues: { memory: queue(0) } }), snapshot);
    expect(found.map(([name, each]) => [name, each.pending])).toEqual([["memory \u2192 qdrant", 3], ["desk \u2192 memory", 0]]);
  });

  it("are told by the snapshot where the figures know of no desk", () => {
    expect(allQueues(metrics(null), snapshot).map(([, each]) => each.pending)).toEqual([3, 40]);
    expect(allQueues(metrics({ queues: null }), null)).toHaveLength(1);
  });

  it("count all dead letters, and apart those of the memory, which can be tried again", () => {
    expect(deadLetters(metrics(null), snapshot)).toBe(3);
    expect(memoryDead(metrics({ queues: { memory: queue(0, 7) } }))).toBe(2);
    expect([deadLetters(null, snapshot), memoryDead(null)]).toEqual([0, 0]);
  });
});
