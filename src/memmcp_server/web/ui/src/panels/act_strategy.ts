// Strategies: switched off and on by their level, candidates promoted past their gates, and demoted.

import { Api } from "../api";
import { h } from "../dom";
import { plain, words } from "../format";
import { readCandidates, readPromotion } from "../wire_acts";
import type { Candidate } from "../wire_acts";
import { readStrategies } from "../wire_strategies";
import type { Strategy } from "../wire_strategies";
import { controlDone, promotionDone } from "./act_done";
import { labelled, messageOf, offer } from "./act_kinds";
import type { Act, ActBody, ActName, Asked, Done, Look } from "./act_kinds";
import { gatesTable } from "./act_tables";

const SHOWN = 50;
/** To real money the desk's run is replayed first, which the server gives ten minutes. */
export const PROMOTION_MS = 660_000;

export class StrategyBody implements ActBody {
  readonly rows: readonly HTMLElement[];
  private readonly strategy = h("select", {});
  private readonly candidate = h("select", { id: "acts-candidate" });
  private readonly stage = h("select", {}, h("option", { value: "paper" }, "paper"), h("option", { value: "live" }, "live: released for real money"));
  private readonly strategyRow = labelled("Strategy", this.strategy);
  private readonly candidateRows = h("div", { class: "fields" }, labelled("Candidate", this.candidate), labelled("To", this.stage));
  private strategies: Strategy[] = [];
  private candidates: Candidate[] = [];
  private act: Act | null = null;
  private problem = "";
  private readonly patient = new Api(undefined, PROMOTION_MS);

  constructor(private readonly api: Api, private readonly changed: () => void) {
    this.rows = [this.strategyRow, this.candidateRows];
    for (const field of [this.strategy, this.candidate, this.stage]) field.addEventListener("change", () => this.changed());
  }

  chosen(act: Act): void {
    this.act = act;
    const isPromoting = act.name === "promote";
    this.strategyRow.hidden = isPromoting;
    this.candidateRows.hidden = !isPromoting;
    void this.load();
  }

  consequence(): string {
    if (this.problem !== "") return this.problem;
    const name = this.strategy.value;
    const chosen = this.strategies.find((each) => each.name === name);
    const stands = chosen?.state === undefined || chosen.state === "ACTIVE" ? "on" : `${chosen.state}${chosen.state_reason ? `, ${plain(chosen.state_reason, 160)}` : ""}`;
    if (this.act?.name === "promote") {
      const candidate = this.candidates.find((each) => each.id === this.candidate.value);
      if (candidate === undefined) return "Nothing was proposed for promotion yet.";
      return `${plain(candidate.strategy, 48)} trades with the parameters of ${candidate.id} (${words(candidate.stage)} now), if every gate is passed. Open positions stay.`;
    }
    if (chosen === undefined) return "Choose a strategy.";
    const label = plain(name, 48);
    if (this.act?.name === "demote") return `${label} enters nothing any more, and its candidate is demoted. Open positions stay until their exits.`;
    if (this.act?.name === "strategy-on") return `${label} may enter again; its drawdown is measured anew from here. Now: ${stands}.`;
    return `${label} enters nothing any more. Its open positions stay until their exits. Now: ${stands}.`;
  }

  async look({ snapshot, reason }: Asked): Promise<Look> {
    const wish = { action: "promote", candidate: this.candidate.value, stage: this.stage.value, dry_run: true, reason, expected_state: snapshot.state };
    const read = readPromotion(await this.patient.post("/promotions", wish));
    return { nodes: [h("p", {}, plain(read.effect, 600)), ...gatesTable(read.gates)], isPossible: read.status === "checked" && read.gates.length > 0 && read.gates.every((gate) => gate.passed), expiresAt: null };
  }

  async send({ snapshot, reason, post, isBound }: Asked): Promise<Done> {
    const act = this.act?.name ?? "strategy-off";
    const bound = { reason, ...(isBound ? { expected_state: snapshot.state } : {}) };
    const done = await this.asked(act, bound, post);
    void this.load();
    return done;
  }

  private async asked(act: ActName, bound: Record<string, unknown>, post: Asked["post"]): Promise<Done> {
    const strategy = this.strategy.value;
    if (act === "promote") return promotionDone(await post("/promotions", { action: act, candidate: this.candidate.value, stage: this.stage.value, ...bound }));
    if (act === "demote") return promotionDone(await post("/promotions", { action: act, strategy, ...bound }));
    return controlDone(await post(act === "strategy-on" ? "/actions/resume" : "/actions/reduce-only", { ...bound, level: `strategy:${strategy}` }));
  }

  private async load(): Promise<void> {
    try {
      const [list, found] = await Promise.all([this.api.get("/strategies"), this.api.get(`/candidates?limit=${SHOWN}`)]);
      this.strategies = readStrategies(list).strategies.slice(0, SHOWN);
      this.candidates = readCandidates(found).slice(0, SHOWN);
      this.problem = "";
    } catch (error) {
      this.problem = messageOf(error);
    }
    offer(this.strategy, this.strategies.map((each) => ({ value: each.name, text: plain(each.name, 48) })));
    offer(this.candidate, this.candidates.map((each) => ({ value: each.id, text: `${plain(each.strategy, 40)} \u00b7 ${words(each.stage)} \u00b7 ${plain(each.id, 24)}` })));
    this.changed();
  }
}
