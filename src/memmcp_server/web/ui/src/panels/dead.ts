// What the outbox gave up on: why, of which memory, and another try by the operator.

import type { Api } from "../api";
import { byId, fillRows, h, setAttribute, setText } from "../dom";
import { count, plain } from "../format";
import { Poll } from "../poll";
import { readDeadLetters } from "../wire_agents";
import type { DeadLetter } from "../wire_agents";

const EVERY_MS = 5_000;
const SHOWN_MAX = 50;
const TEXT_MAX = 160;

export class DeadLettersPanel {
  private readonly poll: Poll<DeadLetter[]>;
  private drawn: readonly DeadLetter[] | null = null;

  constructor(
    private readonly api: Api, private readonly isOperator: () => boolean, private readonly ask: (why: string) => void,
    private readonly onChange: () => void,
  ) {
    this.poll = new Poll(async () => readDeadLetters(await api.get(`/admin/outbox?dead=true&limit=${SHOWN_MAX}`)), EVERY_MS, onChange);
    byId("dead-retry").addEventListener("click", () => void this.retry());
    byId("dead-login").addEventListener("click", () => this.ask("Dead letters are an operator's to see to."));
  }

  /** `dead`: how many the memory's outbox has, by the live figures; the list itself is an operator's. */
  draw(dead: number, nowMs: number): void {
    const isOperator = this.isOperator();
    setAttribute(byId("dead"), "hidden", dead > 0 ? null : "");
    if (dead === 0) return;
    setText(byId("dead-title"), `${count(dead)} dead ${dead === 1 ? "letter" : "letters"}`);
    setAttribute(byId("dead-login"), "hidden", isOperator ? "" : null);
    setAttribute(byId("dead-list"), "hidden", isOperator ? null : "");
    if (!isOperator) return;
    this.poll.follow(nowMs);
    if (this.poll.value.state === "failed") setText(byId("dead-answer"), this.poll.value.message);
    if (this.poll.value.state !== "ready" || this.poll.value.value === this.drawn) return;
    this.drawn = this.poll.value.value;
    fillRows(byId("dead-rows") as HTMLTableSectionElement, this.drawn.map((letter) => [
      { text: plain(letter.sink, 32) },
      typeof letter.content === "string" ? { text: plain(letter.content, TEXT_MAX) }
        : h("a", { href: `/memory/${encodeURIComponent(letter.memory_id)}`, "data-memory": letter.memory_id }, `version ${letter.version}`),
      { text: count(letter.attempts), class: "num" }, { text: plain(letter.last_error, 300) },
    ]));
  }

  private async retry(): Promise<void> {
    try {
      const answer = await this.api.post("/admin/outbox/retry", { ids: null });
      setText(byId("dead-answer"), `${plain(String((answer as { count?: unknown }).count ?? "?"), 12)} are tried again.`);
    } catch (error) {
      setText(byId("dead-answer"), plain(error instanceof Error ? error.message : String(error), 300));
    }
    this.onChange();
  }
}
