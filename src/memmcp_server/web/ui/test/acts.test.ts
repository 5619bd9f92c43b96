import { describe, expect, test } from "vitest";
import { endOf } from "../src/panels/act_follow";
import { told } from "../src/panels/act_kinds";
import { ACTS, consequence } from "../src/panels/acts";
import type { TradingSnapshot } from "../src/wire";
import type { KeyAnswer } from "../src/wire_acts";

const desk = (...worth: number[]): TradingSnapshot => ({
  money: "paper", profile: "foundation",
  positions: worth.map((lamports, at) => ({ mint: `m${at}`, symbol: `T${at}`, value: { lamports, sol: "" } })),
} as unknown as TradingSnapshot);

describe("what an act will do", () => {
  test("is said of the desk as it is now", () => {
    expect(consequence("flatten-and-halt", desk(1_500_000_000, 250_000_000))).toBe(
      "2 positions worth 1.7500 SOL are sold at once, as far as they can be, and the desk halts.");
    expect(consequence("flatten-and-halt", desk())).toBe("Nothing is held; the desk halts.");
    expect(consequence("stop-entries", desk(1_000_000_000))).toContain("1 position worth 1.0000 SOL stay");
    expect(consequence("close", desk(2_000_000_000), "m0", 25)).toBe("25 % of T0, of 2.0000 SOL in all, is sold at once.");
    expect(consequence("close", desk(2_000_000_000), "gone", 25)).toBe("Choose a position.");
    expect(consequence("target", { ...desk(), compounding: { target: { lamports: 20_000_000_000 } } } as never)).toContain("Now: 20.0000 SOL");
    expect(consequence("resume", { ...desk(), money: "real" })).toContain("REAL MONEY");
  });

  test("what trades or adds risk is confirmed by a word, and only what adds risk waits for the state that was seen", () => {
    const typed = ACTS.filter((act) => act.word !== "").map((act) => act.name);
    expect(typed).toEqual(["flatten-and-halt", "resume", "close", "rebalance", "profile", "strategy-on", "promote"]);
    expect(ACTS.filter((act) => act.isBound).map((act) => act.name)).toEqual(["resume", "rebalance", "profile", "strategy-on", "promote"]);
  });
});

describe("what an act came to", () => {
  test.each([["sold.", "Done: sold."], ["sold", "Done: sold."], ["Is it sold?", "Done: Is it sold?"], [" sold. ", "Done: sold."]])("is a sentence that ends once: %s", (effect, said) => {
    expect(told("Done", effect)).toBe(said);
  });

  const answer = (more: Partial<KeyAnswer>): KeyAnswer => ({ is_known: true, status: "done", message: "filled", order_id: "o", legs: [], orders_open: 0, fill: null, ...more });
  test.each([
    [{}, "The end: filled."], [{ order_id: null }, ""], [{ status: "working", orders_open: 2 }, "2 orders are under way."],
    [{ status: "rejected", message: "no pool" }, "The end: rejected: no pool."],
    [{ order_id: null, legs: [{ outcome: "working" as const }], orders_open: 1 }, "1 order is under way."],
    [{ order_id: null, legs: [{ outcome: "filled" as const }] }, "The end: every order is settled."],
  ])("has an end where orders were sent: %j", (more, end) => expect(endOf(answer(more))).toBe(end));
});
