// Follows what was asked under a key until it has come to its end, or nobody can say that it will.

import type { Api } from "../api";
import { count } from "../format";
import { readKeyAnswer } from "../wire_acts";
import type { KeyAnswer } from "../wire_acts";
import { told } from "./act_kinds";

const EVERY_MS = 1_000;
const LOOKS_MAX = 600;
/** So often the server must say that it knows nothing of a key before it is believed: the request may be under way. */
const UNKNOWN_MAX = 3;

/** Whether nothing is open any more. */
export function isEnded(answer: KeyAnswer): boolean {
  return answer.status !== "working" && answer.status !== "awaiting_operator" && answer.orders_open === 0;
}

/** Where its orders are, "" where there are none. */
export function endOf(answer: KeyAnswer): string {
  const isTrade = answer.order_id !== null || answer.legs.some((leg) => leg.outcome !== undefined);
  if (!isTrade) return "";
  if (!isEnded(answer)) return answer.orders_open > 0 ? `${count(answer.orders_open)} ${answer.orders_open === 1 ? "order is" : "orders are"} under way.` : "The order is under way.";
  if (answer.status === "rejected") return told("The end: rejected", answer.message, 300);
  return answer.legs.length > 0 ? "The end: every order is settled." : told("The end", answer.message, 300);
}

export class Follow {
  private timer = 0;
  private run = 0;

  constructor(private readonly api: Api) {}

  stop(): void {
    clearTimeout(this.timer);
    this.run += 1;
  }

  /**
   * Ask until the end. `told` hears each answer; null: nothing was done under the key, as far as the server knows by
   * now. `failed`: it could not be asked, and is asked again.
   */
  start(key: string, told: (answer: KeyAnswer | null, isEnd: boolean) => void, failed: (error: unknown) => void): void {
    this.stop();
    const run = this.run;
    let looks = 0;
    let unknown = 0;
    const look = async (): Promise<void> => {
      looks += 1;
      let isEnd = false;
      try {
        const answer = readKeyAnswer(await this.api.get(`/actions/answer?key=${encodeURIComponent(key)}`));
        if (run !== this.run) return;
        unknown = answer.is_known ? 0 : unknown + 1;
        isEnd = looks >= LOOKS_MAX || (answer.is_known ? isEnded(answer) : unknown >= UNKNOWN_MAX);
        told(answer.is_known ? answer : null, isEnd);
      } catch (error) {
        if (run !== this.run) return;
        failed(error);
        isEnd = looks >= LOOKS_MAX;
      }
      if (!isEnd) this.timer = window.setTimeout(() => void look(), EVERY_MS);
    };
    void look();
  }
}
