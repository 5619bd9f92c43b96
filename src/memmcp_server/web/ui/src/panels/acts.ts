// The action pad: what an operator may have the desk do. Each act says what it will do now, asks why, has a word typed
// where money can be lost by it, is sent once however often it is repeated, and is followed to its end.

import type { Api } from "../api";
import { ApiError } from "../api";
import { byId, h, setAttribute, setText } from "../dom";
import { count, plain } from "../format";
import { isStarting, readControl } from "../wire";
import type { TradingSnapshot } from "../wire";
import type { KeyAnswer } from "../wire_acts";
import { SidecarBody, TaskBody } from "./act_ask";
import { Follow, isEnded } from "./act_follow";
import { ACTS, consequence, messageOf, newKey, told } from "./act_kinds";
import type { Act, ActBody, ActName, Asked, ControlName, Done } from "./act_kinds";
import { LiveBody } from "./act_live";
import { legsTable, RebalanceBody } from "./act_rebalance";
import { StrategyBody } from "./act_strategy";

export { ACTS, consequence };
export type { ActName };

const IN_SOL: readonly ActName[] = ["target", "deposit", "withdraw"];
const SHIPPED = ["foundation", "cautious", "aggressive", "baseline"];
const UNKNOWN = "It is not known whether it was done; finding out by its key.";

export class ActsPanel {
  private readonly dialog = byId("acts") as HTMLDialogElement;
  private readonly follow: Follow;
  private readonly bodies: Partial<Record<ActName, ActBody>>;
  private snapshot: TradingSnapshot | null = null;
  private act: Act = ACTS[0] as Act;
  private key = "";
  private isSending = false;
  /** Whether what is shown as a preview still stands, and may be sent. */
  private isLooked = false;
  private isFlattened = false;
  private said = "";

