// What can be done about one memory: follow its links, read what it said before, pin it, forget it for good.

import type { Api } from "../api";
import { ApiError } from "../api";
import { h, setText } from "../dom";
import { count, plain, words, ZonedTime } from "../format";
import { check, isObject } from "../wire";
import { askAgent } from "./act_ask";

const TEXT_MAX = 4_000;
const LINKS_MAX = 40;

interface Version { version: number; known_at: string; agent: string; content: string }

interface Link { kind: string; direction: string; id: string }

/** Links to other memories, each opened in place; nothing where there are none. */
export function linksOf(document: Record<string, unknown>): HTMLElement[] {
  const links = Array.isArray(document["links"]) ? document["links"].filter(isObject) as unknown as Link[] : [];
  if (links.length === 0) return [];
  return [h("h3", {}, "Linked with"), h("p", { class: "stream-links wrap" }, ...links.slice(0, LINKS_MAX).map((link) =>
    h("a", { href: `/memory/${encodeURIComponent(link.id)}`, "data-memory": link.id },
      `${link.direction === "out" ? "" : "is "}${words(String(link.kind))}${link.direction === "out" ? "" : " of"} ${plain(String(link.id), 44)}`)))];
}

export class MemoryActs {
  constructor(
    private readonly api: Api, private readonly time: () => ZonedTime, private readonly isOperator: () => boolean,
    private readonly ask: (why: string) => void,
  ) {}

  /** The controls under a memory; `reopen` shows it anew after a change. */
  of(document: Record<string, unknown>, reopen: () => void): HTMLElement[] {
    const id = String(document["id"]);
    const answer = h("p", { role: "status", class: "quiet" });
    return [h("h3", {}, "Before"), this.history(id, Number(document["version"])), h("h3", {}, "Do"), this.agent(id, [id]), this.pin(document, answer, reopen), this.forget(id, answer), answer];
  }

  /** A question to a connected agent, with these memories. */
  agent(about: string, ids: readonly string[]): HTMLElement {
    return askAgent(this.api, about, ids, this.isOperator, this.ask);
  }

  private history(id: string, version: number): HTMLElement {
    const place = h("div", {});
    if (version <= 1) return h("p", { class: "quiet" }, "This is its first version.");
    const button = h("button", { type: "button", class: "small" }, `Show ${count(version - 1)} earlier ${version === 2 ? "version" : "versions"}`);
    button.addEventListener("click", () => void this.showHistory(id, place, button));
    place.append(button);
    return place;
  }

  private async showHistory(id: string, place: HTMLElement, button: HTMLElement): Promise<void> {
    try {
      const { versions } = check<{ versions: Version[] }>("history", await this.api.get(`/memory/${encodeURIComponent(id)}/history`), { versions: "array" });
      const time = this.time();
      place.replaceChildren(h("ol", { class: "chain", "aria-label": "Versions, oldest first" }, ...versions.map((each) => h("li", {},
        h("p", { class: "stream-meta" }, h("span", { class: "kind" }, `version ${count(each.version)}`),
          h("time", { datetime: each.known_at }, time.full(each.known_at)), h("span", { class: "dim" }, plain(each.agent, 64))),
        h("p", { class: "stream-text", dir: "auto" }, plain(each.content, TEXT_MAX))))));
    } catch (error) {
      setText(button, `Cannot show them: ${messageOf(error)}`);
    }
  }

  private pin(document: Record<string, unknown>, answer: HTMLElement, reopen: () => void): HTMLElement {
    const isPinned = document["pinned"] === true;
    const button = h("button", { type: "button", class: "small", title: "Pinned: never expires, fades or is merged." }, isPinned ? "Unpin" : "Pin");
    button.addEventListener("click", () => void this.done(answer, async () => {
      const body = { pinned: !isPinned, expected_version: document["version"] };
      await this.api.post(`/memory/${encodeURIComponent(String(document["id"]))}/update`, body);
      reopen();
    }));
    return h("p", { class: "tools" }, button);
  }

  /** Forgetting is for good, everywhere: it takes a reason and the word. */
  private forget(id: string, answer: HTMLElement): HTMLElement {
    const reason = h("input", { required: "", minlength: "3", maxlength: "1000", autocomplete: "off" });
    const word = h("input", { required: "", maxlength: "20", autocomplete: "off" });
    const form = h("form", { class: "act-form" },
      h("p", {}, "The text is deleted from the journal, the index and the files, and cannot be brought back. That it was, and why, is kept."),
      h("label", {}, "Why (kept for ever)", reason), h("label", {}, h("span", {}, "Type ", h("b", {}, "forget"), " to confirm it"), word),
      h("div", { class: "tools" }, h("button", { type: "submit" }, "Forget for good")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (word.value.trim().toLowerCase() !== "forget") {
        setText(answer, "Type the word forget to confirm it.");
        word.focus();
        return;
      }
      void this.done(answer, async () => {
        await this.api.post("/memory/forget", { id, reason: reason.value.trim() });
        form.replaceWith(h("p", {}, "Forgotten."));
      });
    });
    return h("details", {}, h("summary", {}, "Forget it"), form);
  }

  private async done(answer: HTMLElement, act: () => Promise<void>): Promise<void> {
    if (!this.isOperator()) {
      this.ask("Only an operator changes memories from the page.");
      return;
    }
    setText(answer, "Sent.");
    try {
      await act();
      setText(answer, "Done.");
    } catch (error) {
      setText(answer, messageOf(error));
      if (error instanceof ApiError && error.status === 401) this.ask("Only an operator changes memories from the page.");
    }
  }
}

function messageOf(error: unknown): string {
  return plain(error instanceof Error ? error.message : String(error), 300);
}
