// When which profile, tier and parameters came into force, by whom, and why.

import type { Api } from "../api";
import { byId, h, setAttribute, setText } from "../dom";
import { count, plain, words, ZonedTime } from "../format";
import { PagedLog } from "../paged";
import { Poll } from "../poll";
import { readProfileLog } from "../wire_logs";
import type { ProfileEntry, ProfilePage } from "../wire_logs";
import { Panel } from "./panel";
import type { AskingPanel, Surroundings } from "./panel";

const EVERY_MS = 15_000;
const PAGE = 20;
const ROWS_MAX = 200;
const CHANGES_SHOWN = 40;

export class ProfilesPanel implements AskingPanel {
  private readonly panel = new Panel("panel-profiles");
  private readonly poll: Poll<ProfilePage>;
  private readonly log: PagedLog<ProfileEntry>;

  constructor(api: Api, onChange: () => void) {
    const ask = async (cursor: string): Promise<ProfilePage> =>
      readProfileLog(await api.get(`/profiles/log?limit=${PAGE}${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`));
    this.poll = new Poll(() => ask(""), EVERY_MS, onChange);
    this.log = new PagedLog((each) => String(each.seq), async (cursor) => {
      const page = await ask(cursor);
      return { entries: page.entries, cursor: page.next_cursor };
    }, ROWS_MAX);
    byId("profiles-more").addEventListener("click", () => void this.log.more().then(onChange));
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    const page = this.panel.follow(this.poll.value, { waiting: "Asking what was in force when.", staleReason: around.staleReason });
    if (page === null) return;
    const { entries, hasMore } = this.log.take(page.entries, page.next_cursor);
    if (entries.length === 0 && this.poll.value.state === "ready") this.panel.show("empty", "Nothing has come into force yet.");
    if (!this.panel.isChanged(this.log.view, time, this.log.problem)) return;
    setText(byId("profiles-meta"), "of this run, newest first");
    byId("profiles").replaceChildren(...entries.map((each) => entryView(each, time)));
    setAttribute(byId("profiles-more"), "hidden", hasMore ? null : "");
    setText(byId("profiles-problem"), this.log.problem);
  }
}

/** What came into force, in one line: "foundation → acceleration". */
export function headline(entry: ProfileEntry): string {
  const whose = entry.strategy === null ? "" : `${plain(entry.strategy, 48)}: `;
  const before = entry.before === "" ? "" : `${words(entry.before)} \u2192 `;
  return `${whose}${before}${plain(entry.after, 120)}`;
}

function entryView(entry: ProfileEntry, time: ZonedTime): HTMLElement {
  const failed = entry.gates.filter((gate) => !gate.passed);
  return h("li", {},
    h("p", { class: "stream-meta" },
      h("time", { datetime: entry.ts, title: time.full(entry.ts) }, time.short(entry.ts)),
      h("span", { class: "kind" }, words(entry.what)),
      h("span", { class: "dim" }, entry.by === "desk" ? "by the desk's own rules" : `by ${plain(entry.by, 80)}`)),
    h("p", { class: "stream-text", dir: "auto" }, h("b", {}, headline(entry))),
    ...(entry.why === "" ? [] : [h("p", { class: "stream-text quiet", dir: "auto" }, plain(entry.why, 400))]),
    ...(entry.gates.length === 0 ? [] : [h("p", { class: "sub" }, failed.length === 0 ? `${count(entry.gates.length)} ${entry.gates.length === 1 ? "gate" : "gates"} passed`
      : `not passed: ${failed.slice(0, 8).map((gate) => words(gate.name)).join(", ")}`)]),
    ...(entry.changes.length === 0 ? [] : [changes(entry)]));
}

function changes(entry: ProfileEntry): HTMLElement {
  return h("details", {},
    h("summary", {}, `${count(entry.changes_total)} ${entry.changes_total === 1 ? "field" : "fields"} changed`),
    h("ul", { class: "changes" }, ...entry.changes.slice(0, CHANGES_SHOWN).map((each) =>
      h("li", {}, `${plain(each.field, 80)}: ${plain(each.before, 60) || "none"} \u2192 ${plain(each.after, 60) || "none"}`))));
}
