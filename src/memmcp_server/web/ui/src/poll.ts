// A value that is asked for now and then, while somebody looks at it.

import { plain } from "./format";
import { failed, LOADING, ready } from "./model";
import type { Loadable } from "./model";

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
