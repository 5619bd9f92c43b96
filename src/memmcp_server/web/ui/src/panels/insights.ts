// What the machine has learned and what is wrong now, each with what it rests on or what to do; and how much there is of
// desks, nodes and agents.

import type { Api } from "../api";
import { byId, h, setAttribute, setText } from "../dom";
import { count, NOTHING, plain, ZonedTime } from "../format";
import { Poll } from "../poll";
import { readInsights } from "../wire_insights";
import type { Brief, Insights, Totals } from "../wire_insights";
import { outsideText, sumText } from "./desks";
import { briefItem, findingItem } from "./findings";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";

const EVERY_MS = 15_000;
const SUMS_MAX = 4;

export class InsightsPanel {
  private readonly panel = new Panel("panel-insights");
  private readonly totals = new Panel("panel-totals");
  private readonly poll: Poll<Insights>;

  constructor(api: Api, onChange: () => void) {
    this.poll = new Poll(async () => readInsights(await api.get("/insights")), EVERY_MS, onChange);
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    const options = { waiting: "Asking what was learned.", staleReason: around.staleReason };
    this.totals.follow(this.poll.value, { ...options, waiting: "Counting." });
    const insights = this.panel.follow(this.poll.value, options);
    if (insights?.totals === null && this.poll.value.state === "ready") this.totals.show("empty", "Nothing was counted.");
    if (insights === null || !this.panel.isChanged(insights, time)) return;
    const { warnings, findings, lessons, digests } = insights;
    setText(byId("insights-meta"), `${counted(insights.lessons_total, "lesson")}, ${counted(findings.length, "finding")}`);
    setAttribute(byId("insights-quiet"), "hidden", warnings.length === 0 ? null : "");
    byId("insights-warnings").replaceChildren(...warnings.map((warning) => h("li", {}, plain(warning.text, 300), h("span", {}, plain(warning.next, 200)))));
    setText(byId("insights-more"), insights.warnings_left_out > 0 ? `and ${count(insights.warnings_left_out)} more` : "");
    byId("insights-findings").replaceChildren(...(findings.length === 0
      ? [h("li", { class: "quiet" }, `Nothing can be said yet: ${plain(insights.confidence ?? "there is no desk to ask", 200)}.`)] : findings.map(findingItem)));
    fill("insights-lessons", lessons, time, "No lesson was written yet. Agents and reviews of losses write them.");
    fill("insights-digests", digests, time, "No digest yet. The desk writes one at the end of each window.");
    this.drawTotals(insights.totals);
  }

  private drawTotals(totals: Totals | null): void {
    if (totals === null) return;
    const { desks, nodes, agents } = totals;
    setText(byId("totals-meta"), counted((desks.own?.desks ?? 0) + desks.outside.reduce((sum, each) => sum + each.desks, 0), "desk"));
    const rows: [string, string, string][] = [
      ["Our desk", desks.own === null ? "has not reported yet" : sumText(desks.own), desks.own === null ? "" : `${plain(desks.own.money, 20)} money`],
      ["Outside engines", desks.outside.length === 0 ? "none reports" : desks.outside.slice(0, SUMS_MAX).map(outsideText).join("; "),
        desks.outside.length === 0 ? "" : "never added to ours"],
      ["Nodes", nodes === null ? NOTHING : `${count(nodes.working)} of ${count(nodes.nodes)} work`,
        nodes === null ? "no desk to ask" : `transactions: ${count(nodes.success)} done, ${count(nodes.failed)} failed, ${count(nodes.expired)} expired`],
      ["Agents", `${count(agents.connected)} connected, ${count(agents.callers)} have called`, `${counted(agents.calls, "call")} since the daemon began`],
      ["Memories", count(agents.memories), `by ${agents.writers_left_out ? "more than " : ""}${counted(agents.writers, "writer")}`],
    ];
    byId("totals").replaceChildren(...rows.map(([name, value, sub]) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, value, ...(sub === "" ? [] : [h("span", { class: "sub" }, sub)])))));
  }
}

function counted(number: number, what: string): string {
  return `${count(number)} ${what}${number === 1 ? "" : "s"}`;
}

function fill(id: string, briefs: Brief[], time: ZonedTime, none: string): void {
  byId(id).replaceChildren(...(briefs.length === 0 ? [h("li", { class: "quiet" }, none)] : briefs.map((brief) => briefItem(brief, time))));
}
