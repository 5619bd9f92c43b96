// Joins the stream, the requests and the panels. Events change the model at once; drawing happens once a frame.

import { Api, ApiError } from "./api";
import { parseDocument } from "./documents";
import { byId, setAttribute, setText } from "./dom";
import { duration, plain, ZonedTime } from "./format";
import { loadHistory } from "./history";
import { Keyboard } from "./keyboard";
import { Login } from "./login";
import { BrowserKeep, LastLook } from "./look";
import { EquityHistory, failed, Heartbeat, LOADING, MemoryFeed, ready, valueOf, WriteRate } from "./model";
import type { Loadable } from "./model";
import { ActsPanel } from "./panels/acts";
import { AgentsPanel } from "./panels/agents";
import { AlertsPanel } from "./panels/alerts";
import { ApprovalsPanel } from "./panels/approvals";
import { BrowserPanel } from "./panels/browser";
import { CandlesPanel } from "./panels/candles";
import { ChartPanel } from "./panels/chart";
import { CompoundingPanel } from "./panels/compounding";
import { DeadLettersPanel } from "./panels/dead";
import { Detail } from "./panels/detail";
import { executionPanels } from "./panels/execution";
import { ExposurePanel } from "./panels/exposure";
import { FunnelPanel } from "./panels/funnel";
import { GatePanel } from "./panels/gate";
import { Header } from "./panels/header";
import { DesksPanel } from "./panels/desks";
import { InsightsPanel } from "./panels/insights";
import { MemoryActs } from "./panels/memory_acts";
import { NightPanel } from "./panels/night";
import type { AskingPanel, Surroundings } from "./panels/panel";
import { ProfilesPanel } from "./panels/profiles";
import { deadLetters, memoryDead, QueuesPanel } from "./panels/queues";
import { PathPanel } from "./panels/path";
import { RangeBar } from "./panels/range_bar";
import { SidecarPanel } from "./panels/sidecar";
import { StrategiesPanel } from "./panels/strategies";
import { StreamPanel } from "./panels/stream";
import { TasksPanel } from "./panels/tasks";
import { TradeDetail } from "./panels/trade_detail";
import { TradeListPanel } from "./panels/trade_list";
import { TradesPanel } from "./panels/trades";
import { rangeName, rangeQuery, timeRange, WINDOW_S } from "./range";
import { VIEWS, Views } from "./views";
import type { ViewId } from "./views";
import { PositionsPanel, TradingPanel } from "./panels/trading";
import { EventStream } from "./stream";
import type { SseEvent, StreamStatus } from "./stream";
import { readMarks } from "./wire_path";
import { isStarting, readAlerts, readMemoryNote, readMetrics, readNight, readResync, readSnapshot, readTrades } from "./wire";
import type { AlertList, Metrics, NightReport, Trade, TradingSnapshot } from "./wire";

const MEMORIES_AT_START = 40;
const TRADES_SHOWN = 40;
const TRADES_EVERY_MS = 3_000;
const RETRY_EVERY_MS = 5_000;
const LOOK_KEY = "memmcp-looked";

export class App {
  private readonly api = new Api();
  private readonly stream: EventStream;
  private status: StreamStatus = { state: "connecting", attempt: 1 };
  private wasOpen = false;
  private isFirstMetrics = true;
  private trading: Loadable<TradingSnapshot> = LOADING;
  private metrics: Loadable<Metrics> = LOADING;
  private alerts: Loadable<AlertList> = LOADING;
  private trades: Loadable<Trade[]> = LOADING;
  private historyLoad: Loadable<true> = LOADING;
  private night: Loadable<NightReport> | null = null;
  private readonly look = new LastLook(new BrowserKeep(LOOK_KEY));
  private history = new EquityHistory(null);
  /** The part of the address that names the time range. */
  private range = rangeQuery(location.search);
  private feed = new MemoryFeed(0);
  private isPositionKnown = false;
  private readonly rate = new WriteRate();
  private readonly heartbeat = new Heartbeat();
  private time = new ZonedTime("UTC");
  private hasBegun = false;
  private isDrawPlanned = false;
  private tradesKey = "";
  private tradesAskedMs = 0;
  private reloadedMs = 0;
  private lastNewsMs = 0;

