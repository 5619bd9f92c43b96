// Rebalancing: weights by token or by strategy, what the server says it would sell and buy, then what became of each leg.

import type { Api } from "../api";
import { h, setAttribute, setText } from "../dom";
import { percent, plain, sol } from "../format";
import type { TradingSnapshot } from "../wire";
import { readStrategies } from "../wire_strategies";
import { readRebalance } from "../wire_acts";
import { rebalanceDone } from "./act_done";
import { labelled, messageOf, offer } from "./act_kinds";
import type { ActBody, Asked, Done, Look } from "./act_kinds";
import { legsTable } from "./act_tables";

const ROWS_MAX = 24;
const BPS = 10_000;
type Scope = "tokens" | "buckets";

const POLICIES: Record<Scope, { value: string; text: string }[]> = {
  tokens: [{ value: "weights", text: "to these shares" }, { value: "equal", text: "to equal shares" }, { value: "cash", text: "everything to cash" }],
  buckets: [
    { value: "weights", text: "to these shares" }, { value: "profile", text: "as the profile says" },
    { value: "equal", text: "equal shares" }, { value: "cash", text: "out of reach" },
  ],
};

/** Basis points of what was typed as per cent, null where that is no share. */
export function bpsOf(text: string): number | null {
  const match = /^(\d{1,3})(?:[.,](\d{1,2}))?$/.exec(text.trim());
  if (match === null) return null;
  const bps = Number(match[1]) * 100 + Number((match[2] ?? "").padEnd(2, "0"));
  return bps <= BPS ? bps : null;
}

interface Row { name: string; label: string; bps: number }

export class RebalanceBody implements ActBody {
  readonly rows: readonly HTMLElement[];
  private readonly scope = h("select", {}, h("option", { value: "tokens" }, "tokens"), h("option", { value: "buckets" }, "strategies' cash"));
  private readonly policy = h("select", {});
  private readonly weights = h("div", { class: "fields weights", role: "group", "aria-label": "Shares in per cent" });
  private readonly other = h("input", { maxlength: "64", autocomplete: "off", placeholder: "mint" });
  private readonly add = h("button", { type: "button", class: "small" }, "Add this token");
  private readonly sum = h("p", { class: "quiet", role: "status" });
  private readonly inputs = new Map<string, HTMLInputElement>();
  private readonly adding: HTMLElement;
  private snapshot: TradingSnapshot | null = null;
  private preview: string | null = null;

  constructor(private readonly api: Api, private readonly changed: () => void) {
    this.adding = h("div", { class: "fields" }, labelled("Another token, by its mint", this.other), this.add);
    this.rows = [
      h("div", { class: "fields" }, labelled("What is moved", this.scope), labelled("How", this.policy)), this.weights, this.adding, this.sum,
    ];
    this.scope.addEventListener("change", () => void this.scoped());
    this.policy.addEventListener("change", () => this.touched());
    this.add.addEventListener("click", () => {
      const mint = this.other.value.trim();
      if (mint === "" || this.inputs.has(mint) || this.inputs.size >= ROWS_MAX) return;
      this.weight({ name: mint, label: mint, bps: 0 });
      this.other.value = "";
      this.touched();
    });
  }

  consequence(snapshot: TradingSnapshot): string {
    const held = snapshot.equity.lamports - snapshot.cash.lamports;
    if (this.scope.value === "buckets") return "Cash moves between the strategies\u2019 buckets; nothing is bought or sold, and open positions stay.";
    return `Sales come first, then purchases, each through the risk gate. Held now: ${sol(held)} of ${sol(snapshot.equity.lamports)} SOL.`;
  }

  chosen(): void {
    void this.scoped();
  }

  follow(snapshot: TradingSnapshot): void {
    const isNew = this.snapshot === null;
    this.snapshot = snapshot;
    if (isNew) void this.scoped();
  }

