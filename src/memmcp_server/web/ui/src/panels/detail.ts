import type { Api } from "../api";
import { byId, h, setText } from "../dom";
import { plain, signedSol, words, ZonedTime } from "../format";
import { isObject, readTrajectory } from "../wire";
import { linksOf } from "./memory_acts";
import type { MemoryActs } from "./memory_acts";
import type { Trajectory } from "../wire";

const TEXT_MAX = 4_000;

/** Shows one memory or one trajectory over the page. Links keep their permanent address for a new tab. */
export class Detail {
  private readonly dialog = byId("detail") as HTMLDialogElement;

  constructor(private readonly api: Api, private readonly time: () => ZonedTime, private readonly acts: MemoryActs) {
    byId("detail-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    document.addEventListener("click", (event) => this.follow(event));
  }

  private follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    const trajectory = link?.dataset["trajectory"];
    const memory = link?.dataset["memory"];
    if (trajectory === undefined && memory === undefined) return;
    event.preventDefault();
    void this.open(trajectory === undefined ? "memory" : "trajectory", trajectory ?? memory ?? "");
  }

  private async open(kind: "memory" | "trajectory", id: string): Promise<void> {
    setText(byId("detail-title"), kind === "memory" ? "Memory" : "Trajectory");
    byId("detail-body").replaceChildren(h("p", { class: "quiet" }, "Loading\u2026"));
    if (!this.dialog.open) this.dialog.showModal();
    const path = `${kind === "memory" ? "/memory/" : "/trajectories/"}${encodeURIComponent(id)}`;
    try {
      const body = await this.api.get(path);
      byId("detail-body").replaceChildren(...(kind === "memory" ? this.memory(body) : this.trajectory(readTrajectory(body))));
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      byId("detail-body").replaceChildren(h("p", { class: "loss", role: "alert" }, `Cannot show it: ${plain(text)}`));
    }
  }

  private memory(body: unknown): HTMLElement[] {
    if (!isObject(body)) return [h("p", {}, "The server sent no document.")];
    const facts = h("dl", { class: "facts" });
    for (const [name, value] of Object.entries(body)) {
      if (name === "content" || name === "links" || value === null || value === "" || (Array.isArray(value) && value.length === 0)) continue;
      facts.append(h("div", {}, h("dt", {}, words(name)), h("dd", {}, this.fact(name, value))));
    }
    return [h("p", { class: "quoted", dir: "auto" }, plain(String(body["content"] ?? ""), TEXT_MAX)), ...linksOf(body), facts,
      ...this.acts.of(body, () => void this.open("memory", String(body["id"])))];
  }

  private fact(name: string, value: unknown): HTMLElement | string {
    if (name === "trajectory_id" && typeof value === "string") {
      return h("a", { href: `/trajectories/${encodeURIComponent(value)}`, "data-trajectory": value }, plain(value, 128));
    }
    if (typeof value === "string") return /(^ts$|_at$)/.test(name) ? this.time().full(value) : plain(value, TEXT_MAX);
    if (isObject(value) || Array.isArray(value)) return h("pre", {}, plainJson(value));
    return plain(String(value), TEXT_MAX);
  }

  private trajectory(trajectory: Trajectory): HTMLElement[] {
    const result = trajectory.reward === null ? ""
      : ` \u00b7 ${trajectory.reward_unit === "lamports" ? `${signedSol(trajectory.reward)} SOL` : `${trajectory.reward} ${plain(trajectory.reward_unit, 32)}`}`;
    const ended = trajectory.closed_at === null ? "still open" : `closed ${this.time().full(trajectory.closed_at)}`;
    const steps = h("ol", { class: "chain" });
    for (const step of trajectory.steps) {
      steps.append(h("li", {},
        h("p", { class: "stream-meta" }, h("span", { class: "kind desk" }, words(step.kind)), h("time", { datetime: step.ts }, this.time().full(step.ts))),
        h("p", { class: "stream-text", dir: "auto" }, plain(step.content, TEXT_MAX))));
    }
    const more = trajectory.steps_total - trajectory.steps.length;
    return [
      h("p", { class: "quoted", dir: "auto" }, plain(trajectory.title, TEXT_MAX)),
      h("p", { class: "quiet" }, `${plain(trajectory.kind, 48)} by ${plain(trajectory.agent, 128) || "unnamed agent"}, opened ${this.time().full(trajectory.opened_at)}, ${ended}`),
      h("p", {}, `Outcome: ${trajectory.outcome === null ? "none yet" : words(trajectory.outcome)}${result}`),
      steps,
      this.acts.agent(trajectory.title, trajectory.steps.slice(-16).map((step) => step.id)),
      ...(more > 0 ? [h("p", { class: "quiet" }, `and ${more} more steps`)] : []),
    ];
  }
}

function plainJson(value: unknown): string {
  return JSON.stringify(value, null, 2).split("\n").slice(0, 400).map((line) => plain(line, 400)).join("\n");
}
