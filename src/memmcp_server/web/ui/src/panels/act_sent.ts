// The list of what was sent and has not come to its end: each is asked for by its key, also after a reload, until it has.

import type { Api } from "../api";
import { ApiError } from "../api";
import { h, setAttribute, setText } from "../dom";
import { count, plain } from "../format";
import type { Sent, SentAct } from "../sent";
import { endOf, Follow, isEnded } from "./act_follow";
import { ACTS, told } from "./act_kinds";

/** When and from where it was sent, and what it was. */
export function sentText(entry: SentAct, page: string): string {
  const label = ACTS.find((act) => act.name === entry.act)?.label ?? plain(entry.act, 24);
  const at = `at ${new Date(entry.atMs).toISOString().slice(11, 19)} UTC`;
  const when = entry.page === page ? `This was sent ${at}` : `This was sent before the reload, ${at}`;
  return `${when}: ${label}. ${plain(entry.said, 300)}`;
}

interface Row { element: HTMLElement; follow: Follow; tools: HTMLElement; isOver: boolean }

export class SentList {
  private readonly rows = new Map<string, Row>();

  constructor(
    private readonly api: Api, private readonly sent: Sent, private readonly place: HTMLElement,
    private readonly again: (entry: SentAct) => void, private readonly changed: (open: number) => void,
  ) {}

  /** Show what a person has sent, but for the act that the form itself is at. */
  draw(by: string | null, except: string): void {
    const entries = by === null ? [] : this.sent.of(by, Date.now());
    for (const [key, row] of this.rows) if (by === null || key === except || (!row.isOver && !entries.some((each) => each.key === key))) this.away(key);
    for (const entry of entries) if (entry.key !== except && !this.rows.has(entry.key)) this.add(entry);
    this.count();
  }

  private add(entry: SentAct): void {
    const status = h("p", { role: "status" }, "Finding out by its key what became of it.");
    const tools = h("div", { class: "tools" });
    const element = h("li", {}, h("p", { dir: "auto" }, sentText(entry, this.sent.page)), status, tools);
    const row: Row = { element, tools, follow: new Follow(this.api), isOver: false };
    this.rows.set(entry.key, row);
    this.place.append(element);
    // A task has no key at the desk: only to file it once more, which files it once, tells what became of it.
    if (entry.path === "/tasks") return this.offerAgain(entry, row, status, "Nobody answered that it was filed.");
    row.follow.start(entry.key, (answer, isEnd) => {
      if (answer === null) {
        if (isEnd) this.offerAgain(entry, row, status, "Nothing of it is done so far, as far as the server knows.");
        return;
      }
      const isDenied = answer.status === "denied" || answer.status === "rejected";
      setText(status, `${told(isDenied ? "It was denied" : "It was done", answer.message)} ${endOf(answer)}`.trim());
      if (!isEnded(answer)) return this.sent.done(entry.key);
      this.sent.drop(entry.key);
      row.isOver = true;
      this.offer(entry, row, "Put away");
      this.count();
    }, (error) => setText(status, error instanceof ApiError && error.status === 401 ? "Log in to find out what became of it." : "The server does not answer yet; trying again."));
  }

  private offerAgain(entry: SentAct, row: Row, status: HTMLElement, text: string): void {
    setText(status, `${text} Sending it again does it once at most.`);
    const again = h("button", { type: "button", class: "small" }, "Send it again\u2026");
    again.addEventListener("click", () => this.again(entry));
    this.offer(entry, row, "Forget it", again);
  }

  private offer(entry: SentAct, row: Row, label: string, ...before: HTMLElement[]): void {
    const away = h("button", { type: "button", class: "small" }, label);
    away.addEventListener("click", () => {
      this.sent.drop(entry.key);
      this.away(entry.key);
      this.count();
    });
    row.tools.replaceChildren(...before, away);
  }

  private away(key: string): void {
    const row = this.rows.get(key);
    row?.follow.stop();
    row?.element.remove();
    this.rows.delete(key);
  }

  private count(): void {
    setAttribute(this.place, "hidden", this.rows.size === 0 ? "" : null);
    this.changed([...this.rows.values()].filter((row) => !row.isOver).length);
  }
}

/** Say on the pad's button how many acts have no end yet. */
export function markOpen(button: HTMLElement, open: number): void {
  const badge = button.querySelector(".badge") ?? button.appendChild(h("span", { class: "badge" }));
  setText(badge, open === 0 ? "" : count(open));
  setAttribute(badge, "hidden", open === 0 ? "" : null);
  setAttribute(button, "aria-label", open === 0 ? null : `Act\u2026 ${count(open)} sent, no end known yet`);
}