  async look({ snapshot, reason, key }: Asked): Promise<Look> {
    const shown = readRebalance(await this.api.post("/rebalance", { ...this.wish(), reason, idempotency_key: `${key}-look`, expected_state: snapshot.state }));
    this.preview = shown.preview_id;
    const isPossible = shown.status === "preview" && shown.legs.length > 0 && shown.preview_id !== null;
    return { nodes: [h("p", {}, plain(shown.message, 400)), ...legsTable(shown.legs, "What would be done")], isPossible, expiresAt: shown.expires_at };
  }

  async send({ snapshot, reason, post }: Asked): Promise<Done> {
    return rebalanceDone(await post("/rebalance", { ...this.wish(), reason, preview_id: this.preview, expected_state: snapshot.state }));
  }

  private wish(): Record<string, unknown> {
    const scope = this.scope.value;
    if (this.policy.value !== "weights") return { scope, policy: this.policy.value };
    const weights: Record<string, number> = {};
    for (const [name, input] of this.inputs) {
      const bps = bpsOf(input.value);
      if (bps === null) throw new Error(`The share of ${plain(name, 48)} is "${plain(input.value, 20)}"; a number from 0 to 100 with at most 2 decimals is needed.`);
      weights[name] = bps;
    }
    return { scope, weights_bps: weights };
  }

  private async scoped(): Promise<void> {
    const scope = this.scope.value as Scope;
    offer(this.policy, POLICIES[scope]);
    setAttribute(this.adding, "hidden", scope === "tokens" ? null : "");
    let rows: Row[] = [];
    if (scope === "tokens") rows = this.tokens();
    else {
      try {
        rows = await this.shares();
      } catch (error) {
        setText(this.sum, messageOf(error));
      }
      if (this.scope.value !== scope) return;
    }
    this.inputs.clear();
    this.weights.replaceChildren();
    for (const row of rows.slice(0, ROWS_MAX)) this.weight(row);
    this.touched();
  }

  private tokens(): Row[] {
    const snapshot = this.snapshot;
    if (snapshot === null) return [];
    const found = new Map<string, Row>();
    for (const { mint, symbol, value } of snapshot.positions) {
      const bps = Math.round((value.lamports / Math.max(1, snapshot.equity.lamports)) * BPS);
      const before = found.get(mint);
      found.set(mint, { name: mint, label: plain(symbol, 24), bps: bps + (before?.bps ?? 0) });
    }
    return [...found.values()];
  }

  private async shares(): Promise<Row[]> {
    const { strategies } = readStrategies(await this.api.get("/strategies"));
    const whole = Math.max(1, strategies.reduce((sum, each) => sum + each.capital.lamports, 0));
    return strategies.map((each) => ({ name: each.name, label: plain(each.name, 48), bps: Math.floor((each.capital.lamports / whole) * BPS) }));
  }

  private weight(row: Row): void {
    const input = h("input", { inputmode: "decimal", maxlength: "6", autocomplete: "off" });
    input.value = (row.bps / 100).toFixed(2);
    input.addEventListener("input", () => this.touched());
    this.inputs.set(row.name, input);
    this.weights.append(h("label", { title: plain(row.name, 64) }, `${plain(row.label, 28)}, % (now ${percent(row.bps, 1)})`, input));
  }

  private touched(): void {
    this.preview = null;
    const isWeights = this.policy.value === "weights";
    setAttribute(this.weights, "hidden", isWeights && this.inputs.size > 0 ? null : "");
    setAttribute(this.adding, "hidden", isWeights && this.scope.value === "tokens" ? null : "");
    const total = [...this.inputs.values()].reduce((sum, each) => sum + (bpsOf(each.value) ?? 0), 0);
    setText(this.sum, !isWeights ? "" : total > BPS ? `Together ${percent(total)}: more than there is.` : `Together ${percent(total)}; the rest is ${this.scope.value === "tokens" ? "cash" : "left where it is"}.`);
    this.changed();
  }
}
