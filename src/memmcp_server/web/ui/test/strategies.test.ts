import { describe, expect, test } from "vitest";
import { requestOf, wishOf } from "../src/panels/browser";
import { funnelAddress, stages } from "../src/panels/funnel";
import { verdictOf } from "../src/panels/heat";
import { extremes, resultOf } from "../src/panels/strategies";
import type { Result } from "../src/panels/strategies";
import type { Funnel } from "../src/wire_risk";
import type { Figures, Strategy, Told } from "../src/wire_strategies";

const figures = (trades: number, low: number | null, mean: number | null, high: number | null): Figures =>
  ({ trades, mean_return_bps: mean, low_bps: low, high_bps: high, confidence: "" });

describe("what a cell says", () => {
  test.each([
    ["none", null], ["none", figures(0, null, null, null)], ["open", figures(1, null, 300, null)],
    ["gain", figures(30, 5, 40, 80)], ["loss", figures(30, -80, -40, -5)],
    ["leans-gain", figures(30, -10, 40, 90)], ["leans-loss", figures(30, -90, -40, 10)],
    ["open", figures(9, -10, 400, 900)], ["open", figures(30, -10, 0, 10)], ["open", figures(9, 5, 40, 80)], ["gain", figures(10, 5, 40, 80)],
  ] as const)("%s", (said, given) => expect(verdictOf(given)).toBe(said));

  test("best and worst are of those that traded, and only where they differ", () => {
    const of = (name: string, lamports: number, trades = 1): Result => ({ name, trades, wins: 0, realised_lamports: lamports, win_rate_bps: null });
    expect(extremes([of("a", 5), of("b", -7), of("c", -90, 0)])).toMatchObject({ best: { name: "a" }, worst: { name: "b" } });
    expect(extremes([of("a", 5)])).toBeNull();
    expect(extremes([of("a", 5), of("b", 5)])).toBeNull();
  });
});

describe("results of a range", () => {
  const strategy = { name: "a", trades: 1_200, wins: 700, win_rate_bps: 5_833, realised: { lamports: 9, sol: "" } } as Strategy;
  const told = { name: "a", trades: 12, wins: 3, win_rate_bps: 2_500, realised_lamports: -4 } as Told;

  test("are those of the range, and over the whole run those that count what was let go too", () => {
    expect(resultOf(strategy, told, false)).toEqual({ name: "a", trades: 12, wins: 3, win_rate_bps: 2_500, realised_lamports: -4 });
    expect(resultOf(strategy, told, true)).toEqual({ name: "a", trades: 1_200, wins: 700, win_rate_bps: 5_833, realised_lamports: 9 });
    expect(resultOf(strategy, null, false)).toMatchObject({ trades: 0, realised_lamports: 0, win_rate_bps: null });
  });

  test("the funnel's end is in it and the range's is not; the whole run has a beginning", () => {
    expect(funnelAddress({ since: null, until: null })).toBe("/why?since=1970-01-01T00%3A00%3A00Z");
    expect(funnelAddress({ since: "2026-11-01T00:00:00.000Z", until: "2026-11-02T00:00:00.000Z" }))
      .toBe("/why?since=2026-11-01T00%3A00%3A00.000Z&until=2026-11-01T23%3A59%3A59.999Z");
  });

  test("what is seen now is said to be of now beside what happened then", () => {
    const funnel = { seen: 12, eligible: 9, forecast: 6, signalled: 4, sized: 3, approved: 1, filled: 1 } as Funnel;
    expect(stages(funnel, true).map((each) => each.name).slice(0, 3)).toEqual(["tokens seen now", "eligible now", "forecasts"]);
    expect(stages(funnel, false)[0]).toEqual({ name: "tokens seen", count: 12 });
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
