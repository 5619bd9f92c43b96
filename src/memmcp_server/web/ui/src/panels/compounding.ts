import { byId, setAttribute, setText, sparkline } from "../dom";
import { exactSol, NOTHING, percent, sol, words } from "../format";
import type { Loadable } from "../model";
import type { Amount, Compounding, TradingSnapshot } from "../wire";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";
import { movement, trend, usdText } from "./trading";

/** Current SOL against the target, the change over a day and a week, and how far the next tier is. */
export class CompoundingPanel {
  private readonly panel = new Panel("panel-compounding");
  private drawn = "";

  draw(trading: Loadable<TradingSnapshot>, around: Surroundings): void {
    const snapshot = this.panel.follow(trading, { waiting: "Waiting for the desk.", staleReason: around.staleReason });
    if (snapshot === null || !this.panel.isChanged(snapshot)) return;
    const view = snapshot.compounding;
    setText(byId("compounding-meta"), `${words(view.tier)} tier`);
    this.sum("current", snapshot.equity, snapshot.sol_usd);
    this.sum("target", view.target, snapshot.sol_usd);
    setText(byId("progress-text"), percent(view.progress_bps, 1));
    setAttribute(byId("progress"), "value", String(Math.min(10_000, Math.max(0, view.progress_bps))));
    this.change("change-day", view.change_day, snapshot.sol_usd);
    this.change("change-week", view.change_week, snapshot.sol_usd);
    setText(byId("next-tier"), nextTier(view, snapshot.equity.lamports));
    this.drawSparkline(view.sparkline);
  }

  private sum(name: string, amount: Amount, solUsd: string | null): void {
    setText(byId(`${name}-sol`), `${sol(amount.lamports)} SOL`);
    setAttribute(byId(`${name}-sol`), "title", exactSol(amount.lamports));
    setText(byId(`${name}-usd`), usdText(amount, solUsd));
  }

  private change(id: string, amount: Amount | null | undefined, solUsd: string | null): void {
    const element = byId(id);
    setText(element, amount ? `${movement(amount)} \u00b7 ${usdText(amount, solUsd)}` : "not long enough yet");
    setAttribute(element, "class", amount ? trend(amount.lamports) : "quiet");
  }

  private drawSparkline(values: number[]): void {
    const key = values.join();
    if (key === this.drawn) return;
    this.drawn = key;
    const first = values[0];
    const last = values.at(-1);
    const label = first === undefined || last === undefined || values.length < 2
      ? "Equity over time: not enough values yet"
      : `Equity over the last ${values.length} marks: from ${sol(first)} to ${sol(last)} SOL, ` +
        `lowest ${sol(Math.min(...values))}, highest ${sol(Math.max(...values))}`;
    byId("sparkline").replaceChildren(sparkline(values, label));
  }
}

export function nextTier(view: Compounding, equityLamports: number): string {
  if (view.next_tier === null || view.next_tier_at === null) return NOTHING;
  const missing = view.next_tier_at.lamports - equityLamports;
  const at = `${words(view.next_tier)} at ${sol(view.next_tier_at.lamports, 0)} SOL`;
  return missing > 0 ? `${at}, ${sol(missing, 2)} SOL to go` : `${at}, reached`;
}
