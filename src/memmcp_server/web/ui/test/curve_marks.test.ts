import { describe, expect, it } from "vitest";
import { drawnMarks, MARKS_SHOWN, marksText, markText, nearestMark } from "../src/panels/curve_marks";
import { reachText } from "../src/panels/path";
import type { CurveMark } from "../src/wire_path";

const START = Date.UTC(2026, 10, 22);
const mark = (atS: number, kind: CurveMark["kind"] = "buy"): CurveMark => ({
  ts: new Date(START + atS * 1_000).toISOString(), kind, lamports: 50_000_000, mint: "m", symbol: kind === "deposit" ? "" : "BO\u202eNK", trajectory_id: "t",
});

describe("the marks of the curve", () => {
  it("are bounded, and it is said how many of them are drawn", () => {
    const many = { marks: Array.from({ length: 900 }, (_, at) => mark(at)), totals: { buy: 900, sell: 0 }, is_cut: true };
    expect(drawnMarks(many)).toHaveLength(MARKS_SHOWN);
    expect(marksText(many)).toBe("\u25b2 900 buys; 400 of them are drawn; earlier ones are not looked at");
    expect(marksText({ marks: [], totals: {}, is_cut: false })).toBe("");
    expect(marksText({ marks: [mark(1)], totals: { buy: 1 }, is_cut: false })).toBe("\u25b2 1 buy");
  });

  it("are read out in words, without what would turn the line around", () => {
    expect(markText(mark(0))).toBe("\u25b2 buy BO\ufffdNK for 0.0500 SOL");
    expect(markText(mark(0, "deposit"))).toBe("+ deposit of 0.0500 SOL");
  });

  it("are found by the nearest time within reach", () => {
    const marks = [mark(0), mark(100, "sell")];
    expect(nearestMark(marks, START + 70_000, 40_000)?.kind).toBe("sell");
    expect(nearestMark(marks, START + 50_000, 40_000)).toBeNull();
  });
});

it("a goal that nobody reaches in time has no time, and one that all reach says so", () => {
  const reach = { goal: "target", at: { lamports: 20e9, sol: "20" }, chance_bps: 0, days_p5: null, days_p25: null, days_p50: null, days_p75: null, days_p95: null };
  expect(reachText(reach, 90).chance).toMatch(/^not in reach within 90 days in 100.% of the paths$/);
  expect(reachText(reach, 90).time).toBe("time to it: 50 % interval beyond 90 d; 90 % interval beyond 90 d");
  const all = { ...reach, chance_bps: 10_000, days_p5: 2.25, days_p25: 4, days_p50: 9, days_p75: 20, days_p95: 41.4 };
  expect(reachText(all, 90)).toEqual({ goal: "target at 20.00 SOL", chance: "in reach in every path", time: "time to it: 50 % interval 4.0 d to 20 d; 90 % interval 2.3 d to 41 d" });
});
