// The price of a token with the desk's entries and exits in it, and why each was made.

import type { Api } from "../api";
import { byId, fillRows, h, setAttribute, setText } from "../dom";
import { ExportLinks } from "../export";
import { count, decimal, duration, plain, words, ZonedTime } from "../format";
import { Poll } from "../poll";
import { addressWith } from "../views";
import type { Trade } from "../wire";
import { readCandles, readChain, readTradePage } from "../wire_trades";
import type { Candle, CandleSeries, PricedToken } from "../wire_trades";
import { CandlePlot } from "./candle_plot";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";
import { tokenLabel } from "./trade_list";
import { addressed, times, tradeWish, wishKey } from "./trade_wish";

const EVERY_MS = 10_000;
const TRADES_MAX = 200;
const ROWS_MAX = 100;
const REASONS = ["situation", "recalled", "advice", "signal", "verdict", "order", "transaction", "rejection"];

interface Shown { series: CandleSeries; trades: Trade[] }

/** How many candles there are, and how far back prices are kept in the large only. */
export function candlesText(series: CandleSeries, time: ZonedTime): string {
  if (series.candles.length === 0) return "";
  const thinned = typeof series.thinned_until === "string" ? `; no finer before ${time.full(series.thinned_until)}` : "";
  return `${count(series.candles.length)} candles of ${duration(series.interval_s)}${series.is_cut ? ", the newest of more" : ""}${thinned}`;
}

/** The candles in words, for who cannot see them. */
export function spokenCandles(series: CandleSeries, trades: readonly Trade[], time: ZonedTime): string {
  const [first, last] = [series.candles[0], series.candles.at(-1)];
  if (first === undefined || last === undefined) return "No prices";
  const high = series.candles.reduce((most, each) => (Number(each.high) > Number(most.high) ? each : most));
  const low = series.candles.reduce((least, each) => (Number(each.low) < Number(least.low) ? each : least));
  const entries = trades.filter((trade) => trade.side === "buy").length;
  return `Price of ${plain(series.symbol ?? "", 24)} from ${time.full(first.ts)} to ${time.full(last.ts)} in ${count(series.candles.length)} candles of ${duration(series.interval_s)}: `
    + `open ${decimal(first.open)}, high ${decimal(high.high)}, low ${decimal(low.low)}, close ${decimal(last.close)} SOL; ${count(entries)} entries and ${count(trades.length - entries)} exits`;
}

export class CandlesPanel {
  private readonly panel = new Panel("panel-candles");
  private readonly links = new ExportLinks(byId("candles-export"), "candles");
  private readonly plot: CandlePlot;
  private poll: Poll<Shown>;
  private key = "";
  private deskMs = Date.now();
  private chosen: Trade | null = null;
  private hovered: Candle | null = null;

  constructor(private readonly api: Api, private readonly onChange: () => void) {
    this.poll = this.polling();
    this.plot = new CandlePlot(byId("candles-chart"), (id) => this.choose(id), (candle) => {
      this.hovered = candle;
      this.drawReadout();
    });
    byId("candles-token").addEventListener("change", () => {
      history.pushState(null, "", addressWith(location.search, "token", (byId("candles-token") as HTMLSelectElement).value || null));
      this.onChange();
    });
  }

  /** The tokens that are held or were traded, as far as they are known. */
  get tokens(): readonly PricedToken[] {
    return this.shown?.series.tokens ?? [];
  }

  private shown: Shown | null = null;

  private query(): Record<string, string | null> {
    return { mint: tradeWish(location.search).token ?? null, ...times(location.search, this.deskMs) };
  }

  private polling(): Poll<Shown> {
    return new Poll(async () => {
      const series = readCandles(await this.api.get(addressed("/candles", this.query())));
      const first = series.candles[0];
      if (series.mint === null || first === undefined) return { series, trades: [] };
      const page = readTradePage(await this.api.get(addressed("/telemetry/trading/trades",
        { ...this.query(), mint: series.mint, since: first.ts, limit: String(TRADES_MAX) })));
      return { series, trades: page.trades };
    }, EVERY_MS, this.onChange);
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.deskMs = around.deskMs ?? nowMs;
    const key = wishKey(location.search);
    if (key !== this.key) {
      this.key = key;
      this.poll = this.polling();
      this.choose(null);
    }
    this.poll.follow(nowMs);
    const shown = this.panel.follow(this.poll.value, { waiting: "Loading the prices.", staleReason: around.staleReason });
    setAttribute(byId("candles-body"), "hidden", shown === null || shown.series.candles.length === 0 ? "" : null);
    if (shown === null) {
      this.links.follow(false);
      this.panel.isChanged(null);
      return;
    }
    this.shown = shown;
    const { series, trades } = shown;
    if (series.candles.length === 0 && this.poll.value.state === "ready" && around.staleReason === null) {
      this.panel.show("empty", series.mint === null ? "Nothing was traded yet, so there is no token to show." : "No prices of this token are known in this range.");
    }
    if (!this.panel.isChanged(shown, time, this.chosen)) return;
    this.drawTokens(series);
    this.links.follow(series.candles.length > 0, { ...this.query(), mint: series.mint, interval: String(series.interval_s) });
    setText(byId("candles-meta"), candlesText(series, time));
    setAttribute(byId("candles-chart"), "aria-label", spokenCandles(series, trades, time));
    this.plot.show(series.candles, trades, series.interval_s, time);
    this.plot.choose(this.chosen?.order_id ?? null);
    this.time = time;
    this.drawReadout();
    this.drawTables(series, trades, time);
  }

