// Acts that were sent and have not come to their end, kept for as long as the tab lives: a reload, a lost connection or
// a login that ran out does not part an act from its key, so to send it again is to ask for the same act once more.

import type { Keep } from "./look";
import { isObject } from "./wire";

const KEPT_MAX = 8;
const CHARS_MAX = 48_000;
const AGE_MS = 12 * 3_600_000;
/** What may differ between two sendings of one act: words, and the preview that was looked at. */
const ASIDE = new Set(["idempotency_key", "reason", "preview_id"]);
const PATHS = /^\/(actions\/[a-z-]{1,40}|rebalance|promotions|tasks)$/;

export interface SentAct {
  key: string;
  /** Its name on the pad. */
  act: string;
  /** What it would do, as it was read when it was sent. */
  said: string;
  path: string;
  wish: Record<string, unknown>;
  /** Whose it is: a key means nothing under another operator's name. */
  by: string;
  atMs: number;
  /** The page that sent it: another one after a reload. */
  page: string;
  /** Whether the server has said that it was done; its orders may be under way. */
  isDone: boolean;
}

export class SessionKeep implements Keep {
  constructor(private readonly key: string) {}

  get(): string | null {
    try {
      return sessionStorage.getItem(this.key);
    } catch {
      return null;
    }
  }

  set(value: string): void {
    try {
      sessionStorage.setItem(this.key, value);
    } catch {
      // Where nothing may be kept, an act is as safe as it was: by its key, until the page is left.
    }
  }
}

function actFrom(value: unknown): SentAct | null {
  if (!isObject(value)) return null;
  const { key, act, said, path, wish, by, atMs, page, isDone } = value;
  const texts = [key, act, said, path, by, page];
  if (!texts.every((each) => typeof each === "string") || !isObject(wish) || typeof atMs !== "number" || typeof isDone !== "boolean") return null;
  return PATHS.test(path as string) ? (value as unknown as SentAct) : null;
}

function actsFrom(text: string | null): SentAct[] {
  try {
    const found: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(found) ? found.slice(-KEPT_MAX).map(actFrom).filter((each) => each !== null) : [];
  } catch {
    return [];
  }
}

/** Two wishes for one act in one state have the same mark, whatever the reasons given. */
function markOf(by: string, path: string, wish: Record<string, unknown>): string {
  const asked = Object.entries(wish).filter(([name]) => !ASIDE.has(name)).sort(([one], [other]) => (one < other ? -1 : 1));
  return JSON.stringify([by, path, asked]);
}

export class Sent {
  private acts: SentAct[];

  constructor(private readonly keep: Keep, readonly page: string) {
    this.acts = actsFrom(keep.get());
  }

  /** Those of a person that have not come to their end, the newest first. */
  of(by: string, nowMs: number): SentAct[] {
    return this.acts.filter((each) => each.by === by && nowMs - each.atMs < AGE_MS).reverse();
  }

  /**
   * Note what is about to be sent, before it is; returns the key to send it under: that of the same act where one was
   * sent before and nobody has said what became of it.
   */
  begin(wished: Omit<SentAct, "page" | "isDone">): string {
    const mark = markOf(wished.by, wished.path, wished.wish);
    const known = this.of(wished.by, wished.atMs).find((each) => !each.isDone && markOf(each.by, each.path, each.wish) === mark);
    const key = known?.key ?? wished.key;
    const entry = { ...wished, key, page: this.page, isDone: false };
    const others = this.acts.filter((each) => each.key !== key);
    this.acts = JSON.stringify(entry).length > CHARS_MAX ? others : [...others, entry].slice(-KEPT_MAX);
    this.store();
    return key;
  }

  /** It was done; its orders may be under way. */
  done(key: string): void {
    if (!this.acts.some((each) => each.key === key && !each.isDone)) return;
    this.acts = this.acts.map((each) => (each.key === key ? { ...each, isDone: true } : each));
    this.store();
  }

  /** It has come to its end, or was refused: nothing is to be found out any more. */
  drop(key: string): void {
    if (!this.acts.some((each) => each.key === key)) return;
    this.acts = this.acts.filter((each) => each.key !== key);
    this.store();
  }

  private store(): void {
    this.keep.set(JSON.stringify(this.acts));
  }
}
