// A panel is always in one of five states, and says so in words when there is nothing or nothing new to show.

import { byId, setAttribute, setText } from "../dom";
import type { ZonedTime } from "../format";
import type { Loadable } from "../model";
import { valueOf } from "../model";

export type PanelState = "loading" | "ready" | "empty" | "stale" | "error";

export class Panel {
  private readonly root: HTMLElement;
  private readonly note: Element;

  constructor(id: string) {
    this.root = byId(id);
    const note = this.root.querySelector(".note");
    if (note === null) throw new Error(`panel #${id} has no note`);
    this.note = note;
  }

  show(state: PanelState, text = ""): void {
    setAttribute(this.root, "data-state", state);
    setAttribute(this.root, "aria-busy", state === "loading" ? "true" : null);
    setText(this.note, text);
    setAttribute(this.note, "hidden", text === "" ? "" : null);
  }

  private inputs: unknown[] = [];

  /** Whether any of the inputs of the drawing differs from last time; they are compared by identity. */
  isChanged(...inputs: unknown[]): boolean {
    const isSame = inputs.length === this.inputs.length && inputs.every((input, at) => input === this.inputs[at]);
    this.inputs = inputs;
    return !isSame;
  }

  /** Show the state of a value. Returns the value when there is something to draw, also when it is out of date. */
  follow<T>(loadable: Loadable<T>, options: { waiting: string; staleReason: string | null }): T | null {
    const value = valueOf(loadable);
    if (loadable.state === "failed") this.show(value === null ? "error" : "stale", loadable.message);
    else if (loadable.state === "loading") {
      this.show(options.staleReason === null ? "loading" : "error", options.staleReason ?? options.waiting);
    } else this.show(options.staleReason === null ? "ready" : "stale", options.staleReason ?? "");
    return value;
  }
}

/** What every panel needs to know besides its own value. */
export interface Surroundings {
  nowMs: number;
  /** Why live figures are out of date, or null while the stream delivers. */
  staleReason: string | null;
  /** The desk's own time, which in a replay is not that of the clock. */
  deskMs?: number;
}

/** A panel that asks for its own value (see ``Poll``) whenever it is drawn. */
export interface AskingPanel {
  draw(nowMs: number, time: ZonedTime, around: Surroundings): void;
}
