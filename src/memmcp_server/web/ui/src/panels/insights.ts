// What the machine has learned and what is wrong now, each with what it rests on or what to do.

import type { Api } from "../api";
import { byId, fillRows, h, setAttribute, setText } from "../dom";
import { count, NOTHING, percent, plain, sol, words, ZonedTime } from "../format";
import { Poll } from "../poll";
import { readDesks, readInsights, totals } from "../wire_insights";
import type { Brief, Desk, Insights } from "../wire_insights";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";

const EVERY_MS = 15_000;

export class InsightsPanel {
  private readonly panel = new Panel("panel-insights");
  private readonly poll: Poll<Insights>;

  constructor(api: Api, onChange: () => void) {
    this.poll = new Poll(async () => readInsights(await api.get("/insights")), EVERY_MS, onChange);
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    const insights = this.panel.follow(this.poll.value, { waiting: "Asking what was learned.", staleReason: around.staleReason });
    if (insights === null || !this.panel.isChanged(insights, time)) return;
    const { warnings, lessons, digests } = insights;
    setText(byId("insights-meta"), `${count(insights.lessons_total)} ${insights.lessons_total === 1 ? "lesson" : "lessons"}`);
    setAttribute(byId("insights-quiet"), "hidden", warnings.length === 0 ? null : "");
    byId("insights-warnings").replaceChildren(...warnings.map((warning) => h("li", {}, plain(warning.text, 300), h("span", {}, plain(warning.next, 200)))));
    setText(byId("insights-more"), insights.warnings_left_out > 0 ? `and ${count(insights.warnings_left_out)} more` : "");
    fill("insights-lessons", lessons, time, "No lesson was written yet. Agents and reviews of losses write them.");
    fill("insights-digests", digests, time, "No digest yet. The desk writes one at the end of each window.");
  }
}

function fill(id: string, briefs: Brief[], time: ZonedTime, none: string): void {
  byId(id).replaceChildren(...(briefs.length === 0 ? [h("li", { class: "quiet" }, none)] : briefs.map((brief) => h("li", {},
    h("p", { class: "stream-meta" },
      h("time", { datetime: brief.ts, title: time.full(brief.ts) }, time.short(brief.ts)),
      h("span", { class: "kind" }, words(brief.kind)),
      h("span", { class: "dim" }, `${plain(brief.namespace, 64)} \u00b7 ${plain(brief.agent, 40) || "unnamed agent"}`),
      ...(brief.stale && brief.stale.length > 0 ? [h("span", { class: "kind", title: plain(brief.stale.join("; "), 400) }, "stale")] : [])),
    h("p", { class: "stream-text", dir: "auto" }, plain(brief.text, 400)),
    h("p", { class: "stream-links" },
      h("a", { href: `/memory/${encodeURIComponent(brief.id)}`, "data-memory": brief.id }, "open, with its evidence"))))));
}

export class DesksPanel {
  private readonly panel = new Panel("panel-desks");
  private readonly poll: Poll<Desk[]>;

  constructor(api: Api, onChange: () => void) {
    this.poll = new Poll(async () => readDesks(await api.get("/telemetry/desks")), EVERY_MS, onChange);
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    const desks = this.panel.follow(this.poll.value, { waiting: "Asking the desks.", staleReason: around.staleReason });
    if (desks === null) return;
    if (desks.length === 0 && this.poll.value.state === "ready") this.panel.show("empty", "No desk has reported yet.");
    if (!this.panel.isChanged(desks, time)) return;
    setText(byId("desks-meta"), `${count(desks.length)} ${desks.length === 1 ? "desk" : "desks"}`);
    const sums = totals(desks).map((sum) => `${plain(sum.money, 20)} ${sol(sum.lamports)} SOL in ${count(sum.desks)}`);
    setText(byId("desks-total"), sums.length === 0 ? "No desk says its equity." : `Together: ${sums.join(", ")}.`);
    fillRows(byId("desks") as HTMLTableSectionElement, desks.map((desk) => [
      { text: plain(desk.desk_id, 64), sub: `${plain(desk.money, 20)} money` },
      { text: desk.equity_lamports === null ? NOTHING : `${sol(desk.equity_lamports)} SOL`, class: "num" },
      { text: desk.drawdown_bps === null ? NOTHING : percent(desk.drawdown_bps), class: "num" },
      { text: time.short(desk.ts), title: time.full(desk.ts), sub: desk.stale ? "silent since" : "", class: desk.stale ? "num warn" : "num" },
    ]));
  }
}
