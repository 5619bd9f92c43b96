// The action pad: what an operator may have the desk do. Each act says what it will do now, asks why, has a word typed
// where money can be lost by it, is sent once however often it is repeated, and is followed to its end.

import type { Api } from "../api";
import { ApiError } from "../api";
import { byId, h, setAttribute, setText } from "../dom";
import { count, plain, sol } from "../format";
import { isStarting, readControl } from "../wire";
import type { ControlAnswer, TradingSnapshot } from "../wire";

export type ActName = "stop-entries" | "reduce-only" | "flatten-and-halt" | "resume" | "close" | "profile" | "target" | "deposit" | "withdraw";

interface Act {
  name: ActName; label: string;
  /** Typed before it is sent; "" where it can only make the desk safer without trading. */
  word: string;
  /** Sent with the state that was looked at: what adds risk is not done in another one. What takes risk away always is. */
  isBound: boolean;
  undo: ActName | null;
}

export const ACTS: readonly Act[] = [
  { name: "stop-entries", label: "Stop entries", word: "", isBound: false, undo: "resume" },
  { name: "reduce-only", label: "Reduce only", word: "", isBound: false, undo: "resume" },
  { name: "flatten-and-halt", label: "Flatten and halt", word: "flatten", isBound: false, undo: null },
  { name: "close", label: "Close a position", word: "close", isBound: false, undo: null },
  { name: "resume", label: "Resume", word: "resume", isBound: true, undo: "stop-entries" },
  { name: "profile", label: "Switch profile", word: "profile", isBound: true, undo: null },
  { name: "target", label: "Set the target", word: "", isBound: false, undo: null },
  { name: "deposit", label: "Book a deposit", word: "", isBound: false, undo: null },
  { name: "withdraw", label: "Book a withdrawal", word: "", isBound: false, undo: null },
];

const IN_SOL: readonly ActName[] = ["target", "deposit", "withdraw"];

const SHIPPED = ["foundation", "cautious", "aggressive", "baseline"];

/** What an act will do to the desk as it is now, in words. */
export function consequence(name: ActName, snapshot: TradingSnapshot, mint = "", percent = 100): string {
  const held = snapshot.positions.length;
  const worth = snapshot.positions.reduce((sum, each) => sum + each.value.lamports, 0);
  const holding = held === 0 ? "Nothing is held." : `${count(held)} ${held === 1 ? "position" : "positions"} worth ${sol(worth)} SOL`;
  switch (name) {
    case "stop-entries": return held === 0 ? "Nothing new is opened." : `Nothing new is opened. ${holding} stay, and their exits go on.`;
    case "reduce-only": return held === 0 ? "Only sells from now on." : `Only sells from now on: no entry, no addition. ${holding} stay until their exits.`;
    case "flatten-and-halt": return held === 0 ? "Nothing is held; the desk halts." : `${holding} are sold at once, as far as they can be, and the desk halts.`;
    case "resume": return `Entries are allowed again, in the ${snapshot.money === "real" ? "REAL MONEY" : "paper"} desk, under the profile ${plain(snapshot.profile, 64)}.`;
    case "profile": return `The desk trades under another profile from now on: other strategies, sizes and limits. Now: ${plain(snapshot.profile, 64)}.`;
    case "target": return `The compounding target becomes this much; the history keeps the earlier ones. Now: ${sol(snapshot.compounding.target.lamports)} SOL.`;
    case "deposit": return "Paper money is added, from outside: returns are not counted up by it.";
    case "withdraw": return "Paper money is taken out: returns are not counted down by it.";
    case "close": {
      const position = snapshot.positions.find((each) => each.mint === mint);
      if (position === undefined) return "Choose a position.";
      return `${count(percent)} % of ${plain(position.symbol, 24)}, of ${sol(position.value.lamports)} SOL in all, is sold at once.`;
    }
  }
}

export class ActsPanel {
  private readonly dialog = byId("acts") as HTMLDialogElement;
  private snapshot: TradingSnapshot | null = null;
  private act: Act = ACTS[0] as Act;
  private key = "";
  private isSending = false;
  private followed: ControlAnswer | null = null;

