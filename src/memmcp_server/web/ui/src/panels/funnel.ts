// Why nothing happened in the page's time range, and what was denied in it: one question for both.

import type { Api } from "../api";
import { byId, fillRows, setText, withMoments } from "../dom";
import { count, duration, plain, ZonedTime } from "../format";
import type { Loadable } from "../model";
import { RangedPoll } from "../poll";
import type { Asked } from "../poll";
import { rangeName, rangeWords } from "../range";
import { readFunnel } from "../wire_risk";
import type { Funnel } from "../wire_risk";
import { bar, limitName } from "./gate";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";
import { addressed } from "./trade_wish";

const EVERY_MS = 15_000;
const REASONS_MAX = 12;
/** Without a beginning the server tells of one day; the whole run begins with its first mark. */
const BEGINNING = "1970-01-01T00:00:00Z";

export interface Why { summary: string; funnel: Funnel }

/** The stages on the way into a position. The first two are of now, whatever the range. */
export function stages(funnel: Funnel, isPast: boolean): { name: string; count: number }[] {
  const now = isPast ? " now" : "";
  return [
    { name: `tokens seen${now}`, count: funnel.seen }, { name: `eligible${now}`, count: funnel.eligible },
    { name: "forecasts", count: funnel.forecast }, { name: "signals to buy", count: funnel.signalled },
    { name: "sized orders", count: funnel.sized }, { name: "approved", count: funnel.approved }, { name: "bought", count: funnel.filled },
  ];
}

/** The end of the range is not in it, and both ends of a funnel are. */
export function funnelAddress({ since, until }: Asked): string {
  return addressed("/why", { since: since ?? BEGINNING, until: until === null ? null : new Date(Date.parse(until) - 1).toISOString() });
}

export class FunnelPanel {
  private readonly panel = new Panel("panel-funnel");
  private readonly poll: RangedPoll<Why>;

  constructor(api: Api, onChange: () => void) {
    this.poll = new RangedPoll(async (within) => readFunnel(await api.get(funnelAddress(within))), EVERY_MS, onChange);
  }

  /** What was denied in the range, null where it is the whole run: the snapshot tells that at every tick. */
  get denied(): Loadable<Why> | null {
    return rangeName(location.search) === "all" ? null : this.poll.value;
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.poll.follow(location.search, nowMs, around.deskMs ?? nowMs);
    const why = this.panel.follow(this.poll.value, { waiting: "Asking why.", staleReason: around.staleReason });
    const isChanged = this.panel.isChanged(why, time, location.search);
    if (why === null || !isChanged) return;
    const { funnel } = why;
    setText(byId("funnel-meta"), `${rangeWords(location.search, time)}${funnel.is_cut ? `, counted since ${time.short(funnel.since)}` : ""}`);
    byId("funnel-summary").replaceChildren(...withMoments(plain(why.summary, 1_000), time).filter((child) => child !== null));
    const found = stages(funnel, rangeName(location.search) !== "all");
    const most = Math.max(1, ...found.map((stage) => stage.count));
    fillRows(byId("funnel") as HTMLTableSectionElement, found.map((stage) => [
      { text: stage.name }, { text: count(stage.count), class: "num" },
      bar(Math.round((stage.count / most) * 10_000), `${count(stage.count)} ${stage.name}`, "plain"),
    ]));
    const lost = [...Object.entries(funnel.passed_over), ...Object.entries(funnel.denied)].sort(([, a], [, b]) => b - a).slice(0, REASONS_MAX);
    setText(byId("funnel-lost"), lost.length === 0 ? "Nothing was passed over or denied."
      : `Fell away: ${lost.map(([reason, number]) => `${limitName(plain(reason, 60))} ${count(number)}`).join(", ")}.`);
    const price = funnel.newest_price;
    setText(byId("funnel-price"), price === null ? "No price yet." : `Newest price: ${time.short(price.ts)}, ${duration(price.age_s)} old.`);
  }
}
