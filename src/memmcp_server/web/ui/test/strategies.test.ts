import { describe, expect, test } from "vitest";
import { requestOf, wishOf } from "../src/panels/browser";
import { extremes, verdictOf } from "../src/panels/strategies";
import type { Figures, Strategy } from "../src/wire_strategies";

const figures = (trades: number, low: number | null, mean: number | null, high: number | null): Figures =>
  ({ trades, mean_return_bps: mean, low_bps: low, high_bps: high, confidence: "" });

describe("what a cell says", () => {
  test.each([
    ["none", null], ["none", figures(0, null, null, null)], ["open", figures(1, null, 300, null)],
    ["gain", figures(30, 5, 40, 80)], ["loss", figures(30, -80, -40, -5)],
    ["leans-gain", figures(30, -10, 40, 90)], ["leans-loss", figures(30, -90, -40, 10)],
    ["open", figures(9, -10, 400, 900)], ["open", figures(30, -10, 0, 10)], ["gain", figures(3, 5, 40, 80)],
  ] as const)("%s", (said, given) => expect(verdictOf(given)).toBe(said));

  test("best and worst are of those that traded, and only where they differ", () => {
    const of = (name: string, lamports: number, trades = 1): Strategy => ({ name, trades, realised: { lamports, sol: "" } } as Strategy);
    expect(extremes([of("a", 5), of("b", -7), of("c", -90, 0)])).toMatchObject({ best: { name: "a" }, worst: { name: "b" } });
    expect(extremes([of("a", 5)])).toBeNull();
    expect(extremes([of("a", 5), of("b", 5)])).toBeNull();
  });
});

describe("what the address asks of the memory", () => {
  test("only what it names, without blanks", () => {
    expect(wishOf("?view=memory&q=%20bonk%20&kinds=&as_of=2026-11-15&x=1")).toEqual({ q: "bonk", as_of: "2026-11-15" });
    expect(wishOf("")).toEqual({});
  });

  test("a day begins at midnight in UTC, and a time without a zone is of UTC", () => {
    const query = new URLSearchParams(requestOf({ q: "a&b", since: "2026-11-01", until: "2026-11-02T12:00:00", as_of: "2026-11-03T00:00:00+02:00" }, "s1").split("?")[1]);
    expect(Object.fromEntries(query)).toEqual({
      query: "a&b", limit: "20", detail: "full", since: "2026-11-01T00:00:00Z", until: "2026-11-02T12:00:00Z",
      as_of: "2026-11-03T00:00:00+02:00", cursor: "s1",
    });
  });
});
