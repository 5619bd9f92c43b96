// A log, newest first, of which the first page is asked for again and again and older ones when somebody wants them.

import { plain } from "./format";

export interface Shown<T> { entries: readonly T[]; hasMore: boolean }

/** Joins the newest page with older ones, without a gap and without showing anything twice. */
export class PagedLog<T> {
  private older: T[] = [];
  private newest: readonly T[] = [];
  private cursor: string | null = null;
  private shown: Shown<T> = { entries: [], hasMore: false };
  private isAsking = false;
  problem = "";

  constructor(
    private readonly keyOf: (entry: T) => string,
    private readonly ask: (cursor: string) => Promise<{ entries: T[]; cursor: string | null }>,
    private readonly entriesMax: number,
  ) {}

  /** Take the newest page in. Where it no longer touches what is known, the older pages are let go. */
  take(entries: readonly T[], cursor: string | null): Shown<T> {
    if (entries === this.newest) return this.shown;
    const known = [...this.newest, ...this.older];
    const last = entries.at(-1);
    const at = last === undefined ? -1 : known.findIndex((each) => this.keyOf(each) === this.keyOf(last));
    if (this.older.length > 0 && at >= 0) this.older = known.slice(at + 1);
    else {
      this.older = [];
      this.cursor = cursor;
    }
    this.newest = entries;
    return this.join();
  }

  /** Ask for the next older page. Returns whether there is something new to draw. */
  async more(): Promise<boolean> {
    if (this.isAsking || this.cursor === null) return false;
    this.isAsking = true;
    this.problem = "";
    const asked = this.cursor;
    try {
      const page = await this.ask(asked);
      if (asked !== this.cursor) return false; // another first page has come meanwhile
      this.older = [...this.older, ...page.entries];
      this.cursor = page.cursor;
    } catch (error) {
      this.problem = plain(error instanceof Error ? error.message : String(error), 200);
    } finally {
      this.isAsking = false;
    }
    this.join();
    return true;
  }

  get view(): Shown<T> {
    return this.shown;
  }

  private join(): Shown<T> {
    const entries = [...this.newest, ...this.older].slice(0, this.entriesMax);
    this.shown = { entries, hasMore: this.cursor !== null && entries.length < this.entriesMax };
    return this.shown;
  }
}
