import { byId, h, setAttribute, setText } from "../dom";
import { count, plain, words, ZonedTime } from "../format";
import type { MemoryFeed, StreamEntry, StreamFilter } from "../model";
import type { MemoryNote, Resync } from "../wire";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";

const ROWS_MAX = 80;

/** The newest memories, the desk's decisions among them. Held still while somebody reads. */
export class StreamPanel {
  private readonly panel = new Panel("panel-stream");
  private filter: StreamFilter = "all";
  private isHeld = false;
  private heldCount = 0;
  private shown: StreamEntry[] = [];
  private zone = "";

  constructor(onChange: () => void) {
    byId("filters").addEventListener("click", (event) => {
      const filter = (event.target as Element).closest("button")?.dataset["filter"];
      if (filter !== "all" && filter !== "decisions" && filter !== "agents") return;
      this.filter = filter;
      this.release();
      for (const button of byId("filters").querySelectorAll("button")) {
        setAttribute(button, "aria-pressed", String(button.dataset["filter"] === filter));
      }
      onChange();
    });
    byId("hold").addEventListener("click", () => {
      if (this.isHeld) this.release();
      else this.isHeld = true;
      this.drawHold();
      onChange();
    });
  }

  arrived(): void {
    if (this.isHeld) this.heldCount += 1;
  }

  draw(feed: MemoryFeed, isLoaded: boolean, time: ZonedTime, around: Surroundings): void {
    const entries = this.isHeld ? this.shown : feed.list(this.filter, ROWS_MAX);
    this.drawHold();
    if (around.staleReason !== null) this.panel.show(entries.length > 0 ? "stale" : "error", around.staleReason);
    else if (entries.length > 0) this.panel.show("ready");
    else this.panel.show(isLoaded ? "empty" : "loading", isLoaded ? EMPTY[this.filter] : "Waiting for the memory journal.");
    this.drawEntries(entries, time);
  }

  private drawEntries(entries: StreamEntry[], time: ZonedTime): void {
    const isSame = entries.length === this.shown.length && entries.every((entry, at) => entry === this.shown[at]) && this.zone === time.zone;
    if (isSame) return;
    const list = byId("stream");
    const kept = new Map(this.shown.map((entry, at) => [entry, list.children[at]]));
    const isFresh = this.shown.length > 0;
    const children = entries.map((entry) => (this.zone === time.zone ? kept.get(entry) : undefined) ?? drawEntry(entry, time, isFresh));
    // Take out what left, put in what came: rows that stay are not touched, so focus and selection survive.
    const staying = new Set<Element>(children);
    for (const child of Array.from(list.children)) if (!staying.has(child)) child.remove();
    children.forEach((child, at) => {
      if (list.children[at] !== child) list.insertBefore(child, list.children[at] ?? null);
    });
    this.shown = entries;
    this.zone = time.zone;
  }

  private release(): void {
    this.isHeld = false;
    this.heldCount = 0;
  }

  private drawHold(): void {
    const button = byId("hold");
    setAttribute(button, "aria-pressed", String(this.isHeld));
    setText(button, this.isHeld ? `Resume${this.heldCount > 0 ? ` (${count(this.heldCount)} new)` : ""}` : "Hold");
  }
}

const EMPTY: Record<StreamFilter, string> = {
  all: "No memory yet. What agents and the desk write appears here at once.",
  decisions: "No decision of the desk yet.",
  agents: "No memory of an agent yet.",
};

function drawEntry(entry: StreamEntry, time: ZonedTime, isFresh: boolean): HTMLElement {
  return entry.kind === "gap" ? drawGap(entry.gap) : drawNote(entry.note, time, isFresh);
}

function drawGap(gap: Resync): HTMLElement {
  return h("li", { class: "gap" }, `Gap: journal entries ${count(gap.from)} to ${count(gap.to)} were skipped here, all are in the journal.`);
}

function drawNote(note: MemoryNote, time: ZonedTime, isFresh: boolean): HTMLElement {
  const isDesk = note.namespace === "trading";
  // A trajectory is a memory too, under its own id.
  const trajectory = note.kind === "trajectory" ? note.id : note.trajectory_id;
  return h(
    "li", { class: isFresh ? "fresh" : "", "data-kind": plain(note.kind, 48), "data-seq": String(note.seq) },
    h("p", { class: "stream-meta" },
      h("time", { datetime: note.ts, title: time.full(note.ts) }, time.short(note.ts)),
      h("span", { class: isDesk ? "kind desk" : "kind" }, words(note.kind)),
      h("span", { class: "dim" }, `${plain(note.namespace, 64)} \u00b7 ${plain(note.agent, 40) || "unnamed agent"}`)),
    h("p", { class: "stream-text", dir: "auto" }, plain(note.content)),
    h("p", { class: "stream-links" },
      h("a", { href: `/memory/${encodeURIComponent(note.id)}`, "data-memory": note.id, "aria-label": `Memory ${note.seq}` }, `memory ${note.seq}`),
      trajectory
        ? h("a", { href: `/trajectories/${encodeURIComponent(trajectory)}`, "data-trajectory": trajectory,
          "aria-label": `Trajectory of memory ${note.seq}` }, "trajectory")
        : null),
  );
}
