// What the page reads of trades and prices.

import { check, readTrades } from "./wire";
import type { Amount, Trade } from "./wire";

export interface Totals { trades: number; won: number; lost: number; realised: Amount; fees: Amount }

export interface TradePage { trades: Trade[]; next_cursor: string | null; totals: Totals; money: string }

export interface Candle { ts: string; open: string; high: string; low: string; close: string; volume: string; bars: number }

export interface PricedToken { mint: string; symbol: string; trades: number; is_held: boolean }

export interface CandleSeries {
  mint: string | null; symbol: string | null; interval_s: number; candles: Candle[]; is_cut: boolean; tokens: PricedToken[];
  thinned_until?: string | null;
}

export interface ChainStep { step: string; ts: string; text: string; order_id: string | null; figures: Record<string, unknown> }

export interface Chain { money: string; trajectory_id: string | null; order_id: string | null; chain: ChainStep[] }

export function readTradePage(value: unknown): TradePage {
  const trades = readTrades(value);
  const page = check<TradePage>("trades", value, { totals: "object", money: "string" });
  check("trades: totals", page.totals, { trades: "number", won: "number", lost: "number", realised: "object", fees: "object" });
  check("trades: realised", page.totals.realised, { lamports: "number" });
  check("trades: fees", page.totals.fees, { lamports: "number" });
  return { ...page, trades };
}

export function readCandles(value: unknown): CandleSeries {
  const series = check<CandleSeries>("candles", value, { interval_s: "number", candles: "array", is_cut: "boolean", tokens: "array" });
  for (const each of series.candles) {
    check("candle", each, { ts: "string", open: "string", high: "string", low: "string", close: "string", volume: "string", bars: "number" });
  }
  for (const each of series.tokens) check("candles: token", each, { mint: "string", symbol: "string", trades: "number", is_held: "boolean" });
  return series;
}

export function readChain(value: unknown): Chain {
  const chain = check<Chain>("why", value, { money: "string", chain: "array" });
  for (const each of chain.chain) check("why: step", each, { step: "string", ts: "string", text: "string", figures: "object" });
  return chain;
}
