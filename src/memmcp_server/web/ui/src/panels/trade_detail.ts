// One trade from its signal to its outcome, at an address of its own: trade=ORDER_ID, over any part of the page.

import type { Api } from "../api";
import { byId, h, setText } from "../dom";
import { plain, words, ZonedTime } from "../format";
import { addressWith } from "../views";
import { isObject, readTrajectory } from "../wire";
import type { Step } from "../wire";
import { readChain } from "../wire_trades";
import type { Chain, ChainStep } from "../wire_trades";
import { addressed } from "./trade_wish";

const STEPS_MAX = 200;
const CITES_MAX = 20;
const TEXT_MAX = 2_000;

export function tradeOf(search: string): string | null {
  const id = new URLSearchParams(search).get("trade")?.trim() ?? "";
  return id === "" ? null : id.slice(0, 128);
}

/** The memories that an order rested on, as its sender named them. */
export function citesOf(step: ChainStep): string[] {
  const signal = step.figures["signal"];
  const evidence = isObject(signal) ? signal["evidence"] : null;
  const cites = isObject(evidence) ? evidence["cites"] : null;
  return typeof cites === "string" ? cites.split("\n").filter((id) => id !== "").slice(0, CITES_MAX) : [];
}

/** The transaction of a step that landed on chain; null for any other. */
export function signatureOf(step: ChainStep): string | null {
  const source = step.figures["source"];
  return step.step === "transaction" && "fill" in step.figures && typeof source === "string" ? source : null;
}

/** The memory of a step: the desk's memory tells the same kind of step at the same time. */
export function memoryOf(step: ChainStep, memories: readonly Step[]): string | null {
  const at = Date.parse(step.ts);
  return memories.find((each) => each.kind === step.step && Date.parse(each.ts) === at)?.id ?? null;
}

export class TradeDetail {
  private readonly dialog = byId("trade") as HTMLDialogElement;
  private shown: string | null = null;

  constructor(private readonly api: Api, private readonly time: () => ZonedTime) {
    byId("trade-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    this.dialog.addEventListener("close", () => {
      this.shown = null;
      if (tradeOf(location.search) !== null) history.pushState(null, "", addressWith(location.search, "trade", null));
    });
  }

  /** Show the trade that the address names, or none. */
  follow(): void {
    const id = tradeOf(location.search);
    if (id === this.shown) return;
    this.shown = id;
    if (id === null) this.dialog.close();
    else void this.open(id);
  }

  private async open(id: string): Promise<void> {
    setText(byId("trade-title"), "Trade");
    byId("trade-body").replaceChildren(h("p", { class: "quiet" }, "Loading the trade."));
    if (!this.dialog.open) this.dialog.showModal();
    try {
      const chain = readChain(await this.api.get(addressed("/why", { order_id: id })));
      const memories = await this.memories(chain.trajectory_id);
      if (this.shown !== id) return;
      byId("trade-body").replaceChildren(...this.told(id, chain, memories));
    } catch (error) {
      if (this.shown !== id) return;
      const text = error instanceof Error ? error.message : String(error);
      byId("trade-body").replaceChildren(h("p", { class: "loss", role: "alert" }, `Cannot show it: ${plain(text, 300)}`));
    }
  }

  /** What the memory holds of the trade; the chain stands without it. */
  private async memories(trajectory: string | null): Promise<Step[]> {
    if (trajectory === null) return [];
    try {
      return readTrajectory(await this.api.get(`/trajectories/${encodeURIComponent(trajectory)}`)).steps;
    } catch {
      return [];
    }
  }

  private told(id: string, chain: Chain, memories: readonly Step[]): HTMLElement[] {
    const isPaper = chain.money === "paper";
    setText(byId("trade-title"), isPaper ? "Paper trade" : "Trade with real money");
    const steps = chain.chain.slice(0, STEPS_MAX);
    const isOnChain = steps.some((step) => step.step === "transaction");
    const trajectory = chain.trajectory_id;
    const fact = (name: string, ...value: (Node | string)[]): HTMLElement => h("div", {}, h("dt", {}, name), h("dd", {}, ...value));
    return [
      h("dl", { class: "facts", "aria-label": "The trade" },
        fact("Money", isPaper ? "Paper: simulated, no SOL moves" : "Real"),
        fact("Order", h("code", {}, plain(id, 128))),
        ...(trajectory === null ? [] : [fact("Trajectory", h("a", { href: `/trajectories/${encodeURIComponent(trajectory)}`, "data-trajectory": trajectory }, plain(trajectory, 128)))]),
        ...(isOnChain ? [] : [fact("Transaction", isPaper ? "None: the fill is simulated" : "None was reported")])),
      h("ol", { class: "chain" }, ...steps.map((step) => this.step(step, id, memories))),
      ...(chain.chain.length > steps.length ? [h("p", { class: "quiet" }, `and ${chain.chain.length - steps.length} more steps`)] : []),
    ];
  }

  private step(step: ChainStep, id: string, memories: readonly Step[]): HTMLElement {
    const signature = signatureOf(step);
    const links = [...new Set([memoryOf(step, memories), ...citesOf(step)])].filter((each) => each !== null);
    return h("li", step.order_id === id ? { "aria-current": "true" } : {},
      h("p", { class: "stream-meta" }, h("span", { class: "kind desk" }, words(step.step)), h("time", { datetime: step.ts }, this.time().full(step.ts))),
      h("p", { class: "stream-text", dir: "auto" }, plain(step.text, TEXT_MAX)),
      signature === null ? null : h("p", { class: "stream-text" }, "Signature ", h("code", { class: "copyable" }, plain(signature, 128))),
      links.length === 0 ? null : h("p", { class: "stream-links wrap" },
        ...links.map((memory, at) => h("a", { href: `/memory/${encodeURIComponent(memory)}`, "data-memory": memory }, at === 0 && memory === memoryOf(step, memories) ? "its memory" : `memory ${plain(memory, 16)}`))));
  }
}
