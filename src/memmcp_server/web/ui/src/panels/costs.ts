import { exactSol } from "../format";
import type { Costs } from "../wire";

/** What is gone for good. Account rent is a deposit that comes back when the account is closed, so it is not in it. */
export function totalCost(costs: Costs): number {
  return costs.fee_lamports + costs.impact_lamports + costs.priority_lamports + costs.failed_lamports;
}

/** What was paid on top of the price, line by line. */
export function costLines(costs: Costs): string {
  return [
    `pool fees ${exactSol(costs.fee_lamports)}`, `price impact ${exactSol(costs.impact_lamports)}`,
    `priority fees ${exactSol(costs.priority_lamports)}`, `failed transactions ${exactSol(costs.failed_lamports)}`,
    `account rent ${exactSol(costs.rent_lamports)}, a deposit, not in the sum`,
  ].join("\n");
}
