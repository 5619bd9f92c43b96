import { describe, expect, it } from "vitest";
import { precise } from "../src/format";
import { PagedLog } from "../src/paged";
import { isLate, percentile, trouble } from "../src/panels/nodes";
import { headline } from "../src/panels/profiles";
import { joined, missing } from "../src/panels/running";
import { cameOf, micro } from "../src/panels/sidecar";
import { paid, stateOf } from "../src/panels/transactions";
import { readNodes, readTransactions } from "../src/wire_execution";
import type { Endpoint, EndpointCost, Node, RunningCosts, Transaction } from "../src/wire_execution";
import { readProfileLog, readSidecarLog } from "../src/wire_logs";
import type { ProfileEntry, SidecarEntry } from "../src/wire_logs";

const node = { state: "working", cycle_s: 300, heartbeat_age_s: 12, state_reason: "", not_armed: "", is_reconciled: null } as Node;

describe("a log in pages", () => {
  const pages: Record<string, { entries: number[]; cursor: string | null }> = { "4": { entries: [3, 2], cursor: "2" }, "2": { entries: [1], cursor: null } };
  const log = (max = 100): PagedLog<number> =>
    new PagedLog<number>(String, async (cursor) => pages[cursor] ?? Promise.reject(new Error("no such page")), max);

  it("adds older pages until there are none", async () => {
    const found = log();
    expect(found.take([5, 4], "4")).toEqual({ entries: [5, 4], hasMore: true });
    expect(await found.more()).toBe(true);
    expect(found.view).toEqual({ entries: [5, 4, 3, 2], hasMore: true });
    await found.more();
    expect(found.view).toEqual({ entries: [5, 4, 3, 2, 1], hasMore: false });
    expect(await found.more()).toBe(false);
  });

  it("keeps older pages while the newest one still touches them, and shows nothing twice", async () => {
    const found = log();
    found.take([5, 4], "4");
    await found.more();
    expect(found.take([6, 5], "5").entries).toEqual([6, 5, 4, 3, 2]);
  });

  it("lets older pages go rather than show a log with a hole", async () => {
    const found = log();
    found.take([5, 4], "4");
    await found.more();
    expect(found.take([9, 8], "8")).toEqual({ entries: [9, 8], hasMore: true });
  });

  it("stops at its bound, and says why a page did not come", async () => {
    const found = log(3);
    found.take([5, 4], "4");
    await found.more();
    expect(found.view).toEqual({ entries: [5, 4, 3], hasMore: false });
    const broken = log();
    broken.take([9], "missing");
    await broken.more();
    expect(broken.problem).toBe("no such page");
    expect(broken.view.entries).toEqual([9]);
  });
});

describe("nodes", () => {
  it("says a short time with three digits that count", () => {
    expect([0, 0.00042, 0.0124, 0.21, 1.254, 45, Number.NaN].map(precise)).toEqual(["0 ms", "0.42 ms", "12.4 ms", "210 ms", "1.25 s", "45 s", "\u2013"]);
  });

  it("says of a percentile above all buckets that it is at least the last bound", () => {
    expect([percentile(null, 90), percentile(1.5, 90), percentile(90, 90), percentile(600, null)]).toEqual(["\u2013", "1.50 s", "\u2265 1 min 30 s", "10 min"]);
  });

  it("is late after three cycles, and never where it goes as fast as it can", () => {
    expect([node, { ...node, heartbeat_age_s: 901 }, { ...node, cycle_s: null, heartbeat_age_s: 9e4 }, { ...node, state: "ended", heartbeat_age_s: 9e4 },
      { ...node, cycle_s: 0.1, heartbeat_age_s: 20 }].map(isLate)).toEqual([false, true, false, false, false]);
  });

  it("says why it does not do all of its work", () => {
    expect(trouble(node)).toBe("");
    expect(trouble({ ...node, not_armed: "nothing is armed", is_reconciled: false })).toBe("buys nothing: nothing is armed; the books are not reconciled with the chain yet");
  });
});

describe("transactions", () => {
  it("names its state in words, also one that is not known yet", () => {
    expect(["settled", "simulated_expiry", "needs_review", "some_new_state"].map((state) => stateOf({ state } as Transaction).text))
      .toEqual(["settled", "simulated expiry", "needs review", "some new state"]);
  });

  it("counts fees, tips and failed attempts, and no deposit that comes back", () => {
    expect(paid({ fee_lamports: 5, priority_lamports: 7, failed_lamports: 11, rent_lamports: 2_039_280 } as Transaction)).toBe(23);
  });
});

describe("costs", () => {
  it("sets what an endpoint cost beside what its budget has left", () => {
    const cost = { name: "a", calls: 1 } as EndpointCost;
    const endpoint = { name: "b", budget_left: 3 } as Endpoint;
    expect(joined([cost], [{ ...endpoint, name: "a" }, endpoint]).map((each) => [each.name, each.cost?.calls ?? null, each.endpoint?.budget_left ?? null]))
      .toEqual([["a", 1, 3], ["b", null, 3]]);
  });

  it("names what has no price", () => {
    const running = (unknown: string[]): RunningCosts => ({ net: { unknown } }) as RunningCosts;
    expect(missing(running([]))).toBe("");
    expect(missing(running(["rpc.example.com", "the price of SOL"]))).toContain("Without a price: rpc.example.com, the price of SOL.");
  });
});

describe("logs", () => {
  it("says what came into force in one line", () => {
    const entry = { strategy: null, before: "foundation", after: "acceleration" } as ProfileEntry;
    expect(headline(entry)).toBe("foundation \u2192 acceleration");
    expect(headline({ ...entry, strategy: "momentum", before: "", after: "paper" })).toBe("momentum: paper");
  });

  it("says what an answer did and how it came out", () => {
    const entry = { effect: null, score: null } as SidecarEntry;
    const effect = { scale_bps: 5_000, wait_until: null, weight_bps: 1, reason: "" };
    expect(cameOf(entry)).toBe("");
    expect(cameOf({ ...entry, effect, score: { is_hit: false, realised_bps: -130, brier_ppm: 1 } }))
      .toBe("the entry was 50\u202f% of the desk's own size; wrong: the price moved \u22121.30\u202f%");
    expect(cameOf({ ...entry, effect: { ...effect, scale_bps: 10_000, reason: "it is unproven" } })).toBe("changed nothing: it is unproven");
  });

  it("writes millionths of a dollar as dollars", () => {
    expect([0, 1_240, 1_250_000, -5].map(micro)).toEqual(["0.00 USD", "0.0012 USD", "1.25 USD", "0.00 USD"]);
  });

  it("names the field that does not fit", () => {
    expect(() => readNodes({ nodes: [{}] })).toThrow('node: field "id"');
    expect(() => readTransactions({})).toThrow('transactions: field "transactions"');
    expect(() => readProfileLog({ entries: [{ seq: "1" }] })).toThrow('field "seq" should be number');
    expect(() => readSidecarLog({ entries: [], standing: {} })).toThrow('field "weight_bps_max"');
  });
});
