import { describe, expect, test } from "vitest";
import type { Keep } from "../src/look";
import { sentText } from "../src/panels/act_sent";
import { Sent } from "../src/sent";
import type { SentAct } from "../src/sent";

class MemoryKeep implements Keep {
  constructor(public text: string | null = null) {}
  get(): string | null { return this.text; }
  set(value: string): void { this.text = value; }
}

const NOW = 1_000_000_000;
const close = (more: Partial<SentAct> = {}, wish: Record<string, unknown> = {}): Omit<SentAct, "page" | "isDone"> => ({
  key: "k1", act: "close", said: "50 % of BONK", path: "/actions/close", by: "operator", atMs: NOW,
  wish: { mint: "m", percent: 50, reason: "because", ...wish }, ...more,
});

describe("an act that was sent", () => {
  test("is the same act after a reload: the same key, whatever the reason given for it", () => {
    const keep = new MemoryKeep();
    expect(new Sent(keep, "first").begin(close())).toBe("k1");
    const after = new Sent(keep, "second");
    expect(after.of("operator", NOW)).toEqual([{ ...close(), page: "first", isDone: false }]);
    expect(after.begin(close({ key: "k2" }, { reason: "said anew" }))).toBe("k1");
    expect(after.of("operator", NOW)).toHaveLength(1);
  });

  test.each([
    ["another amount", {}, { percent: 51 }], ["another state", {}, { expected_state: "REDUCING" }],
    ["another path", { path: "/actions/resume" }, {}], ["another person", { by: "else" }, {}],
  ])("is another one with %s", (_, more, wish) => {
    const sent = new Sent(new MemoryKeep(), "p");
    sent.begin(close());
    expect(sent.begin(close({ key: "k2", ...more }, wish))).toBe("k2");
  });

  test("is a new one where the first is known to be done, though its order is under way", () => {
    const keep = new MemoryKeep();
    const sent = new Sent(keep, "p");
    sent.begin(close());
    sent.done("k1");
    expect(sent.begin(close({ key: "k2" }))).toBe("k2");
    expect(new Sent(keep, "q").of("operator", NOW).map((each) => [each.key, each.isDone])).toEqual([["k2", false], ["k1", true]]);
    sent.drop("k1");
    sent.drop("k2");
    expect(keep.text).toBe("[]");
  });

  test("is kept for a while, with at most seven others, and of a bearable length", () => {
    const sent = new Sent(new MemoryKeep(), "p");
    for (let at = 0; at < 12; at += 1) sent.begin(close({ key: `k${at}` }, { percent: at + 1 }));
    expect(sent.of("operator", NOW).map((each) => each.key)).toEqual(["k11", "k10", "k9", "k8", "k7", "k6", "k5", "k4"]);
    expect(sent.of("operator", NOW + 13 * 3_600_000)).toEqual([]);
    expect(sent.of("another", NOW)).toEqual([]);
    expect(sent.begin(close({ key: "long" }, { text: "x".repeat(50_000) }))).toBe("long");
    expect(sent.of("operator", NOW).map((each) => each.key)).not.toContain("long");
  });

  test.each([null, "", "{", "{}", "[1]", '[{"key":"k"}]', JSON.stringify([{ ...close(), path: "https://elsewhere/x", page: "p", isDone: false }])])(
    "is not made up from what was kept broken: %s", (text) => {
      expect(new Sent(new MemoryKeep(text), "p").of("operator", NOW)).toEqual([]);
    });

  test("is sent also where the browser keeps nothing", () => {
    const forbidden: Keep = { get: () => null, set: () => undefined };
    expect(new Sent(forbidden, "p").begin(close())).toBe("k1");
  });

  test("is told with when it was sent, and from which page", () => {
    const entry: SentAct = { ...close({ atMs: Date.UTC(2026, 10, 28, 9, 5, 7) }), page: "first", isDone: false };
    expect(sentText(entry, "first")).toBe("This was sent at 09:05:07 UTC: Close a position. 50 % of BONK");
    expect(sentText(entry, "second")).toBe("This was sent before the reload, at 09:05:07 UTC: Close a position. 50 % of BONK");
  });
});
