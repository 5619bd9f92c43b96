// Where the money is, and why nothing was bought: what the risk side of the desk knows beside its limits.

import type { Api } from "../api";
import { byId, fillRows, h, setAttribute, setText } from "../dom";
import { count, duration, percent, plain, sol, words, ZonedTime } from "../format";
import { Poll } from "../poll";
import { readFunnel, readRisk } from "../wire_risk";
import type { ExposureShare, Funnel, Risk } from "../wire_risk";
import { bar, limitName } from "./gate";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";

const EVERY_MS = 5_000;
const FUNNEL_EVERY_MS = 15_000;
const ROWS_MAX = 12;
const BY = ["token", "strategy", "bucket", "tier", "group"] as const;
type By = (typeof BY)[number];

export class ExposurePanel {
  private readonly panel = new Panel("panel-exposure");
  private readonly poll: Poll<Risk>;
  private by: By = "token";

  constructor(api: Api, onChange: () => void) {
    this.poll = new Poll(async () => readRisk(await api.get("/risk")), EVERY_MS, onChange);
    byId("exposure-by").append(...BY.map((by) => {
      const button = h("button", { type: "button", "aria-pressed": String(by === this.by) }, words(by));
      button.addEventListener("click", () => {
        this.by = by;
        for (const each of byId("exposure-by").querySelectorAll("button")) setAttribute(each, "aria-pressed", String(each === button));
        onChange();
      });
      return button;
    }));
  }

  draw(nowMs: number, around: Surroundings): void {
    this.poll.follow(nowMs);
    const risk = this.panel.follow(this.poll.value, { waiting: "Loading the exposure.", staleReason: around.staleReason });
    if (risk === null) return;
    const shares = sharesBy(risk, this.by);
    if (shares.length === 0 && this.poll.value.state === "ready" && around.staleReason === null) {
      this.panel.show("empty", "Nothing is held, and no entry is open.");
    }
    if (!this.panel.isChanged(risk, this.by)) return;
    setText(byId("exposure-meta"), `${percent(risk.exposure_bps, 1)} of equity`);
    fillRows(byId("exposure") as HTMLTableSectionElement, shares.slice(0, ROWS_MAX).map((share) => [
      { text: plain(share.label, 48) || plain(share.name, 48), title: plain(share.name, 64) },
      { text: `${sol(share.lamports)} SOL`, class: "num" },
      bar(Math.min(10_000, share.share_bps), `${percent(share.share_bps, 1)} of equity`, "plain"),
      { text: percent(share.share_bps, 1), class: "num" },
    ]));
  }
}

function sharesBy(risk: Risk, by: By): ExposureShare[] {
  return risk.exposure_map?.[`by_${by}`] ?? [];
}

/** The stages on the way into a position, with what each kept and why the rest fell away. */
export function stages(funnel: Funnel): { name: string; count: number }[] {
  return [
    { name: "tokens seen", count: funnel.seen }, { name: "eligible", count: funnel.eligible }, { name: "forecasts", count: funnel.forecast },
    { name: "signals to buy", count: funnel.signalled }, { name: "sized orders", count: funnel.sized }, { name: "approved", count: funnel.approved },
    { name: "bought", count: funnel.filled },
  ];
}

export class FunnelPanel {
  private readonly panel = new Panel("panel-funnel");
  private readonly poll: Poll<{ summary: string; funnel: Funnel }>;

  constructor(api: Api, onChange: () => void) {
    this.poll = new Poll(async () => readFunnel(await api.get("/why")), FUNNEL_EVERY_MS, onChange);
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    const why = this.panel.follow(this.poll.value, { waiting: "Asking why.", staleReason: around.staleReason });
    if (why === null || !this.panel.isChanged(why, time)) return;
    const { funnel } = why;
    setText(byId("funnel-meta"), `${time.short(funnel.since)} to ${time.short(funnel.until)}`);
    setText(byId("funnel-summary"), plain(why.summary, 1_000));
    const found = stages(funnel);
    const most = Math.max(1, ...found.map((stage) => stage.count));
    fillRows(byId("funnel") as HTMLTableSectionElement, found.map((stage) => [
      { text: stage.name }, { text: count(stage.count), class: "num" },
      bar(Math.round((stage.count / most) * 10_000), `${count(stage.count)} ${stage.name}`, "plain"),
    ]));
    const lost = [...Object.entries(funnel.passed_over), ...Object.entries(funnel.denied)].sort(([, a], [, b]) => b - a).slice(0, ROWS_MAX);
    setText(byId("funnel-lost"), lost.length === 0 ? "Nothing was passed over or denied."
      : `Fell away: ${lost.map(([reason, number]) => `${limitName(plain(reason, 60))} ${count(number)}`).join(", ")}.`);
    const price = funnel.newest_price;
    setText(byId("funnel-price"), price === null ? "No price yet." : `Newest price: ${time.short(price.ts)}, ${duration(price.age_s)} old.`);
  }
}
