// Which trades the address asks for, and what is asked of the server for it.

import { rangeTimes as times } from "../range";

export { times };

export const FILTERS = ["token", "strategy", "side", "result", "origin"] as const;
export type TradeWish = Partial<Record<(typeof FILTERS)[number], string>>;
const ASKED: Readonly<Record<(typeof FILTERS)[number], string>> = {
  token: "mint", strategy: "strategy", side: "side", result: "result", origin: "origin",
};

export function tradeWish(search: string): TradeWish {
  const query = new URLSearchParams(search);
  const wish: TradeWish = {};
  for (const name of FILTERS) {
    const value = query.get(name)?.trim();
    if (value) wish[name] = value.slice(0, 64);
  }
  return wish;
}

/** The query for the trades that an address asks for; ``nowMs`` is the desk's time. */
export function tradeQuery(search: string, nowMs: number): Record<string, string | null> {
  const wish = tradeWish(search);
  const query: Record<string, string | null> = {};
  for (const name of FILTERS) query[ASKED[name]] = wish[name] ?? null;
  return { ...query, ...times(search, nowMs) };
}

/** What an answer is kept for: a window that moves on with the desk is still the same question. */
export function wishKey(search: string): string {
  const query = new URLSearchParams(search);
  return [...FILTERS, "range", "since", "until"].map((name) => query.get(name) ?? "").join("\n");
}

export function addressed(path: string, query: Readonly<Record<string, string | null>>): string {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== null) asked.set(name, value);
  const text = asked.toString();
  return text === "" ? path : `${path}?${text}`;
}
