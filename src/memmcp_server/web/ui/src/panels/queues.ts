import { byId, fillRows, setAttribute, setText, sparkline } from "../dom";
import type { Cell } from "../dom";
import { count, duration, NOTHING, plain, words } from "../format";
import type { Loadable, WriteRate } from "../model";
import { valueOf } from "../model";
import { isObject } from "../wire";
import type { Metrics, Queue, TradingSnapshot } from "../wire";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";

const LAG_WARN_MS = 50;
const OLDEST_WARN_S = 30;
/** The queue of writes that this machine keeps for a journal on a server. */
const TO_JOURNAL = "journal";

/** Whether what is acknowledged also arrives: each queue, the journal, the index and the event loop. */
export class QueuesPanel {
  private readonly panel = new Panel("panel-queues");
  private drawn = "";

  draw(loaded: Loadable<Metrics>, trading: Loadable<TradingSnapshot>, rate: WriteRate, around: Surroundings): void {
    const metrics = this.panel.follow(loaded, { waiting: "Waiting for the first figures.", staleReason: around.staleReason });
    if (metrics === null) return;
    const queues = allQueues(metrics, valueOf(trading));
    const dead = deadLetters(metrics, valueOf(trading));
    const pending = queues.reduce((sum, [, queue]) => sum + queue.pending, 0);
    const away = keptHere(metrics);
    setText(byId("queues-meta"), dead > 0 ? `${count(dead)} dead ${dead === 1 ? "letter" : "letters"}` : away ?? (pending > 0 ? `${count(pending)} pending` : "all delivered"));
    setAttribute(byId("queues-meta"), "data-level", dead > 0 ? "bad" : away === null ? null : "warn");
    fillRows(byId("queues") as HTMLTableSectionElement, queues.map(([name, queue]) => queueRow(name, queue)));
    setText(byId("journal-seq"), count(metrics.journal_seq));
    setText(byId("memories"), count(metrics.memories));
    setText(byId("index-state"), indexText(metrics.index));
    setAttribute(byId("index-state"), "title", typeof metrics.index["detail"] === "string" ? plain(metrics.index["detail"]) : null);
    setAttribute(byId("index-state"), "data-level", metrics.index["state"] === "ready" ? null : "warn");
    setText(byId("lag"), `${metrics.event_loop_lag_ms.toFixed(1)} ms`);
    setAttribute(byId("lag"), "data-level", metrics.event_loop_lag_ms > LAG_WARN_MS ? "warn" : null);
    setText(byId("clients"), count(metrics.clients));
    setText(byId("uptime"), duration(metrics.uptime_s));
    this.drawRate(rate);
  }

  private drawRate(rate: WriteRate): void {
    const perSecond = rate.perSecond();
    setText(byId("write-rate"), perSecond === null ? NOTHING : `${perSecond.toFixed(1)} per second`);
    const steps = rate.steps();
    const key = steps.join();
    if (key === this.drawn) return;
    this.drawn = key;
    const label = perSecond === null ? "Journal entries: no rate yet" : `Journal entries: ${perSecond.toFixed(1)} per second over the last minute`;
    byId("write-spark").replaceChildren(sparkline(steps, label));
  }
}

/** What waits on this machine while the journal's server is away; null while that is there. */
function keptHere(metrics: Metrics): string | null {
  const queue = metrics.queues[TO_JOURNAL];
  return queue?.relay?.state === "backing_off" ? `journal away, ${count(queue.pending)} kept here` : null;
}

/**
 * The memory journal's queues and the desk's own, by where they lead. The figures come once a second and tell of both; a
 * snapshot comes with a cycle, and between two of them the desk's queues empty without a word.
 */
export function allQueues(metrics: Metrics, snapshot: TradingSnapshot | null): [string, Queue][] {
  const ours = Object.entries(metrics.queues).map(([name, queue]): [string, Queue] => [`${name === TO_JOURNAL ? "here" : "memory"} \u2192 ${plain(name, 48)}`, queue]);
  const told = metrics.cycle?.["queues"];
  const present = isObject(told) ? told as Record<string, Queue> : snapshot?.queues ?? {};
  const desks = Object.entries(present).map(([name, queue]): [string, Queue] => [`desk \u2192 ${plain(name, 48)}`, queue]);
  return [...ours, ...desks];
}

/** What was given up on in all queues, and waits for the operator. */
export function deadLetters(metrics: Metrics | null, snapshot: TradingSnapshot | null): number {
  return metrics === null ? 0 : allQueues(metrics, snapshot).reduce((sum, [, queue]) => sum + queue.dead, 0);
}

/** What was given up on in the memory's queues: of these the entries can be seen and tried again. */
export function memoryDead(metrics: Metrics | null): number {
  return Object.values(metrics?.queues ?? {}).reduce((sum, queue) => sum + queue.dead, 0);
}

function queueRow(name: string, queue: Queue): Cell[] {
  const said = queue.relay?.last_error ? plain(queue.relay.last_error, 300) : undefined;
  const isLate = queue.pending > 0 && queue.oldest_s >= OLDEST_WARN_S;
  return [
    said === undefined ? { text: name } : { text: name, title: said },
    { text: count(queue.pending), class: "num" },
    { text: queue.pending > 0 ? duration(queue.oldest_s) : NOTHING, class: isLate ? "num warn" : "num" },
    { text: queue.dead > 0 ? `\u26a0 ${count(queue.dead)}` : "0", class: queue.dead > 0 ? "num loss" : "num" },
    { text: count(queue.delivered), class: "num" },
  ];
}

export function indexText(index: Record<string, unknown>): string {
  const state = typeof index["state"] === "string" ? words(index["state"]) : "unknown";
  const points = typeof index["points"] === "number" ? `, ${count(index["points"])} ${index["points"] === 1 ? "point" : "points"}` : "";
  const backend = typeof index["backend"] === "string" && index["backend"] ? ` (${plain(index["backend"], 40)})` : "";
  return `${state}${points}${backend}`;
}