  private time = new ZonedTime("UTC");

  private drawTokens(series: CandleSeries): void {
    const select = byId("candles-token") as HTMLSelectElement;
    const names = series.tokens.map((token) => token.mint);
    if (series.mint !== null && !names.includes(series.mint)) names.push(series.mint);
    if ([...select.options].map((option) => option.value).join() !== names.join()) {
      select.replaceChildren(...names.map((name) => h("option", { value: name }, tokenLabel(name, series.tokens))));
    }
    setAttribute(byId("candles-choice"), "hidden", names.length === 0 ? "" : null);
    if (select !== document.activeElement && series.mint !== null) select.value = series.mint;
  }

  private drawReadout(): void {
    const candle = this.hovered ?? this.shown?.series.candles.at(-1);
    if (candle === undefined) return;
    setText(byId("candles-readout"), [this.time.full(candle.ts), `open ${decimal(candle.open)}`, `high ${decimal(candle.high)}`, `low ${decimal(candle.low)}`,
      `close ${decimal(candle.close)} SOL`, `${decimal(candle.volume)} tokens traded`].join(" \u00b7 "));
  }

  private drawTables(series: CandleSeries, trades: readonly Trade[], time: ZonedTime): void {
    setAttribute(byId("candles-none"), "hidden", trades.length > 0 ? "" : null);
    fillRows(byId("candles-trades") as HTMLTableSectionElement, trades.slice(0, ROWS_MAX).map((trade) => {
      const what = trade.side === "buy" ? "\u25b2 Entry" : "\u25bc Exit";
      const button = h("button", { type: "button", class: "plain", "aria-expanded": String(this.chosen?.order_id === trade.order_id),
        "data-order": trade.order_id }, `${what}, why`);
      button.addEventListener("click", () => this.choose(this.chosen?.order_id === trade.order_id ? null : trade.order_id));
      return [button, { text: time.short(trade.ts), title: time.full(trade.ts) }, { text: `${decimal(trade.price_sol, 4)} SOL`, class: "num" },
        { text: decimal(trade.amount), class: "num" }, { text: words(trade.strategy) }];
    }));
    fillRows(byId("candles-rows") as HTMLTableSectionElement, series.candles.slice(-ROWS_MAX).reverse().map((candle) => [
      { text: time.short(candle.ts), title: time.full(candle.ts) },
      ...[candle.open, candle.high, candle.low, candle.close].map((price) => ({ text: decimal(price), class: "num", title: plain(price, 100) })),
      { text: decimal(candle.volume), class: "num" },
    ]));
    setText(byId("candles-rows-note"), series.candles.length > ROWS_MAX ? `The newest ${count(ROWS_MAX)} of ${count(series.candles.length)}; the file holds them all.` : "");
  }

  private choose(orderId: string | null): void {
    const place = byId("candles-why");
    this.chosen = this.shown?.trades.find((trade) => trade.order_id === orderId) ?? null;
    setAttribute(place, "hidden", this.chosen === null ? "" : null);
    if (this.chosen !== null) void this.tell(this.chosen, place);
    this.onChange();
  }

  private async tell(trade: Trade, place: HTMLElement): Promise<void> {
    const title = h("h3", {}, `Why ${trade.side === "buy" ? "it bought" : "it sold"} ${plain(trade.symbol, 24)}`);
    const more = h("p", { class: "stream-links" }, h("a", { href: addressWith(location.search, "trade", trade.order_id) }, "the whole trade"));
    place.replaceChildren(title, h("p", { class: "quiet" }, "Asking why."));
    try {
      const chain = readChain(await this.api.get(addressed("/why", { order_id: trade.order_id })));
      if (this.chosen?.order_id !== trade.order_id) return;
      const steps = chain.chain.filter((step) => REASONS.includes(step.step) && Date.parse(step.ts) <= Date.parse(trade.ts)).slice(-12);
      place.replaceChildren(title, h("p", { class: "stream-text", dir: "auto" }, plain(trade.reason, 400)),
        h("dl", { class: "facts", "aria-label": "Why" }, ...steps.map((step) => h("div", {}, h("dt", {}, words(step.step)), h("dd", { dir: "auto" }, plain(step.text, 600))))), more);
    } catch (error) {
      if (this.chosen?.order_id !== trade.order_id) return;
      place.replaceChildren(title, h("p", { class: "loss", role: "alert" }, plain(error instanceof Error ? error.message : String(error), 300)), more);
    }
  }
}
