// How the desk executes and what running costs: GET /nodes, GET /transactions, GET /costs.

import { check } from "./wire";
import type { Amount, Costs } from "./wire";

export interface Latency {
  name: string; what: string; is_simulated: boolean; count: number;
  p50_s: number | null; p95_s: number | null; p99_s: number | null; bound_s: number | null;
}

export interface Wallet {
  name: string; address: string; state: string; problem: string; role: string; buckets: string[];
  cash: Amount; reserved: Amount | null; reserve: Amount | null; tokens: Amount | null; leased_by: string;
}

export interface Endpoint {
  api: string; name: string; ok: number; failed: Record<string, number>; answered: Latency; budget_left: number | null; away_s: number;
}

export interface Node {
  id: string; role: string; mode: "paper" | "live"; version: string; since: string; state: string; state_reason: string;
  trading_state: string; heartbeat_age_s: number; cycle_s: number | null; not_armed: string; is_reconciled: boolean | null;
  latency: Latency[]; wallets: Wallet[]; endpoints: Endpoint[]; costs: Costs;
  transactions: { success: number; failed: number; expired: number; cancelled: number; under_way: number; needs_review: number };
}

export interface Attempt { number: number; signature: string; state: string; fee_lamports: number; signed_at: string }

export interface Transaction {
  id: string; order_id: string | null; trajectory_id: string | null; kind: string; side: "buy" | "sell" | null; mint: string; symbol: string;
  wallet: string; wallet_address: string; state: string; is_simulated: boolean; ts: string; took_s: number | null; attempts: Attempt[];
  signature: string | null; sol_lamports: number | null; fee_lamports: number; priority_lamports: number; failed_lamports: number;
  rent_lamports: number; slippage_bps: number | null; slippage_against: string; problem: string; reason: string;
}

export interface CostDay {
  day: string; usd: string; is_complete: boolean; calls: number; limited: number; model_tokens: number; model_usd: string;
  realised: Amount | null; on_chain: Amount | null; net: Amount | null;
}

export interface EndpointCost { name: string; calls: number; credits: number; limited: number; failed: number; withheld: number; usd: string | null }

export interface RunningCosts {
  since: string; until: string;
  total: { usd: string; is_complete: boolean; unknown: string[] };
  endpoints: EndpointCost[];
  plans: { name: string; usd_a_month: string; usd: string }[];
  model: { calls: number; tokens: number; usd: string };
  net: { trading: Amount; on_chain: Amount; running: Amount | null; net: Amount | null; is_complete: boolean; unknown: string[] };
}

export interface CostReport { running: RunningCosts | null; days: CostDay[] }

const LATENCY = { name: "string", what: "string", is_simulated: "boolean", count: "number" } as const;
const AMOUNT = { lamports: "number", sol: "string" } as const;

/** Check the nodes. Throws UnknownDocument naming the field. */
export function readNodes(value: unknown): Node[] {
  const { nodes } = check<{ nodes: Node[] }>("nodes", value, { nodes: "array" });
  for (const node of nodes) {
    check("node", node, {
      id: "string", role: "string", mode: "string", version: "string", since: "string", state: "string", state_reason: "string",
      heartbeat_age_s: "number", latency: "array", wallets: "array", endpoints: "array", costs: "object", transactions: "object",
    });
    for (const each of node.latency) check("node: latency", each, LATENCY);
    for (const each of node.wallets) {
      check("node: wallet", each, { name: "string", address: "string", problem: "string", buckets: "array", cash: "object", leased_by: "string" });
      check("node: wallet, cash", each.cash, AMOUNT);
    }
    for (const each of node.endpoints) {
      check("node: endpoint", each, { api: "string", name: "string", ok: "number", failed: "object", answered: "object", away_s: "number" });
    }
  }
  return nodes;
}

export interface TransactionPage { transactions: Transaction[]; next_cursor: string | null }

/** Check transactions. Throws UnknownDocument naming the field. */
export function readTransactions(value: unknown): TransactionPage {
  const page = check<TransactionPage>("transactions", value, { transactions: "array" });
  for (const each of page.transactions) {
    check("transaction", each, {
      id: "string", kind: "string", symbol: "string", wallet: "string", state: "string", is_simulated: "boolean", ts: "string",
      attempts: "array", fee_lamports: "number", priority_lamports: "number", failed_lamports: "number", rent_lamports: "number",
      problem: "string", reason: "string",
    });
  }
  return page;
}

/** Check what running took. Throws UnknownDocument naming the field. */
export function readCosts(value: unknown): CostReport {
  const report = check<CostReport>("costs", value, { days: "array" });
  if (report.running !== null) {
    check("costs: running", report.running, { since: "string", total: "object", endpoints: "array", plans: "array", model: "object", net: "object" });
    check("costs: net, trading", report.running.net.trading, AMOUNT);
    check("costs: net, on chain", report.running.net.on_chain, AMOUNT);
  }
  for (const each of report.days) check("costs: day", each, { day: "string", usd: "string", is_complete: "boolean", calls: "number", limited: "number" });
  return report;
}
