// What fires now: each alert with its value, what to do, and the operator's two answers. The stream tells of every change.

import { ApiError } from "../api";
import type { Api } from "../api";
import { byId, h, setAttribute, setText } from "../dom";
import { duration, plain, ZonedTime } from "../format";
import type { Loadable } from "../model";
import type { Alert, AlertList, AlertSilence } from "../wire";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";
import { Runbook } from "./runbook";

const SHOWN_MAX = 20;
const SILENCES_MAX = 10;
const SILENCE_S = 2 * 3_600;

export class AlertsPanel {
  private readonly panel = new Panel("panel-alerts");
  private readonly runbook: Runbook;

  /** ``askForOperator`` lets somebody log in who may answer. */
  constructor(private readonly api: Api, private readonly askForOperator: () => void) {
    this.runbook = new Runbook(api);
  }

  draw(alerts: Loadable<AlertList>, time: ZonedTime, around: Surroundings): void {
    const list = this.panel.follow(alerts, { waiting: "Asking what fires.", staleReason: around.staleReason });
    if (list === null || !this.panel.isChanged(list, time.zone)) return;
    const loud = list.alerts.filter((each) => !each.silenced);
    setAttribute(byId("panel-alerts"), "data-severity", list.severity);
    setText(byId("alerts-meta"), summary(list.alerts.length, loud.length));
    setAttribute(byId("alerts-none"), "hidden", list.alerts.length > 0 ? "" : null);
    keepingFocus(byId("panel-alerts"), () => {
      byId("alerts").replaceChildren(...list.alerts.slice(0, SHOWN_MAX).map((each) => this.item(each, time, around.nowMs)));
      byId("alerts-silences").replaceChildren(...list.silences.slice(0, SILENCES_MAX).map((each) => this.silence(each, time)));
    });
    setText(byId("alerts-more"), more(list));
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
    const answered = whoAnswered(alert, time);
    if (answered !== "") item.append(h("p", { class: "sub answered" }, answered));
    item.append(this.answers(alert));
    return item;
  }

  /** A silence that somebody set, also one of what does not fire now. */
  private silence(silence: AlertSilence, time: ZonedTime): HTMLElement {
    const labels = Object.entries(silence.labels).map(([name, value]) => `${plain(name, 40)} ${plain(String(value), 60)}`).join(", ");
    const what = `${plain(silence.rule, 48)}${labels === "" ? "" : ` (${labels})`}`;
    const again = this.button("Tell again", "silence", () => this.post("/silences", { rule: silence.rule, labels: silence.labels, for_s: 0 }));
    setAttribute(again, "aria-label", `Tell again of ${what}`);
    setAttribute(again, "data-key", `silence:${what}`);
    return h("li", {}, h("span", {}, `Silent: ${what} until ${time.full(Date.parse(silence.until))}, by ${plain(silence.by, 60)}`), again);
  }

  private answers(alert: Alert): HTMLElement {
    const tools = h("p", { class: "tools" });
    const path = `/alerts/${encodeURIComponent(alert.id)}`;
    if (alert.state === "firing") tools.append(this.button("Acknowledge", "acknowledge", () => this.post(`${path}/acknowledge`, {}, "Acknowledged.")));
    if (alert.silenced) tools.append(this.button("Tell again", "silence", () => this.post(`${path}/silence`, { for_s: 0 })));
    else tools.append(this.button("Silence for 2 h", "silence", () => this.post(`${path}/silence`, { for_s: SILENCE_S })));
    tools.append(this.button("What to do", "runbook", () => this.runbook.open(alert.rule, alert.title)));
    for (const button of tools.querySelectorAll("button")) setAttribute(button, "data-key", `${alert.id}:${button.className}`);
    if (alert.trajectory_id !== "") {
      tools.append(h("a", { href: `/trajectories/${encodeURIComponent(alert.trajectory_id)}`, "data-trajectory": alert.trajectory_id }, "its trade"));
    }
    return tools;
  }

  private button(text: string, kind: string, act: () => Promise<void>): HTMLElement {
    const button = h("button", { type: "button", class: `small ${kind}` }, text);
    button.addEventListener("click", () => void act());
    return button;
  }

  private async post(path: string, body: Record<string, unknown>, done = "Done."): Promise<void> {
    const answer = byId("alerts-answer");
    setText(answer, "\u2026");
    try {
      await this.api.post(path, body);
      setText(answer, done);
    } catch (error) {
      setText(answer, messageOf(error));
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) this.askForOperator();
    }
  }
}

/** Draw anew without taking the keyboard's place away: the button that had it has it again, if there still is one. */
function keepingFocus(root: HTMLElement, draw: () => void): void {
  const focused = document.activeElement;
  const key = focused !== null && root.contains(focused) ? focused.getAttribute("data-key") : null;
  draw();
  if (key === null) return;
  const buttons = [...root.querySelectorAll<HTMLElement>("[data-key]")];
  (buttons.find((each) => each.dataset["key"] === key) ?? buttons[0])?.focus({ preventScroll: true });
}

function more(list: AlertList): string {
  const parts = [];
  if (list.alerts.length > SHOWN_MAX) parts.push(`and ${list.alerts.length - SHOWN_MAX} more alerts: memmcp alerts`);
  if (list.silences.length > SILENCES_MAX) parts.push(`and ${list.silences.length - SILENCES_MAX} more silences`);
  return parts.join(" \u00b7 ");
}

function whoAnswered(alert: Alert, time: ZonedTime): string {
  const parts = [];
  if (alert.state === "acknowledged") parts.push(`Acknowledged by ${plain(alert.acknowledged_by, 60)}`);
  if (alert.silenced && typeof alert.silenced_until === "string") {
    parts.push(`silenced until ${time.full(Date.parse(alert.silenced_until))} by ${plain(alert.silenced_by, 60)}`);
  }
  const text = parts.join(", ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function summary(all: number, loud: number): string {
  if (all === 0) return "";
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