  constructor(private readonly api: Api, private readonly isOperator: () => boolean, private readonly ask: (why: string) => void) {
    byId("acts-open").addEventListener("click", () => this.open("stop-entries"));
    byId("acts-close").addEventListener("click", () => this.dialog.close());
    byId("acts-choice").append(...ACTS.map((act) => {
      const input = h("input", { type: "radio", name: "act", value: act.name });
      input.addEventListener("change", () => this.choose(act));
      return h("label", {}, input, act.label);
    }));
    for (const id of ["acts-mint", "acts-percent"]) byId(id).addEventListener("input", () => this.drawConsequence());
    byId("acts-profiles").append(...SHIPPED.map((name) => h("option", { value: name })));
    byId("acts-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.send();
    });
  }

  /** Show the pad with an act chosen. Without an operator's session it asks for one first. */
  open(name: ActName): void {
    if (!this.isOperator()) {
      this.ask("Only an operator acts on the desk.");
      return;
    }
    this.field("acts-reason").value = "";
    setText(byId("acts-answer"), "");
    byId("acts-undo").replaceChildren();
    this.choose(ACTS.find((act) => act.name === name) ?? this.act);
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** Take the newest snapshot: what an act will do, and how one that was sent is coming along. */
  draw(snapshot: TradingSnapshot | null): void {
    if (snapshot === this.snapshot) return;
    this.snapshot = snapshot;
    if (!this.dialog.open) return;
    this.drawPositions();
    this.drawConsequence();
    if (this.followed !== null) this.drawProgress(this.followed);
  }

  private field(id: string): HTMLInputElement {
    return byId(id) as HTMLInputElement;
  }

  private choose(act: Act): void {
    this.act = act;
    this.followed = null;
    this.key = newKey();
    for (const input of byId("acts-choice").querySelectorAll("input")) input.checked = input.value === act.name;
    const shown: [string, boolean][] = [["acts-word-row", act.word !== ""], ["acts-close-rows", act.name === "close"], ["acts-profile-row", act.name === "profile"],
      ["acts-amount-row", IN_SOL.includes(act.name)]];
    for (const [id, isShown] of shown) setAttribute(byId(id), "hidden", isShown ? null : "");
    setText(byId("acts-word-name"), act.word);
    this.field("acts-word").value = "";
    setText(byId("acts-send"), act.label);
    this.drawPositions();
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
    const isReady = this.snapshot !== null && !isStarting(this.snapshot);
    setText(byId("acts-consequence"), this.snapshot === null ? "There is no snapshot of the desk yet."
      : consequence(this.act.name, this.snapshot, this.field("acts-mint").value, Number(this.field("acts-percent").value)));
    setAttribute(byId("acts-send"), "disabled", isReady && !this.isSending ? null : "");
  }

  private body(snapshot: TradingSnapshot): Record<string, unknown> {
    const act = this.act;
    return {
      reason: this.field("acts-reason").value.trim(), idempotency_key: this.key,
      ...(act.isBound ? { expected_state: snapshot.state } : {}),
      ...(act.name === "close" ? { mint: this.field("acts-mint").value, percent: Number(this.field("acts-percent").value) } : {}),
      ...(IN_SOL.includes(act.name) ? { amount_sol: this.field("acts-amount").value.trim() } : {}),
      ...(act.name === "profile" ? { profile: this.field("acts-profile").value.trim() } : {}),
    };
  }

  private async send(): Promise<void> {
    const { act, snapshot } = this;
    if (this.isSending || snapshot === null) return;
    if (act.word !== "" && this.field("acts-word").value.trim().toLowerCase() !== act.word) {
      setText(byId("acts-answer"), `Type the word ${act.word} to confirm it.`);
      this.field("acts-word").focus();
      return;
    }
    this.isSending = true;
    this.drawConsequence();
    setText(byId("acts-answer"), "Sent; waiting for the desk.");
    try {
      const answer = readControl(await this.api.post(`/actions/${act.name}`, this.body(snapshot)));
      this.key = newKey();
      this.followed = answer;
      this.drawProgress(answer);
      this.drawUndo(answer);
    } catch (error) {
      const isUnknown = error instanceof ApiError && (error.status === 0 || error.status >= 500);
      // The same key once more: what was done without an answer is not done again.
      setText(byId("acts-answer"), `${messageOf(error)}${isUnknown ? " It may have been done; sending it again does it once at most." : ""}`);
      if (error instanceof ApiError && (error.status === 401 || error.code === "insufficient_scope")) this.ask("Only an operator acts on the desk.");
    } finally {
      this.isSending = false;
      this.drawConsequence();
    }
  }

  private drawProgress(answer: ControlAnswer): void {
    const left = this.snapshot?.positions.length ?? 0;
    const isSelling = answer.status === "done" && answer.state === "HALTED" && this.act.name === "flatten-and-halt";
    const end = !isSelling ? "" : left === 0 ? " Nothing is held any more." : ` ${count(left)} ${left === 1 ? "position is" : "positions are"} still held.`;
    setText(byId("acts-answer"), `${answer.status === "done" ? "Done" : "Denied"}: ${plain(answer.effect, 400)}.${end}`);
  }

  private drawUndo(answer: ControlAnswer): void {
    const { undo } = this.act;
    if (answer.status !== "done" || undo === null) return;
    const label = ACTS.find((act) => act.name === undo)?.label ?? undo;
    const button = h("button", { type: "button", class: "small" }, `Undo: ${label.toLowerCase()}`);
    button.addEventListener("click", () => this.open(undo));
    byId("acts-undo").replaceChildren(button);
  }
}

/** As random as a UUID; `crypto.randomUUID` is missing on a page that came over plain HTTP from another machine. */
function newKey(): string {
  return `page-${Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function messageOf(error: unknown): string {
  return plain(error instanceof Error ? error.message : String(error), 300);
}