  private readonly header = new Header();
  private readonly nightPanel = new NightPanel();
  private readonly tradingPanel = new TradingPanel();
  private readonly positionsPanel = new PositionsPanel();
  private readonly compoundingPanel = new CompoundingPanel();
  private readonly gatePanel = new GatePanel();
  private readonly queuesPanel = new QueuesPanel();
  private readonly tradesPanel = new TradesPanel();
  private readonly chartPanel = new ChartPanel();
  private readonly streamPanel = new StreamPanel(() => this.plan());
  private readonly approvalsPanel = new ApprovalsPanel(this.api);
  private readonly tasksPanel = new TasksPanel(this.api);
  private readonly rangeBar = new RangeBar(() => this.takeRange());
  private readonly views = new Views(() => {
    this.takeRange();
    this.plan();
  });
  private readonly login = new Login(this.api, () => {
    this.stream.connect();
    this.actsPanel.drawSent();
  });
  private readonly actsPanel = new ActsPanel(this.api, () => this.login.operator, (why) => this.login.ask(why));
  private readonly redraw = (): void => this.plan();
  private readonly exposurePanel = new ExposurePanel(this.api, this.redraw);
  private readonly funnelPanel = new FunnelPanel(this.api, this.redraw);
  private readonly candlesPanel = new CandlesPanel(this.api, this.redraw);
  private readonly tradeDetail = new TradeDetail(this.api, () => this.time);
  /** Panels that ask for what they show, while somebody looks at their part. */
  private readonly asking: Readonly<Partial<Record<ViewId, readonly AskingPanel[]>>> = {
    desk: [new PathPanel(this.api, this.redraw, () => this.actsPanel.open("target"))],
    trades: [this.candlesPanel, new TradeListPanel(this.api, this.redraw, () => this.candlesPanel.tokens)],
    strategies: [new StrategiesPanel(this.api, this.redraw)],
    insights: [new InsightsPanel(this.api, this.redraw), new ProfilesPanel(this.api, this.redraw)],
    risk: [this.funnelPanel, new DesksPanel(this.api, this.redraw)],
    execution: executionPanels(this.api, this.redraw),
    agents: [new AgentsPanel(this.api, this.redraw), new SidecarPanel(this.api, this.redraw)],
  };
  private readonly deadPanel = new DeadLettersPanel(
    this.api, () => this.login.role === "operator", (why) => this.login.ask(why), this.redraw);
  private readonly browserPanel = new BrowserPanel(this.api, () => this.time);
  private readonly alertsPanel = new AlertsPanel(this.api, () => this.login.ask("This needs an operator."));

  constructor() {
    const isOperator = (): boolean => this.login.role === "operator";
    this.stream = new EventStream({
      url: "/events",
      headers: () => (this.isPositionKnown ? { "Last-Event-ID": String(this.feed.lastSeq) } : {}),
      onEvent: (event) => this.take(event),
      onStatus: (status) => this.onStatus(status),
    });
    new Detail(this.api, () => this.time, new MemoryActs(this.api, () => this.time, isOperator, (why) => this.login.ask(why)));
    new Keyboard([
      ...VIEWS.map((view) => ({ keys: `g ${view.key}`, what: `Go to ${view.title}`, act: () => this.views.go(view.id) })),
      { keys: "/", what: "Search the memory", act: () => {
        this.views.go("memory");
        this.browserPanel.focus();
      } },
      { keys: "k", what: "Stop, reduce, or flatten and halt", act: () => this.actsPanel.open("stop-entries") },
    ]);
  }

  async start(): Promise<void> {
    this.bindControls();
    // Not before: panels ask for what they show, and a daemon that is closed would refuse them all.
    await this.login.begin();
    this.actsPanel.drawSent();
    this.hasBegun = true;
    setInterval(() => this.tick(), 1_000);
    this.draw();
    await this.findPosition();
    this.stream.connect();
  }

  /** Begin the stream a little before the journal's end, so that the page does not start empty. */
  private async findPosition(): Promise<void> {
    try {
      const metrics = readMetrics(await this.api.get("/telemetry/metrics"));
      this.metrics = ready(metrics, Date.now());
      this.beginAt(metrics.journal_seq);
    } catch (error) {
      // The stream will say what is wrong, and goes on trying.
      this.metrics = failed(this.metrics, messageOf(error));
    }
  }

