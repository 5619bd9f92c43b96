import { byId, fillRows, h, setAttribute, setText } from "../dom";
import type { Cell } from "../dom";
import {
  count, decimal, duration, exactSol, lamportsInUsd, percent, plain, shortAddress, signedPercent, signedSol, sol, usd, words, ZonedTime,
} from "../format";
import type { Loadable } from "../model";
import { isStarting } from "../wire";
import type { Amount, Position, TradingSnapshot } from "../wire";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";
import { costLines, totalCost } from "./costs";

/** US dollars of a sum: as the desk says, else at the desk's SOL price, else that the price is not known. */
export function usdText(amount: Amount, solUsd: string | null): string {
  const text = usd(amount.usd ?? lamportsInUsd(amount.lamports, solUsd));
  return text === null ? "USD price unknown" : `${text} USD`;
}

export function trend(value: number): string {
  if (value === 0) return "flat";
  return value > 0 ? "gain" : "loss";
}

const ARROW: Record<string, string> = { gain: "\u25b2", loss: "\u25bc", flat: "" };

/** "▲ +0.0123 SOL": sign, arrow and colour say the same thing three times. */
export function movement(amount: Amount): string {
  const arrow = ARROW[trend(amount.lamports)] ?? "";
  return `${arrow}${arrow ? " " : ""}${signedSol(amount.lamports)} SOL`;
}

/** The tiles: what the desk is worth, what it made, how far it fell, what it cost. */
export class TradingPanel {
  private readonly panel = new Panel("panel-trading");

  draw(trading: Loadable<TradingSnapshot>, time: ZonedTime, around: Surroundings): void {
    const snapshot = this.panel.follow(trading, { waiting: "Waiting for the desk\u2019s first snapshot.", staleReason: around.staleReason });
    if (snapshot === null || !this.panel.isChanged(snapshot, time)) return;
    setText(byId("trading-meta"), isStarting(snapshot) ? "starting" : `cycle ${count(snapshot.cycle)} \u00b7 ${time.full(snapshot.ts)}`);
    this.amount("equity", snapshot.equity, snapshot.sol_usd, false);
    this.amount("cash", snapshot.cash, snapshot.sol_usd, false);
    this.amount("realised", snapshot.realised, snapshot.sol_usd, true);
    this.amount("unrealised", snapshot.unrealised, snapshot.sol_usd, true);
    this.drawRatios(snapshot);
    this.drawFeedLine(snapshot, time);
  }

  private amount(name: string, amount: Amount, solUsd: string | null, isChange: boolean): void {
    const main = byId(`${name}-sol`);
    setText(main, isChange ? movement(amount) : `${sol(amount.lamports)} SOL`);
    setAttribute(main, "title", exactSol(amount.lamports));
    setAttribute(main, "class", isChange ? trend(amount.lamports) : null);
    setText(byId(`${name}-usd`), usdText(amount, solUsd));
  }

  private drawRatios(snapshot: TradingSnapshot): void {
    setText(byId("drawdown"), percent(snapshot.drawdown_bps));
    setAttribute(byId("drawdown"), "class", snapshot.drawdown_bps > 0 ? "loss" : null);
    setText(byId("drawdown-peak"), `from ${sol(snapshot.peak.lamports)} SOL`);
    setText(byId("twr"), signedPercent(snapshot.time_weighted_return_bps));
    setAttribute(byId("twr"), "class", trend(snapshot.time_weighted_return_bps));
    setText(byId("twr-start"), `from ${sol(snapshot.start.lamports)} SOL`);
    setText(byId("activity"), `${count(snapshot.trades_total)} trades`);
    setText(byId("activity-signals"), `from ${count(snapshot.signals_total)} signals`);
    setText(byId("costs"), `${sol(totalCost(snapshot.costs))} SOL`);
    setAttribute(byId("costs"), "title", costLines(snapshot.costs));
    const slippage = snapshot.slippage_bps_mean;
    setText(byId("costs-slippage"), slippage === null ? "no fill yet" : `slippage ${percent(slippage)} mean`);
  }

