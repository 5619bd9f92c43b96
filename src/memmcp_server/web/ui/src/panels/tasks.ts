// Work for the agents: filed here, claimed by one of them under a lease, answered by a memory. What they write is quoted.

import type { Api } from "../api";
import { byId, h, moment, setAttribute, setText } from "../dom";
import type { Child } from "../dom";
import { plain, ZonedTime } from "../format";
import { isObject, readTask, readTasks } from "../wire";
import type { Task } from "../wire";
import { Panel } from "./panel";

const ASK_EVERY_MS = 2_000;
const ASK_SELDOM_MS = 15_000;
const SHOWN = 12;
const WORDS: Record<Task["state"], string> = {
  open: "open", claimed: "held", done: "done", failed: "not done", expired: "ran out", cancelled: "taken back",
};

export class TasksPanel {
  private readonly panel = new Panel("panel-tasks");
  private askedMs = 0;
  private isAsking = false;
  private waitMs = 0;
  private time = new ZonedTime("UTC");
  private drawn = "";
  /** Tasks that no agent took in time: they wait for the operator. */
  overdue = 0;

  constructor(private readonly api: Api) {
    byId("task-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.act(() => this.file());
    });
  }

  /** Ask for tasks now and then, often while one is under way. */
  follow(nowMs: number, time: ZonedTime): void {
    this.time = time;
    if (this.isAsking || nowMs - this.askedMs < this.waitMs) return;
    this.askedMs = nowMs;
    void this.ask();
  }

  private async ask(): Promise<void> {
    this.isAsking = true;
    try {
      const tasks = readTasks(await this.api.get(`/tasks?limit=${SHOWN}`));
      const isUnderWay = tasks.some((each) => each.state === "open" || each.state === "claimed");
      this.waitMs = isUnderWay ? ASK_EVERY_MS : ASK_SELDOM_MS;
      await this.draw(tasks);
    } catch (error) {
      this.panel.show("error", messageOf(error));
      this.waitMs = ASK_SELDOM_MS;
    } finally {
      this.isAsking = false;
    }
  }

  private async draw(tasks: Task[]): Promise<void> {
    this.panel.show("ready", "");
    const key = JSON.stringify([tasks, this.time.zone]);
    if (key === this.drawn) return;
    const waiting = tasks.filter((each) => each.state === "open");
    this.overdue = waiting.filter((each) => each.overdue).length;
    setText(byId("tasks-meta"), this.overdue > 0 ? `${this.overdue} wait for you: no agent took them` : `${waiting.length} open`);
    setAttribute(byId("tasks-none"), "hidden", tasks.length > 0 ? "" : null);
    const answers = await Promise.all(tasks.map((each) => this.answerOf(each)));
    byId("tasks").replaceChildren(...tasks.map((each, index) => this.item(each, answers[index] ?? null)));
    this.drawn = key;
  }

  private async answerOf(task: Task): Promise<string | null> {
    if (task.result_id === null) return null;
    return readTask(await this.api.get(`/tasks/${encodeURIComponent(task.id)}`)).result?.text ?? null;
  }

  private item(task: Task, answer: string | null): HTMLElement {
    const holder = task.claimed_by ?? "";
    const stands: Child[] = task.state === "claimed" ? [`held by ${plain(holder, 60)} until `, moment(task.lease_until ?? "", this.time)]
      : [task.overdue ? "open, no agent took it" : WORDS[task.state]];
    const item = h(
      "li", { "data-state": task.state, "data-id": task.id, "data-overdue": task.overdue ? "yes" : "no" },
      h("p", {}, h("b", {}, plain(task.title, 200)), " ", h("span", { class: "kind" }, plain(task.kind, 48))),
      h("p", { class: "sub" }, ...stands, task.note ? `: ${plain(task.note, 200)}` : null),
    );
    if (answer !== null) item.append(h("p", { class: "quoted", title: `by ${plain(holder, 60)}` }, plain(answer, 1_000)));
    if (task.state !== "open" && task.state !== "claimed") return item;
    const back = h("button", { type: "button", class: "small cancel" }, "Take back");
    back.addEventListener("click", () => void this.act(() => this.cancel(task.id)));
    item.append(h("p", { class: "tools" }, back));
    return item;
  }

  private async file(): Promise<string> {
    const [title, text, about] = ["task-title", "task-text", "task-about"].map((id) => byId(id) as HTMLInputElement);
    const kind = (byId("task-kind") as HTMLSelectElement).value;
    const lease = Number((byId("task-lease") as HTMLInputElement).value);
    const context = (about?.value ?? "").split(/[\s,]+/).filter((each) => each !== "");
    const made = await this.api.post("/tasks", { title: title?.value, text: text?.value, kind, context, lease_s: lease });
    for (const field of [title, text, about]) if (field) field.value = "";
    return isObject(made) ? "Filed. Any connected agent may take it." : "Filed.";
  }

  private async cancel(id: string): Promise<string> {
    await this.api.post(`/tasks/${encodeURIComponent(id)}/cancel`, { reason: "taken back on the page" });
    return "Taken back.";
  }

  private async act(action: () => Promise<string>): Promise<void> {
    const answer = byId("tasks-answer");
    setText(answer, "…");
    try {
      setText(answer, await action());
    } catch (error) {
      setText(answer, messageOf(error));
    }
    await this.ask();
  }
}

function messageOf(error: unknown): string {
  return plain(error instanceof Error ? error.message : String(error), 300);
}
