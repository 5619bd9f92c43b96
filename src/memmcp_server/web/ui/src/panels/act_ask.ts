// Questions: to the sidecar, which answers with an opinion, and to a connected agent, whose task is watched in place.

import type { Api } from "../api";
import { h } from "../dom";
import { count, duration, percent, plain, signedPercent } from "../format";
import type { TradingSnapshot } from "../wire";
import { isObject, readTrajectory } from "../wire";
import { readAssessed } from "../wire_acts";
import type { Assessed } from "../wire_acts";
import { taskDone } from "./act_done";
import { labelled, messageOf, newKey, offer } from "./act_kinds";
import type { ActBody, Asked, Done } from "./act_kinds";

const CONTEXT_MAX = 16;

export class SidecarBody implements ActBody {
  readonly rows: readonly HTMLElement[];
  private readonly about = h("select", {});
  private readonly question = h("textarea", { rows: "3", maxlength: "2000" });
  private isThere: boolean | null = null;

  constructor(private readonly api: Api) {
    this.rows = [labelled("About", this.about), labelled("Question", this.question)];
  }

  follow(snapshot: TradingSnapshot): void {
    offer(this.about, [{ value: "", text: "the desk as a whole" }, ...snapshot.positions.map((each) => ({ value: each.mint, text: plain(each.symbol, 24) }))]);
    const sidecar = (snapshot as unknown as { sidecar?: { asking?: unknown } | null }).sidecar;
    this.isThere = isObject(sidecar) ? isObject(sidecar["asking"]) : null;
  }

  consequence(): string {
    const none = this.isThere === false ? " No sidecar is configured, so nobody would answer: TRADING_SIDECAR__URL and TRADING_SIDECAR__MODEL name one." : "";
    return `The answer is an opinion: it moves nothing, and is kept as a quotation. It costs tokens, within the day\u2019s budget.${none}`;
  }

  async send({ snapshot, key }: Asked): Promise<Done> {
    const text = this.question.value.trim();
    if (text === "") throw new Error("Write a question.");
    const position = snapshot.positions.find((each) => each.mint === this.about.value);
    const desk = {
      state: snapshot.state, equity_lamports: snapshot.equity.lamports, drawdown_bps: snapshot.drawdown_bps, positions: snapshot.positions.length,
      exposure_bps: Math.max(0, Math.round(((snapshot.equity.lamports - snapshot.cash.lamports) / Math.max(1, snapshot.equity.lamports)) * 10_000)),
    };
    const evidence = position === undefined ? [] : [{ id: "position", text: plain(`Holds ${position.amount} of it, worth ${position.value.sol} SOL, unrealised ${position.unrealised.sol} SOL.`, 800) }];
    const wish = { id: key, kind: "scenario", question: text, mint: position?.mint ?? "", symbol: plain(position?.symbol ?? "", 64), desk, evidence };
    const found = readAssessed(await this.api.post("/assess", wish));
    return { text: `${plain(found.model, 80)} answered.`, isDone: true, isOpen: false, more: assessed(found) };
  }
}

function assessed({ assessment, usage }: Assessed): HTMLElement[] {
  const facts: [string, string][] = [
    ["Stance", `${assessment.stance_bps > 0 ? "for" : assessment.stance_bps < 0 ? "against" : "neither"}, ${percent(Math.abs(assessment.stance_bps), 0)}`],
    ["Price is higher", `${percent(assessment.probability_bps, 0)} likely; move ${signedPercent(assessment.low_bps)} to ${signedPercent(assessment.high_bps)}`],
    ["Size, wait", `${percent(assessment.size_scale_bps, 0)} of its own; ${duration(assessment.wait_s)}`],
    ["Sure of it", percent(assessment.confidence_bps, 0)],
    ["Cost", `${count(usage.tokens_in)} + ${count(usage.tokens_out)} tokens, ${(usage.cost_micro_usd / 1_000_000).toFixed(6)} USD, ${duration(usage.latency_ms / 1_000)}${usage.is_cached ? ", remembered" : ""}`],
  ];
  return [
    h("dl", { class: "facts", "aria-label": "The answer" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    h("ul", { class: "quoted", "aria-label": "Its reasons, in its own words" }, ...assessment.reasons.slice(0, 8).map((reason) => h("li", { dir: "auto" }, plain(reason, 500)))),
  ];
}

/** What is sent to file a task with the memories that it is about. */
function taskWish(title: string, text: string, context: readonly string[]): Record<string, unknown> {
  return { title, text, kind: "task", context: context.slice(0, CONTEXT_MAX) };
}

/** The form "Ask an agent about this" under a memory or a trade: its ids go with the question. */
export function askAgent(api: Api, about: string, context: readonly string[], isOperator: () => boolean, ask: (why: string) => void): HTMLElement {
  const title = h("input", { required: "", maxlength: "200", autocomplete: "off" });
  const text = h("textarea", { rows: "3", maxlength: "8000" });
  const answer = h("div", {});
  const form = h("form", { class: "act-form" },
    h("p", { class: "quiet" }, `${count(Math.min(CONTEXT_MAX, context.length))} ${context.length === 1 ? "memory goes" : "memories go"} with it.`),
    h("label", {}, "What is asked", title), h("label", {}, "What to look at, and what answer is wanted", text),
    h("div", { class: "tools" }, h("button", { type: "submit" }, "Ask")), answer);
  title.value = plain(`About ${about}`, 200);
  let key = newKey();
  let isSending = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isOperator()) return ask("Only an operator files tasks from here.");
    if (isSending) return;
    isSending = true;
    answer.replaceChildren(h("p", { role: "status" }, "Sent."));
    void api.post("/tasks", { ...taskWish(title.value.trim(), text.value.trim(), context), idempotency_key: key }).then((made) => {
      key = newKey();
      answer.replaceChildren(...taskDone(api, made).more ?? []);
    }, (error: unknown) => answer.replaceChildren(h("p", { role: "status" }, messageOf(error)))).finally(() => { isSending = false; });
  });
  return h("details", {}, h("summary", {}, "Ask an agent about this"), form);
}

export class TaskBody implements ActBody {
  readonly rows: readonly HTMLElement[];
  private readonly about = h("select", {});
  private readonly title = h("input", { maxlength: "200", autocomplete: "off" });
  private readonly text = h("textarea", { rows: "3", maxlength: "8000" });

  constructor(private readonly api: Api) {
    this.rows = [labelled("About", this.about), labelled("What is asked", this.title), labelled("What to look at", this.text)];
  }

  follow(snapshot: TradingSnapshot): void {
    offer(this.about, [{ value: "", text: "nothing in particular" }, ...snapshot.positions.map((each) => ({ value: each.trajectory_id, text: `the position in ${plain(each.symbol, 24)}` }))]);
  }

  consequence(): string {
    return "A task is filed that any connected agent may claim. The memories of the position go with it; the answer appears here.";
  }

  async send({ post }: Asked): Promise<Done> {
    const title = this.title.value.trim();
    if (title === "") throw new Error("Say what is asked.");
    const chosen = this.about.value;
    const steps = chosen === "" ? [] : readTrajectory(await this.api.get(`/trajectories/${encodeURIComponent(chosen)}`)).steps.slice(-CONTEXT_MAX).map((step) => step.id);
    return taskDone(this.api, await post("/tasks", taskWish(title, this.text.value.trim(), steps)));
  }
}
