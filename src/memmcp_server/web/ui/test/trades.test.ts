import { describe, expect, it } from "vitest";

import { exportAddress } from "../src/export";
import { citesOf, memoryOf, signatureOf, tradeOf } from "../src/panels/trade_detail";
import { joined, tokenLabel } from "../src/panels/trade_list";
import { candlesText, spokenCandles } from "../src/panels/candles";
import { priceTicks } from "../src/panels/candle_plot";
import { addressed, tradeQuery, tradeWish, wishKey } from "../src/panels/trade_wish";
import { ZonedTime } from "../src/format";
import type { Trade } from "../src/wire";
import { readCandles, readChain, readTradePage } from "../src/wire_trades";

const trade = (order_id: string): Trade => ({ order_id }) as Trade;
const step = (name: string, figures: Record<string, unknown>) => ({ step: name, ts: "2026-11-22T06:00:00+00:00", text: "", order_id: null, figures });

describe("which trades are wanted", () => {
  it("stands in the address, bounded, and an empty filter narrows nothing", () => {
    expect(tradeWish("?view=trades&token=m&side=&strategy=" + "x".repeat(100))).toEqual({ token: "m", strategy: "x".repeat(64) });
    expect(tradeQuery("?token=m&range=1h", 7_200_000)).toEqual({
      mint: "m", strategy: null, side: null, result: null, origin: null, since: "1970-01-01T01:00:00.000Z", until: null,
    });
    expect(addressed("/x", { a: null, b: "1&2" })).toBe("/x?b=1%262");
    expect(addressed("/x", { a: null })).toBe("/x");
  });

  it("is the same question while a window moves on, and while another trade is opened", () => {
    expect(wishKey("?range=1d&trade=a")).toBe(wishKey("?trade=b&range=1d"));
    expect(wishKey("?range=1d")).not.toBe(wishKey("?range=1w"));
  });

  it("goes into the address of a file", () => {
    expect(exportAddress("trades", "csv", { side: "buy", mint: null, strategy: "" })).toBe("/export/trades?format=csv&side=buy");
  });
});

describe("pages of trades", () => {
  it("join without gap or repeat", () => {
    expect(joined([trade("c"), trade("b")], [trade("b"), trade("a")], false)?.map((each) => each.order_id)).toEqual(["c", "b", "a"]);
    expect(joined([trade("z")], [trade("b")], false)).toBeNull();
    expect(joined([trade("z")], [trade("b")], true)?.length).toBe(1);
  });

  it("need totals", () => {
    expect(() => readTradePage({ trades: [], money: "paper" })).toThrow("totals");
  });
});

describe("one trade", () => {
  it("is named by the address", () => {
    expect(tradeOf("?trade=%20ord%20")).toBe("ord");
    expect(tradeOf("?trade=")).toBeNull();
  });

  it("names its transaction only where one landed", () => {
    expect(signatureOf(step("transaction", { source: "sig", fill: {} }))).toBe("sig");
    expect(signatureOf(step("transaction", { source: "expired", rejected: {} }))).toBeNull();
    expect(signatureOf(step("fill", { source: "sig", fill: {} }))).toBeNull();
  });

  it("links the memories it rests on and those it left", () => {
    expect(citesOf(step("signal", { signal: { evidence: { cites: "m1\nm2\n" } } }))).toEqual(["m1", "m2"]);
    expect(citesOf(step("signal", { signal: { evidence: { cites: 3 } } }))).toEqual([]);
    const memories = [{ id: "m", kind: "fill", ts: "2026-11-22T06:00:00Z", content: "" }];
    expect(memoryOf(step("fill", {}), memories)).toBe("m");
    expect(memoryOf(step("order", {}), memories)).toBeNull();
  });

  it("has steps with a time", () => {
    expect(() => readChain({ money: "paper", chain: [{ step: "signal", text: "x", figures: {} }] })).toThrow("ts");
  });
});

describe("candles", () => {
  const candle = (ts: string, open: string, high: string, low: string, close: string) => ({ ts, open, high, low, close, volume: "1", bars: 1 });
  const series = {
    mint: "m", symbol: "BONK", interval_s: 300, is_cut: false, tokens: [],
    candles: [candle("2026-11-22T06:00:00Z", "1", "4", "0.5", "2"), candle("2026-11-22T06:05:00Z", "2", "3", "1", "2.5")],
  };

  it("are told in words", () => {
    expect(spokenCandles(readCandles(series), [{ side: "buy" } as Trade], new ZonedTime("UTC"))).toBe(
      "Price of BONK from 2026-11-22 06:00:00 UTC to 2026-11-22 06:05:00 UTC in 2 candles of 5 min: open 1, high 4, low 0.5, close 2.5 SOL; 1 entries and 0 exits");
    expect(spokenCandles({ ...series, candles: [] }, [], new ZonedTime("UTC"))).toBe("No prices");
  });

  it("say how far back there are none that are finer", () => {
    const hourly = readCandles({ ...series, interval_s: 3_600, is_cut: true, thinned_until: "2026-11-08T06:00:00Z" });
    expect(candlesText(hourly, new ZonedTime("UTC"))).toBe("2 candles of 1 h, the newest of more; no finer before 2026-11-08 06:00:00 UTC");
    expect(candlesText(readCandles({ ...series, thinned_until: null }), new ZonedTime("UTC"))).toBe("2 candles of 5 min");
    expect(candlesText({ ...series, candles: [] }, new ZonedTime("UTC"))).toBe("");
  });

  it("are read whole or not at all", () => {
    expect(() => readCandles({ ...series, candles: [{ ts: "x" }] })).toThrow("open");
  });

  it("have ticks that can be told apart, however small the price", () => {
    expect(priceTicks([1.2e-7, 1.3e-7])).toEqual(["1.20e-7", "1.30e-7"]);
    expect(priceTicks([0.5, 1])).toEqual(["0.5", "1.0"]);
  });

  it("name a token by symbol and mint", () => {
    expect(tokenLabel("DezXAZ8z7PnrnRJj", [{ mint: "DezXAZ8z7PnrnRJj", symbol: "BONK", trades: 1, is_held: true }])).toBe("BONK \u00b7 DezX\u2026nRJj (held)");
    expect(tokenLabel("short", [])).toBe("short");
  });
});