  private beginAt(horizon: number): void {
    this.feed = new MemoryFeed(Math.max(0, horizon - MEMORIES_AT_START));
    this.isPositionKnown = true;
  }

  private bindControls(): void {
    byId("night-seen").addEventListener("click", () => {
      const deskTime = valueOf(this.trading)?.ts;
      if (deskTime !== undefined) this.look.seen(Date.parse(deskTime), Date.now());
      this.night = null;
      this.plan();
    });
    window.addEventListener("online", () => this.stream.connect());
    document.addEventListener("visibilitychange", () => this.plan());
  }

  /** Show the time range that the address names. */
  private takeRange(): void {
    this.rangeBar.draw(location.search);
    const range = rangeQuery(location.search);
    if (range === this.range) return;
    this.range = range;
    this.views.relink();
    void this.reloadHistory();
    void this.reloadMarks();
  }

  private onStatus(status: StreamStatus): void {
    const isNewlyOpen = status.state === "open" && this.status.state !== "open" && this.status.state !== "silent";
    this.status = status;
    if (status.state === "unauthorised") this.login.ask("This daemon shows nothing to who has not logged in.");
    if (isNewlyOpen) {
      this.wasOpen = true;
      this.isFirstMetrics = true;
      void this.reload();
    }
    this.plan();
  }

  private take(event: SseEvent): void {
    this.lastNewsMs = Date.now();
    try {
      const document: unknown = event.data === "" ? null : parseDocument(event.data);
      if (event.type === "trading") this.takeSnapshot(readSnapshot(document));
      else if (event.type === "metrics") this.takeMetrics(readMetrics(document));
      else if (event.type === "alerts") this.alerts = ready(readAlerts(document), Date.now());
      else if (event.type === "memory") {
        if (this.feed.add(readMemoryNote(document))) this.streamPanel.arrived();
      } else if (event.type === "resync") {
        // Too far behind to be told everything: name the gap, and ask once more for the end of what was missed.
        this.feed.resync(readResync(document), MEMORIES_AT_START);
        this.stream.connect();
      }
    } catch (error) {
      this.showBanner(`An event of type "${plain(event.type, 40)}" cannot be read: ${messageOf(error)}`);
    }
    this.plan();
  }

  private takeSnapshot(snapshot: TradingSnapshot): void {
    const nowMs = Date.now();
    this.trading = ready(snapshot, nowMs);
    this.heartbeat.beat(nowMs);
    if (snapshot.zone !== this.time.zone) this.time = new ZonedTime(snapshot.zone);
    // A range that has ended gets no newer points.
    const isOpen = timeRange(location.search, nowMs).untilMs === null;
    if (isOpen && this.historyLoad.state === "ready" && this.history.add(snapshot) === "restarted") void this.reloadHistory();
    this.followTrades(snapshot, nowMs);
    const sinceMs = isStarting(snapshot) ? null : this.look.look(Date.parse(snapshot.ts), nowMs, !document.hidden);
    if (sinceMs !== null) void this.loadNight(sinceMs);
  }

  private async loadNight(sinceMs: number): Promise<void> {
    this.night = LOADING;
    let found: Loadable<NightReport>;
    try {
      found = ready(readNight(await this.api.get(`/night?since=${encodeURIComponent(new Date(sinceMs).toISOString())}`)), Date.now());
    } catch (error) {
      found = failed(LOADING, messageOf(error));
    }
    // Whoever said "seen" while it was asked for does not want it back.
    if (this.night !== null) this.night = found;
    this.plan();
  }

  private takeMetrics(metrics: Metrics): void {
    this.metrics = ready(metrics, Date.now());
    this.rate.add(metrics);
    // Only the first figures after a connect come in order with the memories; later ones may lag behind them.
    if (this.isFirstMetrics && metrics.journal_seq < this.feed.lastSeq) this.feed.restart(metrics.journal_seq);
    this.isFirstMetrics = false;
    if (!this.isPositionKnown) {
      this.beginAt(metrics.journal_seq);
      this.stream.connect();
    }
  }