  constructor(private readonly api: Api, private readonly isOperator: () => boolean, private readonly ask: (why: string) => void) {
    this.follow = new Follow(api);
    const touched = (): void => this.touched();
    const strategy = new StrategyBody(api, touched);
    const live = new LiveBody(api, () => this.drawConsequence());
    this.bodies = {
      rebalance: new RebalanceBody(api, touched), "strategy-off": strategy, "strategy-on": strategy, promote: strategy, demote: strategy,
      arm: live, disarm: live, sidecar: new SidecarBody(api), task: new TaskBody(api),
    };
    byId("acts-open").addEventListener("click", () => this.open("stop-entries"));
    byId("acts-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => {
      this.follow.stop();
      this.body?.left?.();
    });
    byId("acts-choice").append(...[...new Set(ACTS.map((act) => act.group))].map((group) => this.group(group)));
    for (const id of ["acts-mint", "acts-percent"]) byId(id).addEventListener("input", () => this.drawConsequence());
    byId("acts-profiles").append(...SHIPPED.map((name) => h("option", { value: name })));
    byId("acts-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.send();
    });
  }

  private get body(): ActBody | undefined {
    return this.bodies[this.act.name];
  }

  private group(name: string): HTMLElement {
    return h("div", { class: "act-group", role: "group", "aria-label": name }, h("span", { class: "act-group-name", "aria-hidden": "true" }, name),
      h("div", { class: "act-names" }, ...ACTS.filter((act) => act.group === name).map((act) => {
        const input = h("input", { type: "radio", name: "act", value: act.name });
        input.addEventListener("change", () => this.choose(act));
        return h("label", {}, input, act.label);
      })));
  }

  /** Show the pad with an act chosen. Without an operator's session it asks for one first. */
  open(name: ActName): void {
    if (!this.isOperator()) {
      this.ask("Only an operator acts on the desk.");
      return;
    }
    this.field("acts-reason").value = "";
    this.choose(ACTS.find((act) => act.name === name) ?? this.act);
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** Take the newest snapshot: what an act will do, and how one that was sent is coming along. */
  draw(snapshot: TradingSnapshot | null): void {
    if (snapshot === this.snapshot) return;
    this.snapshot = snapshot;
    if (!this.dialog.open) return;
    this.drawPositions();
    if (snapshot !== null) this.body?.follow?.(snapshot);
    this.drawConsequence();
    if (this.isFlattened) this.drawFlattened();
  }

  private field(id: string): HTMLInputElement {
    return byId(id) as HTMLInputElement;
  }

  private choose(act: Act): void {
    this.body?.left?.();
    this.follow.stop();
    this.act = act;
    this.isFlattened = false;
    this.key = newKey();
    for (const input of byId("acts-choice").querySelectorAll("input")) input.checked = input.value === act.name;
    const shown: [string, boolean][] = [["acts-word-row", act.word !== ""], ["acts-close-rows", act.name === "close"], ["acts-profile-row", act.name === "profile"],
      ["acts-amount-row", IN_SOL.includes(act.name)], ["acts-reason-row", act.hasReason], ["acts-send", act.name !== "arm"]];
    for (const [id, isShown] of shown) setAttribute(byId(id), "hidden", isShown ? null : "");
    setAttribute(byId("acts-reason"), "required", act.hasReason ? "" : null);
    setText(byId("acts-word-name"), act.word);
    this.field("acts-word").value = "";
    this.tell("");
    byId("acts-own").replaceChildren(...(this.body?.rows ?? []));
    this.drawPositions();
    if (this.snapshot !== null) this.body?.follow?.(this.snapshot);
    this.body?.chosen?.(act);
    this.touched();
  }

  /** What is asked for is another thing now: what was looked at does not stand for it. */
  private touched(): void {
    this.isLooked = false;
    byId("acts-preview").replaceChildren();
    this.drawConsequence();
  }

  private drawPositions(): void {
    const select = byId("acts-mint") as HTMLSelectElement;
    const chosen = select.value;
    const positions = this.snapshot?.positions ?? [];
    select.replaceChildren(...positions.map((each) => h("option", { value: each.mint }, plain(each.symbol, 24))));
    if (positions.some((each) => each.mint === chosen)) select.value = chosen;
  }

  private drawConsequence(): void {
    const { snapshot, body, act } = this;
    const isReady = snapshot !== null && !isStarting(snapshot);
    setText(byId("acts-consequence"), snapshot === null ? "There is no snapshot of the desk yet."
      : body?.consequence(snapshot) ?? consequence(act.name as ControlName, snapshot, this.field("acts-mint").value, Number(this.field("acts-percent").value)));
    setText(byId("acts-send"), this.mustLook() ? "Show what it would do" : act.label);
    setAttribute(byId("acts-word-row"), "hidden", act.word !== "" && !this.mustLook() ? null : "");
    setAttribute(byId("acts-send"), "disabled", isReady && !this.isSending ? null : "");
  }

  private mustLook(): boolean {
    return !this.isLooked && this.body?.look !== undefined && (this.act.name === "rebalance" || this.act.name === "promote");
  }

  private asked(snapshot: TradingSnapshot): Asked {
    return { snapshot, reason: this.field("acts-reason").value.trim(), key: this.key, isBound: this.act.isBound };
  }

  private tell(text: string, more: readonly HTMLElement[] = []): void {
    this.said = text;
    setText(byId("acts-answer"), text);
    setText(byId("acts-end"), "");
    byId("acts-more").replaceChildren(...more);
    byId("acts-undo").replaceChildren();
  }

  private async send(): Promise<void> {
    const { act, snapshot } = this;
    if (this.isSending || snapshot === null || act.name === "arm") return;
    const isLook = this.mustLook();
    if (!isLook && act.word !== "" && this.field("acts-word").value.trim().toLowerCase() !== act.word) {
      this.tell(`Type the word ${act.word} to confirm it.`);
      this.field("acts-word").focus();
      return;
    }
    this.isSending = true;
    this.drawConsequence();
    this.tell(isLook ? "Asking what it would do." : "Sent; waiting for the desk.");
    try {
      if (isLook) await this.look(act, this.asked(snapshot));
      else this.done(act, await (this.body?.send?.(this.asked(snapshot)) ?? this.control(act, this.asked(snapshot))));
    } catch (error) {
      if (act === this.act) this.failed(act, error, isLook);
    } finally {
      this.isSending = false;
      this.drawConsequence();
    }
  }

  private async look(act: Act, asked: Asked): Promise<void> {
    const look = await this.body?.look?.(asked);
    if (look === undefined || act !== this.act) return;
    this.isLooked = look.isPossible;
    byId("acts-preview").replaceChildren(...look.nodes);
    this.tell(look.isPossible ? `Nothing has happened yet. Type the word ${act.word} to do it.` : "Nothing of it can be done now.");
  }

  private async control(act: Act, { snapshot, reason, key }: Asked): Promise<Done> {
    const answer = readControl(await this.api.post(`/actions/${act.name}`, {
      reason, idempotency_key: key,
      ...(act.isBound ? { expected_state: snapshot.state } : {}),
      ...(act.name === "close" ? { mint: this.field("acts-mint").value, percent: Number(this.field("acts-percent").value) } : {}),
      ...(IN_SOL.includes(act.name) ? { amount_sol: this.field("acts-amount").value.trim() } : {}),
      ...(act.name === "profile" ? { profile: this.field("acts-profile").value.trim() } : {}),
    }));
    const isDone = answer.status === "done";
    this.isFlattened = isDone && answer.state === "HALTED" && act.name === "flatten-and-halt";
    return { text: told(isDone ? "Done" : "Denied", answer.effect), isDone, isOpen: isDone && (answer.order_ids ?? []).length > 0 };
  }

  private done(act: Act, done: Done): void {
    const key = this.key;
    if (act !== this.act) return;
    this.key = newKey();
    this.tell(done.text, done.more);
    if (this.isFlattened) this.drawFlattened();
    if (done.isDone) this.drawUndo(act);
    if (done.isDone && this.body?.look !== undefined) this.touched();
    if (done.isOpen) this.follow.start(key, (answer) => this.drawEnd(answer), () => setText(byId("acts-end"), "Its orders cannot be looked up just now; trying again."));
  }

  private failed(act: Act, error: unknown, isLook: boolean): void {
    const isUnknown = error instanceof ApiError && (error.status === 0 || error.status >= 500);
    this.tell(messageOf(error));
    if (error instanceof ApiError && (error.status === 401 || error.code === "insufficient_scope")) this.ask("Only an operator acts on the desk.");
    const isKept = ["sidecar", "task", "disarm"].includes(act.name);
    if (!isUnknown || isLook || isKept) return;
    // The same key once more: what was done without an answer is not done again.
    this.tell(`${messageOf(error)} ${UNKNOWN}`);
    this.follow.start(this.key, (answer, isEnd) => this.found(act, answer, isEnd), () => setText(byId("acts-end"), "The server does not answer yet; trying again."));
  }

  /** What the server says of a key whose answer was lost. */
  private found(act: Act, answer: KeyAnswer | null, isEnd: boolean): void {
    if (answer === null) {
      if (isEnd) this.tell("Nothing of it is done so far, as far as the server knows. Sending it again does it once at most.");
      return;
    }
    if (this.said.endsWith(UNKNOWN)) {
      const isDenied = answer.status === "denied" || answer.status === "rejected";
      this.tell(told("It was done after all", answer.message));
      if (isDenied) this.tell(told("It was denied", answer.message));
      else this.drawUndo(act);
      this.key = newKey();
    }
    this.drawEnd(answer);
  }

  private drawEnd(answer: KeyAnswer | null): void {
    if (answer === null) return;
    if (answer.legs.length > 0) byId("acts-more").replaceChildren(...legsTable(answer.legs, "What was done"));
    const isTrade = answer.order_id !== null || answer.legs.some((leg) => leg.outcome !== undefined);
    if (!isTrade) return;
    if (!isEnded(answer)) setText(byId("acts-end"), answer.orders_open > 0 ? `${count(answer.orders_open)} ${answer.orders_open === 1 ? "order is" : "orders are"} under way.` : "The order is under way.");
    else setText(byId("acts-end"), answer.status === "rejected" ? told("The end: rejected", answer.message, 300) : answer.legs.length > 0 ? "The end: every order is settled." : told("The end", answer.message, 300));
  }

  private drawFlattened(): void {
    const left = this.snapshot?.positions.length ?? 0;
    setText(byId("acts-answer"), `${this.said}${left === 0 ? " Nothing is held any more." : ` ${count(left)} ${left === 1 ? "position is" : "positions are"} still held.`}`);
  }

  private drawUndo({ undo }: Act): void {
    if (undo === null) return;
    const label = ACTS.find((act) => act.name === undo)?.label ?? undo;
    const button = h("button", { type: "button", class: "small" }, `Undo: ${label.toLowerCase()}`);
    button.addEventListener("click", () => this.open(undo));
    byId("acts-undo").replaceChildren(button);
  }
}