  private drawFeedLine(snapshot: TradingSnapshot, time: ZonedTime): void {
    const parts = [`Feed: ${plain(snapshot.feed.detail, 240)}`];
    if (snapshot.feed.last_event) parts.push(`last event ${time.full(snapshot.feed.last_event)}`);
    if (snapshot.sol_usd !== null) parts.push(`1 SOL = ${usd(snapshot.sol_usd) ?? plain(snapshot.sol_usd, 24)} USD`);
    if (snapshot.state_reason) parts.push(`${snapshot.state}: ${plain(snapshot.state_reason, 160)}`);
    if (snapshot.next_evaluation) parts.push(`next evaluation ${time.clock(snapshot.next_evaluation)}`);
    setText(byId("feed-line"), parts.join(" \u00b7 "));
  }
}

export class PositionsPanel {
  private readonly panel = new Panel("panel-positions");

  draw(trading: Loadable<TradingSnapshot>, time: ZonedTime, around: Surroundings): void {
    const snapshot = this.panel.follow(trading, { waiting: "Waiting for the desk.", staleReason: around.staleReason });
    if (snapshot === null) return;
    if (snapshot.positions.length === 0 && around.staleReason === null && trading.state === "ready") {
      this.panel.show("empty", "No open position: all equity is cash.");
    }
    if (!this.panel.isChanged(snapshot, time)) return;
    const held = snapshot.equity.lamports - snapshot.cash.lamports;
    const share = snapshot.equity.lamports > 0 ? Math.round((held / snapshot.equity.lamports) * 10_000) : 0;
    setText(byId("positions-meta"), `${snapshot.positions.length} open \u00b7 ${percent(share, 1)} of equity`);
    const rows = snapshot.positions.map((position) => positionRow(position, snapshot, time));
    fillRows(byId("positions") as HTMLTableSectionElement, rows);
  }
}

function positionRow(position: Position, snapshot: TradingSnapshot, time: ZonedTime): Cell[] {
  const solUsd = snapshot.sol_usd;
  const gain = trend(position.unrealised.lamports);
  const token = h(
    "span", { class: "token" },
    h("a", { href: `/trajectories/${encodeURIComponent(position.trajectory_id)}`, "data-trajectory": position.trajectory_id,
      title: `${plain(position.mint, 64)}\nwhy we hold it` }, plain(position.symbol, 24)),
    h("span", { class: "sub" }, shortAddress(plain(position.mint, 64))),
  );
  // By the desk's own clock: in a replay neither time is ours.
  const heldS = (Date.parse(snapshot.ts) - Date.parse(position.opened_at)) / 1_000;
  return [
    token,
    { text: decimal(position.amount), class: "num", title: plain(position.amount, 100) },
    { text: `${sol(position.value.lamports)} SOL`, sub: usdText(position.value, solUsd), class: "num", title: exactSol(position.value.lamports) },
    { text: movement(position.unrealised), sub: `${usdText(position.unrealised, solUsd)} \u00b7 ${signedPercent(position.unrealised_bps)}`,
      class: `num ${gain}`, title: exactSol(position.unrealised.lamports) },
    { text: `${decimal(position.mark_price_sol, 4)} SOL`, sub: `paid ${decimal(position.average_price_sol, 4)} SOL`, class: "num" },
    h("span", { class: "token", title: `bucket ${words(position.bucket)}, opened ${time.full(position.opened_at)}` },
      h("span", {}, words(position.strategy)),
      ...(position.bucket === position.strategy ? [] : [h("span", { class: "sub" }, `bucket ${words(position.bucket)}`)]),
      h("span", { class: "sub" }, time.short(position.opened_at)), h("span", { class: "sub" }, `held ${duration(heldS)}`)),
  ];
}
