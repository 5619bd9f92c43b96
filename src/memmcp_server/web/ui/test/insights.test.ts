import { expect, test } from "vitest";
import { readDesks, totals } from "../src/wire_insights";

test("paper and real money are never one sum, and what no desk says is not counted", () => {
  const desks = readDesks({ desks: [
    { desk_id: "local", ts: "t", stale: false, report: { money: "paper", equity: { lamports: 5 } } },
    { desk_id: "a", ts: "t", stale: true, report: { money: "real", equity_lamports: 7, drawdown_bps: 12 } },
    { desk_id: "b", ts: "t", stale: false, report: { money: "paper", equity_lamports: 6 } },
    { desk_id: "c", ts: "t", stale: false, report: {} },
  ] });
  expect(desks.map((desk) => desk.equity_lamports)).toEqual([5, 7, 6, null]);
  expect(totals(desks)).toEqual([{ money: "paper", lamports: 11, desks: 2 }, { money: "real", lamports: 7, desks: 1 }]);
  expect(() => readDesks({ desks: [{ desk_id: "x" }] })).toThrow("desks: desk");
});
