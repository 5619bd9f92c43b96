// Every desk as it reported last: ours, and outside engines, whose money and risk are never added to ours.

import type { Api } from "../api";
import { byId, fillRows, h, setText } from "../dom";
import { count, duration, NOTHING, percent, plain, sol, ZonedTime } from "../format";
import { Poll } from "../poll";
import { readDesks } from "../wire_insights";
import type { DeskList, DeskSum } from "../wire_insights";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";

const EVERY_MS = 10_000;
const ROWS_MAX = 50;
const SUMS_MAX = 4;

/** "2.0000 SOL, 0.4000 SOL of it in positions"; what no desk says is not counted as nothing. */
export function sumText(sum: DeskSum): string {
  const worth = sum.equity_lamports === null ? "equity not told" : `${sol(sum.equity_lamports)} SOL`;
  const placed = sum.exposure_lamports === null ? "exposure not told" : `${sol(sum.exposure_lamports)} SOL in positions`;
  return `${worth}, ${placed}`;
}

/** "real: 3.0000 SOL, ... in 2 desks, 1 of them silent and left out" */
export function outsideText(sum: DeskSum): string {
  const desks = `${count(sum.desks)} ${sum.desks === 1 ? "desk" : "desks"}`;
  if (sum.stale === sum.desks) return `${plain(sum.money, 20)} in ${desks}, silent, so in no sum`;
  return `${plain(sum.money, 20)} ${sumText(sum)}, in ${desks}${sum.stale === 0 ? "" : `, ${count(sum.stale)} of them silent and left out`}`;
}

export class DesksPanel {
  private readonly panel = new Panel("panel-desks");
  private readonly poll: Poll<DeskList>;

  constructor(api: Api, onChange: () => void) {
    this.poll = new Poll(async () => readDesks(await api.get("/telemetry/desks")), EVERY_MS, onChange);
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    const list = this.panel.follow(this.poll.value, { waiting: "Asking the desks.", staleReason: around.staleReason });
    if (list === null) return;
    if (list.desks.length === 0 && this.poll.value.state === "ready") this.panel.show("empty", "No desk has reported yet.");
    if (!this.panel.isChanged(list, time)) return;
    const all = list.desks.length + list.left_out;
    const shown = list.desks.slice(0, ROWS_MAX);
    setText(byId("desks-meta"), `${count(all)} ${all === 1 ? "desk" : "desks"}${all > shown.length ? `, ${count(shown.length)} shown` : ""}`);
    const { own, outside } = list.totals;
    setText(byId("desks-own"), own === null ? "Our own desk has not reported yet." : `Our own desk (${plain(own.money, 20)}): ${sumText(own)}${own.stale > 0 ? ", silent" : ""}.`);
    const told = outside.slice(0, SUMS_MAX).map(outsideText);
    setText(byId("desks-outside"), told.length === 0 ? "No outside engine reports here."
      : `Outside engines, never added to ours: ${told.join("; ")}${outside.length > told.length ? "; and others" : ""}.`);
    fillRows(byId("desks") as HTMLTableSectionElement, shown.map((desk) => [
      h("span", { class: "token" }, h("span", {}, plain(desk.desk_id, 64)),
        h("span", { class: "sub wrap" }, `${desk.is_own ? "ours" : "outside"}, ${desk.money === null ? "money not told" : `${plain(desk.money, 20)} money`}`),
        h("span", { class: desk.stale ? "sub warn wrap" : "sub wrap", title: time.full(desk.ts) },
          `${desk.state === null ? "state not told" : plain(desk.state, 20)}, ${duration(desk.age_s)} ago${desk.stale ? ", silent" : ""}`)),
      { text: desk.equity_lamports === null ? NOTHING : `${sol(desk.equity_lamports)} SOL`,
        sub: desk.drawdown_bps === null ? "not told" : percent(desk.drawdown_bps), class: "num" },
      { text: desk.exposure_lamports === null ? NOTHING : `${sol(desk.exposure_lamports)} SOL`,
        sub: desk.exposure_bps === null ? "not told" : percent(desk.exposure_bps, 1), class: "num" },
    ]));
  }
}
