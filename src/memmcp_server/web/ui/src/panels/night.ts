import { byId, h, setAttribute, setText } from "../dom";
import { count, plain, signedSol, sol, words, ZonedTime } from "../format";
import type { Loadable } from "../model";
import type { NightReport } from "../wire";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";

const LINES_MAX = 40;

/** What happened while nobody looked: results, what changed the desk, and what waits for an answer. */
export class NightPanel {
  private readonly panel = new Panel("panel-night");

  /** ``night`` null: nothing is to be told. */
  draw(night: Loadable<NightReport> | null, time: ZonedTime, around: Surroundings): void {
    setAttribute(byId("panel-night"), "hidden", night === null ? "" : null);
    if (night === null) return;
    const report = this.panel.follow(night, { waiting: "Asking what happened.", staleReason: around.staleReason });
    if (report === null || !this.panel.isChanged(report, time.zone)) return;
    setText(byId("night-meta"), `since ${time.full(Date.parse(report.since))}`);
    setText(byId("night-line"), summary(report));
    fill("night-waiting", report.waiting.map((item) => [item.what, [...item.evidence, ...item.answers.map((answer) => `answer: ${answer}`)].join(" · ")]));
    fill("night-happenings", report.happenings.map((each) => [`${time.full(Date.parse(each.ts))} · ${words(each.kind)}`, each.text]));
    setAttribute(byId("night-nothing"), "hidden", report.waiting.length + report.happenings.length === 0 ? null : "");
    setAttribute(byId("night-cut"), "hidden", report.is_cut || report.happenings.length > LINES_MAX ? null : "");
  }
}

export function summary(report: NightReport): string {
  const parts = [`${count(report.closed)} trades finished, ${count(report.wins)} with a profit, ${signedSol(report.realised.lamports)} SOL realised`];
  if (report.equity_before !== null && report.equity !== null) {
    parts.push(`equity ${sol(report.equity_before.lamports)} → ${sol(report.equity.lamports)} SOL`);
  }
  const denials = Object.values(report.denials).reduce((sum, number) => sum + number, 0);
  parts.push(`${count(denials)} denied`);
  return parts.join(" · ");
}

function fill(id: string, lines: (readonly [string, string])[]): void {
  byId(id).replaceChildren(
    ...lines.slice(0, LINES_MAX).map(([head, text]) => h("li", {}, h("b", {}, plain(head, 200)), h("span", {}, plain(text, 600)))),
  );
}
