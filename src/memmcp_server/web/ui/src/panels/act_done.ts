// What the server's answers to acts come to, whoever sent them: the form that asked, or a repeat after a reload.

import type { Api } from "../api";
import { h, setText } from "../dom";
import { plain, words } from "../format";
import { isObject, readControl, readTask } from "../wire";
import { readPromotion, readRebalance } from "../wire_acts";
import { messageOf, told } from "./act_kinds";
import type { Done } from "./act_kinds";
import { gatesTable, legsTable } from "./act_tables";

const WATCH_EVERY_MS = 2_000;
const WATCHES_MAX = 1_800;

export function controlDone(answer: unknown): Done {
  const { status, effect, order_ids } = readControl(answer);
  const isDone = status === "done";
  return { text: told(isDone ? "Done" : "Denied", effect), isDone, isOpen: isDone && (order_ids ?? []).length > 0 };
}

export function promotionDone(answer: unknown): Done {
  const { status, effect, gates } = readPromotion(answer);
  const isDone = status === "done";
  return { text: told(isDone ? "Done" : "Denied", effect), isDone, isOpen: false, more: gatesTable(gates) };
}

export function rebalanceDone(answer: unknown): Done {
  const { status, message, legs } = readRebalance(answer);
  const isDone = status === "done";
  const isOpen = isDone && legs.some((leg) => leg.side !== undefined && leg.status === "done");
  return { text: told(isDone ? "Done" : words(status), message), isDone, isOpen, more: legsTable(legs, "What was done") };
}

/** Watch a task until it has ended; says what it is at now. */
function watchTask(api: Api, id: string, place: HTMLElement): void {
  let looks = 0;
  const look = async (): Promise<void> => {
    looks += 1;
    let isEnd = looks >= WATCHES_MAX || !place.isConnected;
    try {
      const task = readTask(await api.get(`/tasks/${encodeURIComponent(id)}`));
      const who = plain(task.claimed_by ?? "an agent", 60);
      const stands = task.state === "open" ? (task.overdue ? "Open; no agent took it in time." : "Filed. Any connected agent may take it.")
        : task.state === "claimed" ? `Held by ${who}.` : task.state === "done" ? `Answered by ${who}.` : `${plain(task.state, 24)}${task.note ? `: ${plain(task.note, 200)}` : "."}`;
      setText(place.firstElementChild ?? place, stands);
      if (task.result !== null && place.childElementCount < 2) place.append(h("p", { class: "quoted", dir: "auto" }, plain(task.result.text, 2_000)));
      isEnd ||= task.state !== "open" && task.state !== "claimed";
    } catch (error) {
      setText(place.firstElementChild ?? place, messageOf(error));
    }
    if (!isEnd) window.setTimeout(() => void look(), WATCH_EVERY_MS);
  };
  void look();
}

/** A task is watched where its answer is put. */
export function taskDone(api: Api, answer: unknown): Done {
  const id = isObject(answer) && isObject(answer["task"]) ? String(answer["task"]["id"]) : "";
  const place = h("div", { class: "watched" }, h("p", { role: "status" }, "Filed."));
  // Once it has its place on the page: a place that is gone is not watched.
  if (id !== "") window.setTimeout(() => watchTask(api, id, place), 0);
  return { text: "Filed.", isDone: true, isOpen: false, more: [place] };
}

/** What an answer of this path comes to. */
export function doneOf(api: Api, path: string, answer: unknown): Done {
  if (path === "/tasks") return taskDone(api, answer);
  if (path === "/rebalance") return rebalanceDone(answer);
  return path === "/promotions" ? promotionDone(answer) : controlDone(answer);
}
