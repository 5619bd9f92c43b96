// What the desk asked its sidecar, what came of it, and what that took.

import type { Api } from "../api";
import { byId, h, setAttribute, setText } from "../dom";
import { count, percent, plain, precise, signedPercent, usd, words, ZonedTime } from "../format";
import { PagedLog } from "../paged";
import { Poll } from "../poll";
import { readSidecarLog } from "../wire_logs";
import type { SidecarEntry, SidecarPage, SidecarStanding } from "../wire_logs";
import { Panel } from "./panel";
import type { AskingPanel, Surroundings } from "./panel";

const EVERY_MS = 5_000;
const PAGE = 20;
const ROWS_MAX = 200;
const OFF = "The sidecar is off. To switch it on, set TRADING_SIDECAR__URL and TRADING_SIDECAR__MODEL (and __KEY where the server wants one), "
  + "then start the daemon again. Its advice counts as far as the profile lets it.";

export class SidecarPanel implements AskingPanel {
  private readonly panel = new Panel("panel-sidecar");
  private readonly poll: Poll<SidecarPage>;
  private readonly log: PagedLog<SidecarEntry>;

  constructor(api: Api, onChange: () => void) {
    const ask = async (cursor: string): Promise<SidecarPage> =>
      readSidecarLog(await api.get(`/sidecar/log?limit=${PAGE}${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`));
    this.poll = new Poll(() => ask(""), EVERY_MS, onChange);
    this.log = new PagedLog((each) => String(each.seq), async (cursor) => {
      const page = await ask(cursor);
      return { entries: page.entries, cursor: page.next_cursor };
    }, ROWS_MAX);
    byId("sidecar-more").addEventListener("click", () => void this.log.more().then(onChange));
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    const page = this.panel.follow(this.poll.value, { waiting: "Asking what the sidecar said.", staleReason: around.staleReason });
    if (page === null) return;
    const { entries, hasMore } = this.log.take(page.entries, page.next_cursor);
    const asking = page.standing.asking;
    if (this.poll.value.state === "ready" && around.staleReason === null) {
      if (asking === null) this.panel.show("empty", OFF);
      else if (entries.length === 0) this.panel.show("ready", "Nothing was asked yet. The desk asks before an entry and about losses.");
    }
    if (!this.panel.isChanged(page, this.log.view, time, this.log.problem)) return;
    setText(byId("sidecar-meta"), asking === null ? "off" : `${plain(asking.model, 60)} \u00b7 ${rest(asking.breaker, asking.has_failed)}`);
    setAttribute(byId("sidecar-meta"), "data-level", asking !== null && (asking.has_failed || asking.breaker === "open") ? "bad" : null);
    byId("sidecar-standing").replaceChildren(...(asking === null ? [] : standing(page.standing)));
    byId("sidecar").replaceChildren(...entries.map((each) => entryView(each, time)));
    setAttribute(byId("sidecar-more"), "hidden", hasMore ? null : "");
    setText(byId("sidecar-problem"), this.log.problem);
  }
}

function rest(breaker: string, hasFailed: boolean): string {
  if (hasFailed) return "stopped by a mistake of ours; a restart begins it again";
  return breaker === "open" ? "left alone, it failed too often" : breaker === "half_open" ? "tried again" : "asked";
}

function standing(found: SidecarStanding): HTMLElement[] {
  const asking = found.asking;
  if (asking === null) return [];
  const outcomes = Object.entries(asking.outcomes).sort(([, a], [, b]) => b - a).slice(0, 8)
    .map(([name, number]) => `${words(name)} ${count(number)}`).join(", ");
  const pair = (name: string, text: string): HTMLElement => h("div", {}, h("dt", {}, name), h("dd", {}, text));
  return [
    pair("Questions since the start", outcomes || "none"), pair("Waiting", count(asking.waiting)),
    pair("Left for today", `${count(asking.calls_left)} calls, ${count(asking.tokens_left)} tokens, ${micro(asking.micro_usd_left)}`),
    pair("Its advice counts", found.weight_bps_max === 0 ? "not at all in this profile" : `at most ${percent(found.weight_bps_max, 0)}`),
    ...(asking.last_fault === "" ? [] : [pair("Last fault", plain(asking.last_fault, 200))]),
    ...found.records.slice(0, 6).map((each) => pair(`${plain(each.model, 40)} on ${words(each.kind)}`,
      `${each.hit_rate_bps === null ? "no hit rate yet" : `${percent(each.hit_rate_bps, 0)} right`} of ${count(each.count)}, counts ${percent(each.weight_bps, 0)}`)),
  ];
}

/** Millionths of a dollar as dollars. */
export function micro(microUsd: number): string {
  const units = Math.max(0, Math.trunc(microUsd));
  return `${usd(`${Math.floor(units / 1_000_000)}.${String(units % 1_000_000).padStart(6, "0")}`) ?? "0.00"} USD`;
}

/** What an answer did to an entry and how it came out, "" where neither is known. */
export function cameOf(entry: SidecarEntry): string {
  const parts: string[] = [];
  const { effect, score } = entry;
  if (effect !== null) {
    parts.push(effect.wait_until !== null ? "the entry waited for it"
      : effect.scale_bps < 10_000 ? `the entry was ${percent(effect.scale_bps, 0)} of the desk's own size` : `changed nothing: ${plain(effect.reason, 120) || "it agreed"}`);
  }
  if (score !== null) parts.push(`${score.is_hit ? "right" : "wrong"}: the price moved ${signedPercent(score.realised_bps)}`);
  return parts.join("; ");
}

function entryView(entry: SidecarEntry, time: ZonedTime): HTMLElement {
  const took = entry.is_cached ? "answered before, cost nothing"
    : `${precise(entry.latency_ms / 1_000)} \u00b7 ${count(entry.tokens_in)} + ${count(entry.tokens_out)} tokens \u00b7 ${micro(entry.cost_micro_usd)}`;
  const after = cameOf(entry);
  return h("li", {},
    h("p", { class: "stream-meta" },
      h("time", { datetime: entry.ts, title: time.full(entry.ts) }, time.short(entry.ts)),
      h("span", { class: "kind" }, words(entry.kind)),
      h("span", { class: entry.is_answered ? "kind" : "kind warn" }, words(entry.outcome)),
      h("span", { class: "dim" }, [plain(entry.symbol, 24), plain(entry.strategy, 48)].filter((each) => each !== "").join(" \u00b7 ")),
      h("span", { class: "dim" }, took)),
    h("p", { class: "stream-text", dir: "auto" }, plain(entry.question, 400)),
    h("p", { class: "stream-text quiet", dir: "auto" }, entry.is_answered ? plain(entry.text, 600) : plain(entry.detail, 300) || "It gave no answer."),
    ...(after === "" ? [] : [h("p", { class: "sub" }, after)]));
}
