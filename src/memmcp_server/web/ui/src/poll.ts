// A value that is asked for now and then, while somebody looks at it.

import { plain } from "./format";
import { failed, LOADING, ready } from "./model";
import type { Loadable } from "./model";
import { rangeQuery, rangeTimes } from "./range";

export class Poll<T> {
  value: Loadable<T> = LOADING;
  private askedMs = -Infinity;
  private isAsking = false;

  constructor(private readonly ask: () => Promise<T>, private readonly everyMs: number, private readonly onChange: () => void) {}

  /** Ask when it is time. One question at a time; a failure keeps the last value, and says why it is old. */
  follow(nowMs: number): void {
    if (this.isAsking || nowMs - this.askedMs < this.everyMs) return;
    this.askedMs = nowMs;
    this.isAsking = true;
    void this.asked().finally(() => {
      this.isAsking = false;
      this.onChange();
    });
  }

  private async asked(): Promise<void> {
    try {
      this.value = ready(await this.ask(), Date.now());
    } catch (error) {
      this.value = failed(this.value, plain(error instanceof Error ? error.message : String(error), 300));
    }
  }
}

export interface Asked { since: string | null; until: string | null }

/** A value of the page's time range: another range is another question, of which nothing is known yet. */
export class RangedPoll<T> {
  private poll: Poll<T>;
  private range: string | null = null;
  private asked: Asked = { since: null, until: null };

  constructor(private readonly ask: (within: Asked) => Promise<T>, private readonly everyMs: number, private readonly onChange: () => void) {
    this.poll = this.polling();
  }

  private polling(): Poll<T> {
    return new Poll(() => this.ask(this.asked), this.everyMs, this.onChange);
  }

  get value(): Loadable<T> {
    return this.poll.value;
  }

  /** Ask when it is time, for the range of this address; `deskMs` is the time of the newest event. */
  follow(search: string, nowMs: number, deskMs: number): void {
    const range = rangeQuery(search);
    if (range !== this.range) this.poll = this.polling();
    this.range = range;
    this.asked = rangeTimes(search, deskMs);
    this.poll.follow(nowMs);
  }
}
