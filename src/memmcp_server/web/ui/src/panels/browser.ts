// The memory browser: search with filters and as of a time, page by page. What is asked stands in the address.

import type { Api } from "../api";
import { byId, h, setAttribute, setText } from "../dom";
import { count, plain, words, ZonedTime } from "../format";
import { readSearch } from "../wire_memories";
import type { SearchHit } from "../wire_memories";
import { ExportLinks } from "../export";
import { addressWith } from "../views";
import { Panel } from "./panel";

const PAGE = 20;
const HITS_MAX = 400;
const FIELDS = ["q", "namespace", "kinds", "tags", "agent", "since", "until", "as_of"] as const;
type Wish = Partial<Record<(typeof FIELDS)[number], string>>;

/** What an address asks of the memory; nothing where it asks for nothing. */
export function wishOf(search: string): Wish {
  const query = new URLSearchParams(search);
  const wish: Wish = {};
  for (const name of FIELDS) {
    const value = query.get(name)?.trim();
    if (value) wish[name] = value.slice(0, 400);
  }
  return wish;
}

/** What a file of everything that was found asks for. */
export function fileQuery(wish: Wish): Record<string, string | null> {
  const asked = new URLSearchParams(requestOf(wish, null).split("?")[1]);
  return { ...Object.fromEntries(asked), detail: null, limit: String(HITS_MAX) };
}

/** The request for a wish; times are of the day in UTC, or exact where they say a time. */
export function requestOf(wish: Wish, cursor: string | null): string {
  const query = new URLSearchParams({ query: wish.q ?? "", limit: String(PAGE), detail: "full" });
  for (const name of FIELDS) {
    const value = wish[name];
    if (name !== "q" && value !== undefined) query.set(name, name === "since" || name === "until" || name === "as_of" ? moment(value) : value);
  }
  if (cursor !== null) query.set("cursor", cursor);
  return `/memory/search?${query.toString()}`;
}

function moment(text: string): string {
  if (/^\d{4}-\d{2}-\d{2}$/.test(text)) return `${text}T00:00:00Z`;
  return /^\d{4}-\d{2}-\d{2}T[\d:.]+$/.test(text) ? `${text}Z` : text;
}

export class BrowserPanel {
  private readonly panel = new Panel("panel-browser");
  private readonly links = new ExportLinks(byId("browser-export"), "memories");
  private asked = "";
  private cursor: string | null = null;
  private hits: SearchHit[] = [];
  private turn = 0;

  constructor(private readonly api: Api, private readonly time: () => ZonedTime) {
    byId("browser-form").addEventListener("submit", (event) => {
      event.preventDefault();
      let search = location.search;
      for (const name of FIELDS) search = addressWith(search, name, this.field(name).value.trim() || null).slice(1);
      history.pushState(null, "", `/${search}`);
      this.follow();
    });
    byId("browser-more").addEventListener("click", () => void this.ask(true));
  }

  focus(): void {
    this.field("q").focus();
  }

  /** Show what the address asks for, once. */
  follow(): void {
    const wish = wishOf(location.search);
    const key = JSON.stringify(wish);
    if (key === this.asked) return;
    this.asked = key;
    for (const name of FIELDS) this.field(name).value = wish[name] ?? "";
    if (wish.q === undefined) {
      this.turn += 1;
      this.hits = [];
      this.drawHits("");
      this.panel.show("empty", "Ask for something: words, a token, a name. Filters narrow it down.");
      return;
    }
    void this.ask(false);
  }

  private field(name: string): HTMLInputElement {
    return byId(`browser-${name}`) as HTMLInputElement;
  }

  private async ask(isMore: boolean): Promise<void> {
    const turn = (this.turn += 1);
    if (!isMore) this.panel.show("loading", "Searching.");
    try {
      const answer = readSearch(await this.api.get(requestOf(wishOf(location.search), isMore ? this.cursor : null)));
      if (turn !== this.turn) return; // another question was asked meanwhile
      const known = new Set(isMore ? this.hits.map((hit) => hit.id) : []);
      this.hits = [...(isMore ? this.hits : []), ...answer.hits.filter((hit) => !known.has(hit.id))].slice(0, HITS_MAX);
      this.cursor = this.hits.length < HITS_MAX ? answer.next_cursor : null;
      this.drawHits([answer.index === "ready" ? null : `The index is ${answer.index}: found by words.`, answer.note].filter(Boolean).join(" "));
      this.panel.show(this.hits.length > 0 ? "ready" : "empty", this.hits.length > 0 ? "" : "Nothing was found.");
    } catch (error) {
      if (turn === this.turn) this.panel.show("error", plain(error instanceof Error ? error.message : String(error), 300));
    }
  }

  private drawHits(note: string): void {
    setText(byId("browser-meta"), this.hits.length === 0 ? "" : `${count(this.hits.length)} found${this.cursor === null ? "" : " so far"}`);
    setText(byId("browser-note"), plain(note, 300));
    setAttribute(byId("browser-more"), "hidden", this.cursor === null ? "" : null);
    this.links.follow(this.hits.length > 0, fileQuery(wishOf(location.search)));
    byId("browser-hits").replaceChildren(...this.hits.map((hit) => this.row(hit)));
  }

  private row(hit: SearchHit): HTMLElement {
    const time = this.time();
    const marks = [hit.pinned ? "pinned" : null, hit.valid_to ? `held until ${time.short(hit.valid_to)}` : null, hit.stale ? "old" : null].filter((each) => each !== null);
    return h("li", {},
      h("p", { class: "stream-meta" },
        h("time", { datetime: hit.ts, title: time.full(hit.ts) }, time.short(hit.ts)),
        h("span", { class: hit.namespace === "trading" ? "kind desk" : "kind" }, words(hit.kind)),
        h("span", { class: "dim" }, `${plain(hit.namespace, 64)} \u00b7 ${plain(hit.agent, 40) || "unnamed agent"} \u00b7 trust ${plain(hit.trust, 20)}`),
        ...marks.map((mark) => h("span", { class: "kind" }, mark)),
        h("span", { class: "dim", title: "Why it was found" }, `score ${hit.score.toFixed(3)}: ${plain(hit.why, 80)}`)),
      h("p", { class: "stream-text", dir: "auto" }, plain(hit.content, 2_000)),
      h("p", { class: "stream-links" },
        h("a", { href: `/memory/${encodeURIComponent(hit.id)}`, "data-memory": hit.id }, "open"),
        hit.trajectory_id === null ? null
          : h("a", { href: `/trajectories/${encodeURIComponent(hit.trajectory_id)}`, "data-trajectory": hit.trajectory_id }, "trajectory"),
        h("a", { href: `/?view=memory&q=${encodeURIComponent(hit.content.slice(0, 200))}` }, "similar"),
        ...hit.tags.slice(0, 8).map((tag) => h("a", { href: `/?view=memory&q=${encodeURIComponent(tag)}&tags=${encodeURIComponent(tag)}` }, `#${plain(tag, 32)}`))));
  }
}
