import { byId, fillRows, h, setText } from "../dom";
import type { Cell } from "../dom";
import { count, exactSol, NOTHING, plain, signedSol, words, ZonedTime } from "../format";
import type { Loadable } from "../model";
import type { Trajectory } from "../wire";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";
import { trend } from "./trading";

/** The newest trades as trajectories: each opens its whole chain from signal to outcome. */
export class TradesPanel {
  private readonly panel = new Panel("panel-trades");

  draw(trades: Loadable<Trajectory[]>, time: ZonedTime, around: Surroundings): void {
    const list = this.panel.follow(trades, { waiting: "Loading the trades.", staleReason: around.staleReason });
    if (list === null) return;
    if (list.length === 0 && trades.state === "ready" && around.staleReason === null) this.panel.show("empty", "No trade yet.");
    const open = list.filter((trade) => trade.closed_at === null).length;
    setText(byId("trades-meta"), list.length > 0 ? `latest ${count(list.length)}, ${count(open)} open` : "");
    fillRows(byId("trades") as HTMLTableSectionElement, list.map((trade) => tradeRow(trade, time)));
  }
}

function tradeRow(trade: Trajectory, time: ZonedTime): Cell[] {
  const reward = trade.reward_unit === "lamports" ? trade.reward : null;
  return [
    h("a", { href: `/trajectories/${encodeURIComponent(trade.id)}`, "data-trajectory": trade.id, dir: "auto" }, plain(trade.title, 90)),
    { text: time.short(trade.opened_at), title: time.full(trade.opened_at) },
    trade.closed_at === null ? { text: "open" } : { text: time.short(trade.closed_at), title: time.full(trade.closed_at) },
    { text: trade.outcome === null ? NOTHING : words(trade.outcome) },
    reward === null ? { text: NOTHING, class: "num" }
      : { text: `${reward > 0 ? "\u25b2 " : reward < 0 ? "\u25bc " : ""}${signedSol(reward)} SOL`, class: `num ${trend(reward)}`, title: exactSol(reward) },
    { text: count(trade.steps_total), class: "num" },
  ];
}
