import { byId, setAttribute, setText } from "../dom";
import { duration, NOTHING, plain, sol, words, ZonedTime } from "../format";
import type { StreamStatus } from "../stream";
import { isStarting } from "../wire";
import type { TradingSnapshot } from "../wire";

const TITLE_EVERY_MS = 1_000;

const MONEY = {
  paper: { word: "PAPER", text: "simulated money" },
  real: { word: "REAL", text: "real money at risk" },
  unknown: { word: NOTHING, text: "no desk yet" },
} as const;

/** Whose money, which feed, which state, and whether this page is live: the questions that come before any figure. */
export class Header {
  private announced = "";
  private title = "";
  private titleKind = "";
  private titledMs = 0;

  drawSnapshot(snapshot: TradingSnapshot | null, receivedMs: number, nowMs: number): void {
    const kind = snapshot?.money ?? "unknown";
    setAttribute(document.body, "data-money", kind);
    setText(byId("money-word"), MONEY[kind].word);
    setText(byId("money-text"), MONEY[kind].text);
    if (snapshot === null) return;
    setText(byId("desk-line"), `${words(snapshot.engine)} desk \u00b7 ${plain(snapshot.desk_id, 64)}`);
    setText(byId("profile"), words(snapshot.profile));
    setText(byId("tier"), words(snapshot.tier));
    this.drawFeed(snapshot, receivedMs, nowMs);
    setText(byId("trading-state"), stateWord(snapshot));
    setText(byId("entries"), snapshot.entries_allowed ? "entries allowed" : "no entries");
    setAttribute(byId("state-chip"), "data-level", level(snapshot));
    setAttribute(byId("state-chip"), "title", plain(snapshot.state_reason));
    this.announce(snapshot);
    this.drawTitle(`${MONEY[kind].word} ${sol(snapshot.equity.lamports)} SOL \u00b7 ${stateWord(snapshot)} \u00b7 memMCP`, snapshot, nowMs);
  }

  /** The title belongs to the browser, and to set it costs more than all of this header: figures in it move once a second. */
  private drawTitle(title: string, snapshot: TradingSnapshot, nowMs: number): void {
    const kind = `${snapshot.money} ${stateWord(snapshot)}`;
    if (title === this.title || (kind === this.titleKind && nowMs - this.titledMs < TITLE_EVERY_MS)) return;
    this.title = title;
    this.titleKind = kind;
    this.titledMs = nowMs;
    document.title = title;
  }

  drawConnection(status: StreamStatus, nowMs: number): void {
    setAttribute(byId("connection"), "data-state", status.state);
    setText(byId("connection-text"), connectionText(status, nowMs));
  }

  drawClock(nowMs: number, time: ZonedTime): void {
    setText(byId("clock"), time.full(nowMs));
    setText(byId("zone"), time.label);
  }

  private drawFeed(snapshot: TradingSnapshot, receivedMs: number, nowMs: number): void {
    const { feed } = snapshot;
    setAttribute(byId("feed-chip"), "data-kind", feed.kind);
    setText(byId("feed-kind"), feed.kind.toUpperCase());
    setText(byId("feed-age"), feedAge(snapshot, receivedMs, nowMs));
    setAttribute(byId("feed-chip"), "data-level", feed.stale ? "bad" : null);
    setAttribute(byId("feed-chip"), "title", plain(feed.detail));
  }

  /** Tell a screen reader what changed in kind; figures that tick stay silent. */
  private announce(snapshot: TradingSnapshot): void {
    const text = `${MONEY[snapshot.money].word}, trading ${stateWord(snapshot).toLowerCase()}${snapshot.feed.stale ? ", feed is stale" : ""}`;
    if (this.announced !== "" && this.announced !== text) setText(byId("announcer"), text);
    this.announced = text;
  }
}

/** The age of the newest event now: as reported, plus the time since the report. */
export function feedAge(snapshot: TradingSnapshot, receivedMs: number, nowMs: number): string {
  const { feed } = snapshot;
  if (feed.age_s === null) return feed.stale ? "STALE, no event yet" : "no event yet";
  const age = duration(feed.age_s + Math.max(0, nowMs - receivedMs) / 1_000);
  return feed.stale ? `STALE, last event ${age} ago` : `${age} old`;
}

/** What the desk may do; before the market's first event that it is starting, unless it may do less than trade. */
function stateWord(snapshot: TradingSnapshot): string {
  return isStarting(snapshot) && snapshot.state === "ACTIVE" ? "STARTING" : snapshot.state;
}

function level(snapshot: TradingSnapshot): string {
  if (snapshot.state === "HALTED") return "bad";
  return snapshot.state === "REDUCING" || !snapshot.entries_allowed ? "warn" : "good";
}

export function connectionText(status: StreamStatus, nowMs: number): string {
  switch (status.state) {
    case "open": return "live";
    case "connecting": return status.attempt > 1 ? `connecting, attempt ${status.attempt}` : "connecting";
    case "silent": return `silent for ${duration(status.silentForS)}`;
    case "waiting": return `offline: ${status.reason.replace(/\.$/, "")}; next try in ${duration((status.retryAtMs - nowMs) / 1_000)}`;
    case "unauthorised": return "token needed";
    case "closed": return "closed";
  }
}
