// Where the money is, by token, strategy, bucket, tier and group.

import type { Api } from "../api";
import { byId, fillRows, h, setAttribute, setText } from "../dom";
import { percent, plain, sol, words } from "../format";
import { Poll } from "../poll";
import { readRisk } from "../wire_risk";
import type { ExposureShare, Risk } from "../wire_risk";
import { bar } from "./gate";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";

const EVERY_MS = 5_000;
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
