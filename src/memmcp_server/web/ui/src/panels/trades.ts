import { byId, fillRows, h, setText } from "../dom";
import type { Cell } from "../dom";
import { count, decimal, exactSol, NOTHING, percent, plain, shortAddress, signedPercent, sol, words, ZonedTime } from "../format";
import type { Loadable } from "../model";
import type { Trade } from "../wire";
import { costLines, totalCost } from "./costs";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";
import { movement, trend, usdText } from "./trading";

/** The newest trades. Each opens its whole chain, from signal to outcome. */
export class TradesPanel {
  private readonly panel = new Panel("panel-trades");

  draw(trades: Loadable<Trade[]>, solUsd: string | null, time: ZonedTime, around: Surroundings): void {
    const list = this.panel.follow(trades, { waiting: "Loading the trades.", staleReason: around.staleReason });
    if (list === null) return;
    if (list.length === 0 && trades.state === "ready" && around.staleReason === null) this.panel.show("empty", "No trade yet.");
    if (!this.panel.isChanged(list, solUsd, time)) return;
    setText(byId("trades-meta"), list.length > 0 ? `the latest ${count(list.length)}` : "");
    fillRows(byId("trades") as HTMLTableSectionElement, list.map((trade) => tradeRow(trade, solUsd, time)));
  }
}

/** The cells of a trade; it opens its trajectory, or ``address`` where one is given. */
export function tradeRow(trade: Trade, solUsd: string | null, time: ZonedTime, address: string | null = null): Cell[] {
  const token = h(
    "span", { class: "token" },
    h("a", { href: address ?? `/trajectories/${encodeURIComponent(trade.trajectory_id)}`,
      "data-trajectory": address === null ? trade.trajectory_id : undefined, title: `${plain(trade.mint, 64)}\n${plain(trade.reason)}` }, `${trade.side === "buy" ? "Buy" : "Sell"} ${plain(trade.symbol, 24)}`),
    h("span", { class: "sub", dir: "auto" }, plain(trade.reason, 60) || shortAddress(plain(trade.mint, 64))),
  );
  const paid = totalCost(trade.costs);
  return [
    token,
    { text: time.short(trade.ts), title: time.full(trade.ts), sub: words(trade.strategy) },
    { text: `${sol(trade.value.lamports)} SOL`, sub: usdText(trade.value, solUsd), class: "num", title: exactSol(trade.value.lamports) },
    { text: `${decimal(trade.price_sol, 4)} SOL`, sub: `for ${decimal(trade.amount)}`, class: "num", title: plain(trade.price_sol, 100) },
    { text: `${sol(paid)} SOL`, sub: `slippage ${trade.slippage_bps >= 0 ? percent(trade.slippage_bps) : signedPercent(trade.slippage_bps)}`,
      class: "num", title: costLines(trade.costs) },
    trade.realised === null ? { text: NOTHING, sub: "", class: "num" }
      : { text: movement(trade.realised), sub: usdText(trade.realised, solUsd), class: `num ${trend(trade.realised.lamports)}`,
        title: exactSol(trade.realised.lamports) },
  ];
}
