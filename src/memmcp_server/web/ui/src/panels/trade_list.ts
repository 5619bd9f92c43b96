// All trades: filtered by the address, page by page, with what all that match come to.

import type { Api } from "../api";
import { byId, fillRows, h, setAttribute, setText } from "../dom";
import { count, exactSol, plain, sol, ZonedTime } from "../format";
import { ExportLinks } from "../export";
import { Poll } from "../poll";
import { addressWith } from "../views";
import type { Trade } from "../wire";
import { readTradePage } from "../wire_trades";
import type { PricedToken, TradePage } from "../wire_trades";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";
import { addressed, FILTERS, tradeQuery, tradeWish, wishKey } from "./trade_wish";
import { tradeRow } from "./trades";
import { movement, trend } from "./trading";

const EVERY_MS = 5_000;
const PAGE = 50;
const ROWS_MAX = 1_000;

/** The newest page before what was loaded earlier; null where trades may lie between the two, which nobody has seen. */
export function joined(newest: readonly Trade[], earlier: readonly Trade[], isWhole: boolean): Trade[] | null {
  if (isWhole || earlier.length === 0) return [...newest];
  const known = new Set(earlier.map((trade) => trade.order_id));
  if (!newest.some((trade) => known.has(trade.order_id))) return null;
  return [...newest.filter((trade) => !known.has(trade.order_id)), ...earlier].slice(0, ROWS_MAX);
}

export class TradeListPanel {
  private readonly panel = new Panel("panel-trade-list");
  private readonly links = new ExportLinks(byId("trade-list-export"), "trades");
  private poll: Poll<TradePage>;
  private key = "";
  private seen: TradePage | null = null;
  private rows: Trade[] = [];
  private cursor: string | null = null;
  private deskMs = Date.now();
  private isAsking = false;
  private problem = "";

  constructor(private readonly api: Api, private readonly onChange: () => void, private readonly tokens: () => readonly PricedToken[]) {
    this.poll = this.polling();
    byId("trade-list-form").addEventListener("change", () => this.narrow());
    byId("trade-list-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.narrow();
    });
    byId("trade-list-more").addEventListener("click", () => void this.more());
  }

  private polling(): Poll<TradePage> {
    return new Poll(async () => readTradePage(await this.api.get(this.address(null))), EVERY_MS, this.onChange);
  }

  private address(cursor: string | null): string {
    return addressed("/telemetry/trading/trades", { ...tradeQuery(location.search, this.deskMs), limit: String(PAGE), cursor });
  }

  private field(name: string): HTMLInputElement | HTMLSelectElement {
    return byId(`trade-list-${name}`) as HTMLInputElement;
  }

  private narrow(): void {
    let search = location.search;
    for (const name of FILTERS) search = addressWith(search, name, this.field(name).value.trim() || null).slice(1);
    history.pushState(null, "", `/${search}`);
    this.onChange();
  }

  private async more(): Promise<void> {
    if (this.isAsking || this.cursor === null) return;
    this.isAsking = true;
    const key = this.key;
    try {
      const page = readTradePage(await this.api.get(this.address(this.cursor)));
      if (key !== this.key) return;
      const known = new Set(this.rows.map((trade) => trade.order_id));
      this.rows = [...this.rows, ...page.trades.filter((trade) => !known.has(trade.order_id))].slice(0, ROWS_MAX);
      this.cursor = this.rows.length < ROWS_MAX ? page.next_cursor : null;
      this.problem = "";
    } catch (error) {
      this.problem = plain(error instanceof Error ? error.message : String(error), 300);
    } finally {
      this.isAsking = false;
      this.onChange();
    }
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.deskMs = around.deskMs ?? nowMs;
    const key = wishKey(location.search);
    if (key !== this.key) {
      this.key = key;
      this.poll = this.polling();
      [this.seen, this.rows, this.cursor, this.problem] = [null, [], null, ""];
    }
    this.poll.follow(nowMs);
    this.drawForm();
    const page = this.panel.follow(this.poll.value, { waiting: "Loading the trades.", staleReason: around.staleReason });
    if (page === null) {
      fillRows(byId("trade-list") as HTMLTableSectionElement, []);
      for (const id of ["trade-list-meta", "trade-list-totals"]) setText(byId(id), "");
      setAttribute(byId("trade-list-more"), "hidden", "");
      this.links.follow(false);
      this.panel.isChanged(null);
      return;
    }
    if (page !== this.seen) this.take(page);
    if (page.totals.trades === 0 && this.poll.value.state === "ready" && around.staleReason === null) {
      this.panel.show("empty", Object.keys(tradeWish(location.search)).length > 0 ? "No trade matches these filters." : "No trade in this range.");
    }
    if (!this.panel.isChanged(page, this.rows, time, this.problem)) return;
    this.drawTotals(page);
    setText(byId("trade-list-problem"), this.problem);
    setAttribute(byId("trade-list-more"), "hidden", this.cursor === null ? "" : null);
    this.links.follow(page.totals.trades > 0, tradeQuery(location.search, this.deskMs));
    fillRows(byId("trade-list") as HTMLTableSectionElement, this.rows.map((trade) =>
      tradeRow(trade, null, time, addressWith(location.search, "trade", trade.order_id))));
  }

  private take(page: TradePage): void {
    const isWhole = this.seen === null || page.next_cursor === null;
    const rows = joined(page.trades, this.rows, isWhole);
    if (rows === null || isWhole) this.cursor = page.next_cursor;
    this.rows = rows ?? [...page.trades];
    this.seen = page;
  }

  private drawTotals(page: TradePage): void {
    const { totals } = page;
    setText(byId("trade-list-meta"), totals.trades === 0 ? "" : `${count(this.rows.length)} of ${count(totals.trades)} shown, ${plain(page.money, 12)} money`);
    const sales = totals.won + totals.lost;
    byId("trade-list-totals").replaceChildren(...(totals.trades === 0 ? [] : [
      `All that match: ${count(totals.trades)} trades, ${count(totals.won)} of ${count(sales)} sales won, realised `,
      h("b", { class: trend(totals.realised.lamports), title: exactSol(totals.realised.lamports) }, movement(totals.realised)),
      `, fees `, h("b", { title: exactSol(totals.fees.lamports) }, `${sol(totals.fees.lamports)} SOL`),
    ]));
  }

  private drawForm(): void {
    const wish = tradeWish(location.search);
    const select = this.field("token");
    const tokens = this.tokens();
    const names = ["", ...tokens.map((token) => token.mint)];
    if (wish.token !== undefined && !names.includes(wish.token)) names.push(wish.token);
    const options = [...(select as HTMLSelectElement).options];
    if (options.length !== names.length || options.some((option, at) => option.value !== names[at])) {
      select.replaceChildren(...names.map((name) => h("option", { value: name }, name === "" ? "All" : tokenLabel(name, tokens))));
    }
    for (const name of FILTERS) {
      const field = this.field(name);
      if (field !== document.activeElement && field.value !== (wish[name] ?? "")) field.value = wish[name] ?? "";
    }
  }
}

/** A token's symbol, with the ends of its mint: two tokens may carry one symbol. */
export function tokenLabel(mint: string, tokens: readonly PricedToken[]): string {
  const token = tokens.find((each) => each.mint === mint);
  const clean = plain(mint, 64);
  const short = clean.length > 12 ? `${clean.slice(0, 4)}\u2026${clean.slice(-4)}` : clean;
  return token === undefined ? short : `${plain(token.symbol, 24)} \u00b7 ${short}${token.is_held ? " (held)" : ""}`;
}
