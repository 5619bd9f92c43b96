// What fires now: each alert with its value, what to do, and the operator's two answers. The stream tells of every change.

import { ApiError } from "../api";
import type { Api } from "../api";
import { byId, h, setAttribute, setText } from "../dom";
import { duration, plain, ZonedTime } from "../format";
import type { Loadable } from "../model";
import type { Alert, AlertList } from "../wire";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";

const SHOWN_MAX = 20;
const SILENCE_S = 2 * 3_600;

export class AlertsPanel {
  private readonly panel = new Panel("panel-alerts");

  /** ``askForOperator`` lets somebody log in who may answer. */
  constructor(private readonly api: Api, private readonly askForOperator: () => void) {}

  draw(alerts: Loadable<AlertList>, time: ZonedTime, around: Surroundings): void {
    const list = this.panel.follow(alerts, { waiting: "Asking what fires.", staleReason: around.staleReason });
    if (list === null || !this.panel.isChanged(list, time.zone)) return;
    const loud = list.alerts.filter((each) => !each.silenced);
    setAttribute(byId("panel-alerts"), "data-severity", list.severity);
    setText(byId("alerts-meta"), summary(list.alerts.length, loud.length));
    setAttribute(byId("alerts-none"), "hidden", list.alerts.length > 0 ? "" : null);
    byId("alerts").replaceChildren(...list.alerts.slice(0, SHOWN_MAX).map((each) => this.item(each, time, around.nowMs)));
    setText(byId("alerts-more"), list.alerts.length > SHOWN_MAX ? `and ${list.alerts.length - SHOWN_MAX} more: memmcp alerts` : "");
    const silences = list.silences.map((each) => `${plain(each.rule, 48)} until ${time.full(Date.parse(each.until))} (${plain(each.by, 60)})`);
    setText(byId("alerts-silences"), silences.length > 0 ? `Silent: ${silences.join(" · ")}` : "");
  }

  private item(alert: Alert, time: ZonedTime, nowMs: number): HTMLElement {
    const since = `${time.full(Date.parse(alert.raised_at))}, for ${duration((nowMs - Date.parse(alert.raised_at)) / 1_000)}`;
    const item = h(
      "li", { "data-id": alert.id, "data-severity": alert.severity, "data-state": alert.state, "data-silenced": alert.silenced ? "yes" : "no" },
      h("p", {}, h("b", {}, `${alert.severity}: ${plain(alert.title, 160)}`), " ", h("span", { class: "kind" }, stands(alert))),
      h("p", {}, plain(alert.text, 400)),
      h("p", { class: "sub" }, `${plain(alert.reads, 80)} · since ${since}${alert.count > 1 ? ` · came ${alert.count} times` : ""}`),
      h("p", { class: "quoted" }, plain(alert.advice, 400)),
    );
    item.append(h("p", { class: "sub" }, `Runbook: ${plain(alert.runbook, 120)}`));
    if (alert.trajectory_id !== "") {
      const trade = h("a", { href: `/trajectories/${encodeURIComponent(alert.trajectory_id)}`, "data-trajectory": alert.trajectory_id }, "its trade");
      item.append(h("p", { class: "sub" }, trade));
    }
    item.append(this.answers(alert));
    return item;
  }

  private answers(alert: Alert): HTMLElement {
    const tools = h("p", { class: "tools" });
    if (alert.state === "firing") tools.append(this.button("Acknowledge", "acknowledge", () => this.answer(alert, "acknowledge", {})));
    if (alert.silenced) tools.append(this.button("Tell again", "silence", () => this.answer(alert, "silence", { for_s: 0 })));
    else tools.append(this.button("Silence for 2 h", "silence", () => this.answer(alert, "silence", { for_s: SILENCE_S })));
    return tools;
  }

  private button(text: string, kind: string, act: () => Promise<void>): HTMLElement {
    const button = h("button", { type: "button", class: `small ${kind}` }, text);
    button.addEventListener("click", () => void act());
    return button;
  }

  private async answer(alert: Alert, act: string, body: Record<string, unknown>): Promise<void> {
    const answer = byId("alerts-answer");
    setText(answer, "…");
    try {
      await this.api.post(`/alerts/${encodeURIComponent(alert.id)}/${act}`, body);
      setText(answer, act === "acknowledge" ? "Acknowledged." : "Done.");
    } catch (error) {
      setText(answer, messageOf(error));
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) this.askForOperator();
    }
  }
}

function summary(all: number, loud: number): string {
  if (all === 0) return "nothing fires";
  return loud === all ? `${all} firing` : `${all} firing, ${all - loud} of them silenced`;
}

function stands(alert: Alert): string {
  if (alert.silenced) return "silenced";
  if (alert.state === "acknowledged") return `seen to by ${plain(alert.acknowledged_by, 60)}`;
  return alert.escalation > 0 ? "unanswered" : "firing";
}

function messageOf(error: unknown): string {
  return plain(error instanceof Error ? error.message : String(error), 300);
}