  /** The stream is silent about a desk that is off or starting; the first request says why, and then the others wait. */
  private async reload(): Promise<void> {
    this.reloadedMs = Date.now();
    await Promise.all([this.reloadAlerts(), this.reloadTrading()]);
    if (this.trading.state === "failed") {
      this.historyLoad = failed(this.historyLoad, this.trading.message);
      this.trades = failed(this.trades, this.trading.message);
    } else await Promise.all([this.reloadHistory(), this.reloadTrades()]);
    this.plan();
  }

  /** The stream tells of alerts from its start on; this says why where the daemon has none. */
  private async reloadAlerts(): Promise<void> {
    try {
      this.alerts = ready(readAlerts(await this.api.get("/alerts")), Date.now());
    } catch (error) {
      this.alerts = failed(this.alerts, messageOf(error));
    }
    this.plan();
  }

  private async reloadTrading(): Promise<void> {
    try {
      const snapshot = readSnapshot(await this.api.get("/telemetry/trading"));
      if (this.trading.state !== "ready") this.takeSnapshot(snapshot);
    } catch (error) {
      if (this.trading.state !== "ready" || isRefusal(error)) this.trading = failed(this.trading, messageOf(error));
    }
    this.plan();
  }

  private async reloadHistory(): Promise<void> {
    const range = this.range;
    const newest = valueOf(this.trading)?.ts;
    try {
      const name = rangeName(location.search);
      const within = timeRange(location.search, 0);
      const series = await loadHistory(this.api, name === "custom" ? within : name, newest === undefined ? null : Date.parse(newest));
      if (range !== this.range) return;
      const windowS = name === "custom" ? null : WINDOW_S[name];
      this.history = new EquityHistory(windowS === null ? null : windowS * 1_000);
      this.history.load(series);
      const live = valueOf(this.trading);
      const isOpen = name !== "custom" || within.untilMs === null;
      if (isOpen && live !== null && (this.history.newestMs ?? 0) < Date.parse(live.ts)) this.history.add(live);
      this.historyLoad = ready(true, Date.now());
    } catch (error) {
      this.historyLoad = failed(this.historyLoad, messageOf(error));
    }
    this.plan();
  }

  /** What is marked on the curve is an addition to it: without an answer the marks stay as they are. */
  private async reloadMarks(): Promise<void> {
    const { range } = this;
    const newest = valueOf(this.trading)?.ts;
    if (newest === undefined) return;
    const { sinceMs, untilMs } = timeRange(location.search, Date.parse(newest));
    const query = new URLSearchParams();
    if (sinceMs !== null) query.set("since", new Date(sinceMs).toISOString());
    if (untilMs !== null) query.set("until", new Date(untilMs).toISOString());
    try {
      const found = readMarks(await this.api.get(`/telemetry/trading/marks?${query.toString()}`));
      if (range === this.range) this.chartPanel.mark(found);
    } catch (error) {
      if (range === this.range) this.chartPanel.unmarked(messageOf(error));
    }
  }

  private async reloadTrades(): Promise<void> {
    this.tradesAskedMs = Date.now();
    void this.reloadMarks();
    try {
      this.trades = ready(readTrades(await this.api.get(`/telemetry/trading/trades?limit=${TRADES_SHOWN}`)), Date.now());
    } catch (error) {
      this.trades = failed(this.trades, messageOf(error));
    }
    this.plan();
  }

  private tick(): void {
    const nowMs = Date.now();
    if (this.status.state === "open" && this.trading.state === "ready") {
      const isMissing = this.historyLoad.state === "failed" || this.trades.state === "failed";
      if (isMissing && nowMs - this.reloadedMs >= RETRY_EVERY_MS) void this.reload();
      this.followTrades(this.trading.value, nowMs);
    }
    this.approvalsPanel.follow(nowMs, this.time);
    this.tasksPanel.follow(nowMs, this.time);
    if (document.hidden) this.draw(); // frames stand still in a hidden tab; its title should not
    else this.plan();
  }

  /** Ask for the trades again when their number or the positions changed, not too often. */
  private followTrades(snapshot: TradingSnapshot, nowMs: number): void {
    const key = `${snapshot.trades_total}:${snapshot.net_deposits.lamports}:${snapshot.positions.map((position) => position.trajectory_id).join()}`;
    if (key === this.tradesKey || nowMs - this.tradesAskedMs < TRADES_EVERY_MS) return;
    this.tradesKey = key;
    void this.reloadTrades();
  }

