// The action pad: what an operator may have the desk do. Each act says what it will do now, asks why, has a word typed
// where money can be lost by it, is sent once however often it is repeated, and is followed to its end.

import { Api, ApiError } from "../api";
import { byId, h, setAttribute, setText } from "../dom";
import { count, plain } from "../format";
import { Sent, SessionKeep } from "../sent";
import type { SentAct } from "../sent";
import { isStarting } from "../wire";
import type { TradingSnapshot } from "../wire";
import type { KeyAnswer } from "../wire_acts";
import { SidecarBody, TaskBody } from "./act_ask";
import { controlDone, doneOf } from "./act_done";
import { endOf, Follow, isEnded } from "./act_follow";
import { ACTS, consequence, messageOf, newKey, told } from "./act_kinds";
import type { Act, ActBody, ActName, Asked, ControlName, Done } from "./act_kinds";
import { LiveBody } from "./act_live";
import { RebalanceBody } from "./act_rebalance";
import { markOpen, SentList } from "./act_sent";
import { PROMOTION_MS, StrategyBody } from "./act_strategy";
import { legsTable } from "./act_tables";

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
  /** The key that the form tells of, "" before it was sent: the list leaves it out. */
  private shown = "";
  private isSending = false;
  /** Whether what is shown as a preview still stands, and may be sent. */
  private isLooked = false;
  private isFlattened = false;
  private said = "";
  /** What was sent before and is to be sent again, as it was; null: what the form says. */
  private again: SentAct | null = null;
  private readonly sent = new Sent(new SessionKeep("memmcp.sent"), newKey());
  private readonly sentList: SentList;
  private readonly patient = new Api(undefined, PROMOTION_MS);

  /** ``operator``: the name of who is logged in as one, null while nobody is. */
  constructor(private readonly api: Api, private readonly operator: () => string | null, private readonly ask: (why: string) => void) {
    this.sentList = new SentList(api, this.sent, byId("acts-sent"), (entry) => this.repeat(entry), (open) => markOpen(byId("acts-open"), open));
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
      this.shown = "";
      this.drawSent();
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

  /** Show what was sent before, and ask what became of it: somebody has logged in, or nobody is any more. */
  drawSent(): void {
    this.sentList.draw(this.operator(), this.shown);
  }

  /** Show the pad with an act chosen. Without an operator's session it asks for one first. */
  open(name: ActName): void {
    if (this.operator() === null) {
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

  private choose(act: Act, again: SentAct | null = null): void {
    this.body?.left?.();
    this.follow.stop();
    this.act = act;
    this.again = again;
    this.isFlattened = false;
    this.key = again?.key ?? newKey();
    this.shown = again?.key ?? "";
    this.drawSent();
    for (const input of byId("acts-choice").querySelectorAll("input")) input.checked = input.value === act.name;
    const isAsked = again === null;
    const shown: [string, boolean][] = [["acts-word-row", act.word !== ""], ["acts-close-rows", isAsked && act.name === "close"], ["acts-profile-row", isAsked && act.name === "profile"],
      ["acts-amount-row", isAsked && IN_SOL.includes(act.name)], ["acts-reason-row", isAsked && act.hasReason], ["acts-send", act.name !== "arm"]];
    for (const [id, isShown] of shown) setAttribute(byId(id), "hidden", isShown ? null : "");
    setAttribute(byId("acts-reason"), "required", isAsked && act.hasReason ? "" : null);
    setText(byId("acts-word-name"), act.word);
    this.field("acts-word").value = "";
    this.tell("");
    byId("acts-own").replaceChildren(...(isAsked ? this.body?.rows ?? [] : []));
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
    setText(byId("acts-consequence"), this.again !== null ? `As it was sent before: ${plain(this.again.said, 300)}`
      : snapshot === null ? "There is no snapshot of the desk yet."
      : body?.consequence(snapshot) ?? consequence(act.name as ControlName, snapshot, this.field("acts-mint").value, Number(this.field("acts-percent").value)));
    setText(byId("acts-send"), this.again !== null ? "Send it again" : this.mustLook() ? "Show what it would do" : act.label);
    setAttribute(byId("acts-word-row"), "hidden", act.word !== "" && !this.mustLook() ? null : "");
    setAttribute(byId("acts-send"), "disabled", isReady && !this.isSending ? null : "");
  }

  private mustLook(): boolean {
    return this.again === null && !this.isLooked && this.body?.look !== undefined && (this.act.name === "rebalance" || this.act.name === "promote");
  }

  private asked(snapshot: TradingSnapshot): Asked {
    const { act } = this;
    const asked: Asked = {
      snapshot, reason: this.field("acts-reason").value.trim(), key: this.key, isBound: act.isBound,
      post: async (path, wish) => {
        asked.key = this.begun(act, asked.key, path, wish);
        try {
          return await (path === "/promotions" ? this.patient : this.api).post(path, { ...wish, idempotency_key: asked.key });
        } catch (error) {
          if (!isUnknown(error)) this.sent.drop(asked.key);
          throw error;
        }
      },
    };
    return asked;
  }

  /** Keep what is about to be sent, so that a page that is reloaded meanwhile still has its key; returns that key. */
  private begun(act: Act, key: string, path: string, wish: Record<string, unknown>): string {
    const said = this.again?.said ?? byId("acts-consequence").textContent ?? "";
    this.key = this.sent.begin({ key, act: act.name, said, path, wish, by: this.operator() ?? "", atMs: Date.now() });
    this.shown = this.key;
    this.drawSent();
    return this.key;
  }

  /** Have an act that was sent before sent again as it was, under the key that it has. */
  private repeat(entry: SentAct): void {
    const act = ACTS.find((each) => each.name === entry.act);
    if (act === undefined) return;
    this.choose(act, entry);
    (act.word === "" ? byId("acts-send") : this.field("acts-word")).focus();
  }

  private async sendOnce(act: Act, asked: Asked): Promise<Done> {
    const { again } = this;
    if (again === null) return this.body?.send?.(asked) ?? this.control(act, asked);
    return doneOf(this.api, again.path, await asked.post(again.path, again.wish));
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
    const asked = this.asked(snapshot);
    try {
      if (isLook) await this.look(act, asked);
      else {
        const done = await this.sendOnce(act, asked);
        this.done(act, asked.key, done);
      }
    } catch (error) {
      this.failed(act, asked.key, error, isLook);
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

  private async control(act: Act, { snapshot, reason, post }: Asked): Promise<Done> {
    return controlDone(await post(`/actions/${act.name}`, {
      reason,
      ...(act.isBound ? { expected_state: snapshot.state } : {}),
      ...(act.name === "close" ? { mint: this.field("acts-mint").value, percent: Number(this.field("acts-percent").value) } : {}),
      ...(IN_SOL.includes(act.name) ? { amount_sol: this.field("acts-amount").value.trim() } : {}),
      ...(act.name === "profile" ? { profile: this.field("acts-profile").value.trim() } : {}),
    }));
  }

  private done(act: Act, key: string, done: Done): void {
    if (done.isOpen) this.sent.done(key);
    else this.sent.drop(key);
    if (act !== this.act) return this.drawSent();
    this.again = null;
    this.isFlattened = done.isDone && act.name === "flatten-and-halt";
    this.key = newKey();
    this.tell(done.text, done.more);
    if (this.isFlattened) this.drawFlattened();
    if (done.isDone) this.drawUndo(act);
    if (done.isDone && this.body?.look !== undefined) this.touched();
    if (done.isOpen) this.follow.start(key, (answer) => this.drawEnd(key, answer), () => setText(byId("acts-end"), "Its orders cannot be looked up just now; trying again."));
  }

  private failed(act: Act, key: string, error: unknown, isLook: boolean): void {
    if (error instanceof ApiError && (error.status === 401 || error.code === "insufficient_scope")) this.ask("Only an operator acts on the desk.");
    if (act !== this.act) return this.drawSent();
    this.tell(messageOf(error));
    const isKept = ["sidecar", "task", "disarm"].includes(act.name);
    if (!isUnknown(error) || isLook || isKept) return;
    // The same key once more: what was done without an answer is not done again.
    this.tell(`${messageOf(error)} ${UNKNOWN}`);
    this.follow.start(key, (answer, isEnd) => this.found(act, key, answer, isEnd), () => setText(byId("acts-end"), "The server does not answer yet; trying again."));
  }

  /** What the server says of a key whose answer was lost. */
  private found(act: Act, key: string, answer: KeyAnswer | null, isEnd: boolean): void {
    if (answer === null) {
      if (isEnd) this.tell("Nothing of it is done so far, as far as the server knows. Sending it again does it once at most.");
      return;
    }
    if (this.said.endsWith(UNKNOWN)) {
      const isDenied = answer.status === "denied" || answer.status === "rejected";
      this.tell(told("It was done after all", answer.message));
      if (isDenied) this.tell(told("It was denied", answer.message));
      else this.drawUndo(act);
      this.again = null;
      this.key = newKey();
    }
    this.drawEnd(key, answer);
  }

  private drawEnd(key: string, answer: KeyAnswer | null): void {
    if (answer === null) return;
    if (isEnded(answer)) this.sent.drop(key);
    else this.sent.done(key);
    if (answer.legs.length > 0) byId("acts-more").replaceChildren(...legsTable(answer.legs, "What was done"));
    const end = endOf(answer);
    if (end !== "") setText(byId("acts-end"), end);
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

/** Whether it may have been done all the same. */
function isUnknown(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 0 || error.status >= 500);
}
