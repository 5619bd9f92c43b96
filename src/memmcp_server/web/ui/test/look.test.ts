import { describe, expect, test } from "vitest";
import { AWAY_MS, LastLook } from "../src/look";
import type { Keep } from "../src/look";
import { summary } from "../src/panels/night";
import { readNight, UnknownDocument } from "../src/wire";

class Kept implements Keep {
  constructor(public value: string | null = null) {}
  get(): string | null { return this.value; }
  set(value: string): void { this.value = value; }
}

const night = {
  money: "paper", feed: {}, since: "2026-11-22T00:00:00Z", until: "2026-11-22T09:00:00Z", equity_before: { lamports: 2_000_000_000, sol: "2" },
  equity: { lamports: 2_100_000_000, sol: "2.1" }, closed: 3, wins: 2, realised: { lamports: 100_000_000, sol: "0.1" }, trades: [],
  denials: { cooldown_s: 4, positions: 1 }, happenings: [{ ts: "2026-11-22T03:00:00Z", kind: "gap_seen", text: "a gap" }], is_cut: false,
  waiting: [{ id: "desk", what: "the desk is HALTED", evidence: ["drawdown"], answers: ["resume"] }],
};

describe("the last look", () => {
  test("of somebody who was never here tells nothing", () => {
    const keep = new Kept();
    expect(new LastLook(keep).look(1_000, 5_000_000, true)).toBeNull();
    expect(keep.value).toBe("1000 5000000");
  });

  test("of somebody who was away tells from where he left, once, until it was read", () => {
    const keep = new Kept("1000 5000000");
    const look = new LastLook(keep);
    expect(look.look(9_000, 5_000_000 + AWAY_MS, true)).toBe(1_000);
    expect(look.look(9_500, 5_000_100 + AWAY_MS, true)).toBeNull();
    expect(keep.value).toBe("1000 5000000");
    expect(new LastLook(keep).look(9_500, 5_000_100 + AWAY_MS, true)).toBe(1_000);
    look.seen(9_600, 5_000_200 + AWAY_MS);
    expect(look.look(9_700, 5_000_300 + AWAY_MS, true)).toBeNull();
    expect(keep.value).toContain("9600");
  });

  test("of a short pause, or of a replay that ran fast meanwhile, tells nothing", () => {
    expect(new LastLook(new Kept("1000 5000000")).look(90_000_000, 5_000_000 + AWAY_MS - 1, true)).toBeNull();
  });

  test("does not move while nobody sees the page", () => {
    const look = new LastLook(new Kept("1000 5000000"));
    expect(look.look(2_000, 5_000_010 + AWAY_MS, false)).toBeNull();
    expect(look.look(3_000, 5_000_020 + AWAY_MS, true)).toBe(1_000);
  });

  test("that is from another desk's future, or damaged, counts as none", () => {
    expect(new LastLook(new Kept("9000 5000000")).look(2_000, 5_000_000 + AWAY_MS, true)).toBeNull();
    expect(new LastLook(new Kept("nonsense")).look(2_000, 5_000_000 + AWAY_MS, true)).toBeNull();
  });
});

describe("the night", () => {
  test("is summed up in one line", () => {
    expect(summary(readNight(night))).toBe("3 trades finished, 2 with a profit, +0.1000 SOL realised · equity 2.0000 → 2.1000 SOL · 5 denied");
  });

  test("that is none is refused by the field that is wrong", () => {
    expect(() => readNight({ ...night, waiting: [{ id: 1 }] })).toThrow(UnknownDocument);
    expect(() => readNight({ ...night, closed: "3" })).toThrow(/closed/);
  });
});