  private plan(): void {
    if (!this.hasBegun || this.isDrawPlanned) return;
    this.isDrawPlanned = true;
    requestAnimationFrame(() => {
      this.isDrawPlanned = false;
      try {
        this.draw();
      } catch (error) {
        // What comes after it stands still, and must not pass for the present.
        this.showBanner(`This page cannot draw everything: ${messageOf(error)}`);
        throw error;
      }
    });
  }

  private draw(): void {
    const nowMs = Date.now();
    const snapshot = valueOf(this.trading);
    const receivedMs = this.trading.state === "ready" ? this.trading.atMs : nowMs;
    const deskMs = snapshot === null ? nowMs : Date.parse(snapshot.ts);
    const around: Surroundings = { nowMs, staleReason: this.connectionTrouble(nowMs), deskMs };
    const desk: Surroundings = { nowMs, staleReason: around.staleReason ?? this.deskTrouble(snapshot, nowMs) };
    setAttribute(document.body, "data-live", around.staleReason === null ? "yes" : "no");
    this.header.drawSnapshot(snapshot, receivedMs, nowMs);
    this.header.drawConnection(this.status, nowMs);
    this.header.drawClock(nowMs, this.time);
    this.actsPanel.draw(snapshot);
    this.tradeDetail.follow();
    this.views.mark("agents", this.tasksPanel.overdue, "tasks wait for you");
    this.views.mark("system", deadLetters(valueOf(this.metrics), snapshot), "dead letters");
    if (this.views.isShown("desk")) this.drawDesk(snapshot, desk, around);
    for (const panel of this.asking[this.views.current] ?? []) panel.draw(nowMs, this.time, around);
    if (this.views.isShown("memory")) this.browserPanel.follow();
    if (this.views.isShown("risk")) {
      this.gatePanel.draw(this.trading, this.funnelPanel.denied, this.time, desk);
      this.exposurePanel.draw(nowMs, desk);
    }
    if (this.views.isShown("system")) {
      this.queuesPanel.draw(this.metrics, this.trading, this.rate, around);
      this.deadPanel.draw(memoryDead(valueOf(this.metrics)), nowMs);
    }
  }

  private drawDesk(snapshot: TradingSnapshot | null, desk: Surroundings, around: Surroundings): void {
    this.nightPanel.draw(this.night, this.time, around);
    this.alertsPanel.draw(this.alerts, this.time, around);
    this.tradingPanel.draw(this.trading, this.time, desk);
    this.positionsPanel.draw(this.trading, this.time, desk);
    this.compoundingPanel.draw(this.trading, desk);
    this.chartPanel.draw(this.history, this.historyLoad, this.time, around);
    this.tradesPanel.draw(this.trades, snapshot?.sol_usd ?? null, this.time, around);
    this.streamPanel.draw(this.feed, this.wasOpen, this.time, around);
  }

  private connectionTrouble(nowMs: number): string | null {
    if (this.status.state === "open" || (!this.wasOpen && this.status.state === "connecting")) return null;
    if (!this.wasOpen) return "The daemon cannot be reached yet; trying again.";
    if (this.status.state === "silent") return `No news for ${duration(this.status.silentForS)}.`;
    return `Not live: last news ${duration((nowMs - this.lastNewsMs) / 1_000)} ago.`;
  }

  private deskTrouble(snapshot: TradingSnapshot | null, nowMs: number): string | null {
    if (snapshot === null) return null;
    if (snapshot.feed.stale) return "The feed is stale: these figures rest on old prices.";
    const lateMs = this.heartbeat.lateByMs(nowMs);
    return lateMs === null ? null : `The desk is late: no snapshot for ${duration(lateMs / 1_000)}.`;
  }

  private showBanner(text: string): void {
    setText(byId("banner"), text);
    setAttribute(byId("banner"), "hidden", null);
  }
}

function messageOf(error: unknown): string {
  return plain(error instanceof Error ? error.message : String(error), 300);
}

/** The server itself says that there is no desk, in contrast to a request that failed on the way. */
function isRefusal(error: unknown): boolean {
  return error instanceof ApiError && error.status >= 400 && error.status !== 401;
}
