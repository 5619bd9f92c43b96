// The acts of the pad: what each is called, what it will do in words, and what it needs to be sent.

import { h } from "../dom";
import { count, plain, sol } from "../format";
import type { TradingSnapshot } from "../wire";

export type ControlName = "stop-entries" | "reduce-only" | "flatten-and-halt" | "resume" | "close" | "profile" | "target" | "deposit" | "withdraw";
export type ActName = ControlName | "rebalance" | "strategy-off" | "strategy-on" | "promote" | "demote" | "disarm" | "arm" | "sidecar" | "task";

export interface Act {
  name: ActName; label: string; group: string;
  /** Typed before it is sent; "" where it can only make the desk safer without trading, or does nothing to it. */
  word: string;
  /** Sent with the state that was looked at: what adds risk is not done in another one. What takes risk away always is. */
  isBound: boolean;
  undo: ActName | null;
  /** Whether a reason is asked for, and kept in the journal. */
  hasReason: boolean;
}

const act = (name: ActName, label: string, group: string, more: Partial<Act> = {}): Act =>
  ({ name, label, group, word: "", isBound: false, undo: null, hasReason: true, ...more });

export const ACTS: readonly Act[] = [
  act("stop-entries", "Stop entries", "Risk", { undo: "resume" }),
  act("reduce-only", "Reduce only", "Risk", { undo: "resume" }),
  act("flatten-and-halt", "Flatten and halt", "Risk", { word: "flatten" }),
  act("resume", "Resume", "Risk", { word: "resume", isBound: true, undo: "stop-entries" }),
  act("close", "Close a position", "Holdings", { word: "close" }),
  act("rebalance", "Rebalance", "Holdings", { word: "rebalance", isBound: true }),
  act("profile", "Switch profile", "Strategies", { word: "profile", isBound: true }),
  act("strategy-off", "Switch a strategy off", "Strategies", { undo: "strategy-on" }),
  act("strategy-on", "Switch a strategy on", "Strategies", { word: "on", isBound: true, undo: "strategy-off" }),
  act("promote", "Promote a candidate", "Strategies", { word: "promote", isBound: true, undo: "demote" }),
  act("demote", "Demote a strategy", "Strategies"),
  act("target", "Set the target", "Money"),
  act("deposit", "Book a deposit", "Money"),
  act("withdraw", "Book a withdrawal", "Money"),
  act("disarm", "Disarm real money", "Real money"),
  act("arm", "Arm real money", "Real money", { hasReason: false }),
  act("sidecar", "Ask the sidecar", "Ask", { hasReason: false }),
  act("task", "Ask an agent", "Ask", { hasReason: false }),
];

/** What is sent with an act. One key, one effect: a repeat of the same key is only answered. */
export interface Asked {
  snapshot: TradingSnapshot; reason: string; key: string; isBound: boolean;
  /** Send it under its key, which is kept until it is known what became of it. */
  post(path: string, wish: Record<string, unknown>): Promise<unknown>;
}

export interface Done {
  text: string;
  isDone: boolean;
  /** Whether orders were sent that have not come to their end. */
  isOpen: boolean;
  more?: HTMLElement[];
}

export interface Look { nodes: HTMLElement[]; isPossible: boolean; expiresAt: string | null }

/** What one act has of its own: fields, words, what is looked at before, and how it is sent. */
export interface ActBody {
  readonly rows: readonly HTMLElement[];
  consequence(snapshot: TradingSnapshot): string;
  /** Its fields are about to be shown: bring them up to date. */
  chosen?(act: Act): void;
  /** A newer snapshot came while its fields are shown. */
  follow?(snapshot: TradingSnapshot): void;
  left?(): void;
  /** Ask the server what it would do, before it may be sent. */
  look?(asked: Asked): Promise<Look>;
  send?(asked: Asked): Promise<Done>;
}

/** What a control will do to the desk as it is now, in words. */
export function consequence(name: ControlName, snapshot: TradingSnapshot, mint = "", percent = 100): string {
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

/** A field with its name above it. */
export function labelled(name: string, field: HTMLElement): HTMLLabelElement {
  return h("label", {}, name, field);
}

/** Replace the options of a list; what was chosen stays chosen while it is there. */
export function offer(select: HTMLSelectElement, options: readonly { value: string; text: string }[]): void {
  const same = select.options.length === options.length
    && options.every((each, at) => select.options[at]?.value === each.value && select.options[at]?.text === each.text);
  if (same) return;
  const before = select.value;
  select.replaceChildren(...options.map((each) => h("option", { value: each.value }, each.text)));
  if (options.some((each) => each.value === before)) select.value = before;
}

/** As random as a UUID; `crypto.randomUUID` is missing on a page that came over plain HTTP from another machine. */
export function newKey(): string {
  return `page-${Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** What the desk said of an act, as one sentence that ends once. */
export function told(outcome: string, effect: string, max = 400): string {
  const text = plain(effect, max).trim();
  return `${outcome}: ${text}${/[.!?\u2026]$/.test(text) ? "" : "."}`;
}

export function messageOf(error: unknown): string {
  return plain(error instanceof Error ? error.message : String(error), 300);
}
