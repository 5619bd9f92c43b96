// The latest transactions: what they were for, how far they came, what they cost, and why some came to nothing.

import type { Api } from "../api";
import { byId, fillRows, h, setAttribute, setText } from "../dom";
import type { Cell } from "../dom";
import { count, exactSol, NOTHING, percent, plain, precise, sol, words, ZonedTime } from "../format";
import { PagedLog } from "../paged";
import { Poll } from "../poll";
import { readTransactions } from "../wire_execution";
import type { Transaction, TransactionPage } from "../wire_execution";
import { copyable } from "./copy";
import { Panel } from "./panel";
import type { AskingPanel, Surroundings } from "./panel";

const EVERY_MS = 5_000;
const PAGE = 25;
const ROWS_MAX = 200;

export class TransactionsPanel implements AskingPanel {
  private readonly panel = new Panel("panel-transactions");
  private readonly poll: Poll<TransactionPage>;
  private readonly log: PagedLog<Transaction>;

  constructor(api: Api, onChange: () => void) {
    const ask = async (cursor: string): Promise<TransactionPage> =>
      readTransactions(await api.get(`/transactions?limit=${PAGE}${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`));
    this.poll = new Poll(() => ask(""), EVERY_MS, onChange);
    this.log = new PagedLog((each) => each.id, async (cursor) => {
      const page = await ask(cursor);
      return { entries: page.transactions, cursor: page.next_cursor };
    }, ROWS_MAX);
    byId("transactions-more").addEventListener("click", () => void this.log.more().then(onChange));
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    const page = this.panel.follow(this.poll.value, { waiting: "Asking for the transactions.", staleReason: around.staleReason });
    if (page === null) return;
    const { entries, hasMore } = this.log.take(page.transactions, page.next_cursor);
    if (entries.length === 0 && this.poll.value.state === "ready") this.panel.show("empty", "No transaction yet.");
    if (!this.panel.isChanged(entries, hasMore, time, this.log.problem)) return;
    const isPaper = entries.length > 0 && entries.every((each) => each.is_simulated);
    setText(byId("transactions-meta"), isPaper ? "paper: simulated, nothing was sent" : entries.length === 0 ? "" : `the latest ${count(entries.length)}`);
    fillRows(byId("transactions") as HTMLTableSectionElement, entries.map((each) => row(each, time)));
    setAttribute(byId("transactions-more"), "hidden", hasMore ? null : "");
    setText(byId("transactions-problem"), this.log.problem);
  }
}

const SAID: Readonly<Record<string, { text: string; level: string }>> = {
  settled: { text: "settled", level: "gain" }, landed: { text: "landed, not final yet", level: "" }, signed: { text: "signed, under way", level: "" },
  open: { text: "open", level: "" }, waiting_for_approval: { text: "waits for approval", level: "warn" },
  reverted: { text: "failed on chain", level: "loss" }, failed: { text: "failed", level: "loss" }, cancelled: { text: "cancelled", level: "" },
  needs_review: { text: "needs review", level: "warn" }, simulated_fill: { text: "simulated fill", level: "" },
  simulated_failure: { text: "simulated failure", level: "loss" }, simulated_expiry: { text: "simulated expiry", level: "warn" },
};

/** How far a transaction came, in words, and how that is to be seen. */
export function stateOf(transaction: Transaction): { text: string; level: string } {
  return SAID[transaction.state] ?? { text: words(transaction.state), level: "" };
}

/** What it cost beside the swap; a deposit that comes back is not in it. */
export function paid(transaction: Transaction): number {
  return transaction.fee_lamports + transaction.priority_lamports + transaction.failed_lamports;
}

function name(transaction: Transaction): string {
  if (transaction.side === null) return words(transaction.kind);
  return `${transaction.side === "buy" ? "Buy" : "Sell"} ${plain(transaction.symbol, 24)}`;
}

function row(transaction: Transaction, time: ZonedTime): Cell[] {
  const id = transaction.trajectory_id;
  const what = h("span", { class: "token" },
    id === null ? h("span", {}, name(transaction))
      : h("a", { href: `/trajectories/${encodeURIComponent(id)}`, "data-trajectory": id, title: `${plain(transaction.mint, 64)}\nopen its whole story` }, name(transaction)),
    h("span", { class: "sub", dir: "auto" }, plain(transaction.reason, 60)));
  const said = stateOf(transaction);
  const state = h("span", { class: "token" }, h("span", { class: said.level }, said.text),
    h("span", { class: "sub wrap", dir: "auto", title: plain(transaction.problem, 300) }, plain(transaction.problem, 90) || tries(transaction)));
  return [
    what, state,
    { text: time.short(transaction.ts), title: time.full(transaction.ts),
      sub: transaction.took_s === null ? "" : `took ${precise(transaction.took_s)}${transaction.is_simulated ? " simulated" : ""}` },
    { text: transaction.sol_lamports === null ? NOTHING : `${sol(transaction.sol_lamports)} SOL`, sub: plain(transaction.wallet, 40), class: "num",
      title: transaction.sol_lamports === null ? "" : exactSol(transaction.sol_lamports) },
    { text: paid(transaction) === 0 ? NOTHING : `${sol(paid(transaction), 6)} SOL`, sub: transaction.slippage_bps === null ? "" : `slippage ${percent(transaction.slippage_bps)}`, class: "num",
      title: lines(transaction) },
    transaction.signature === null ? { text: transaction.is_simulated ? "none, simulated" : NOTHING, class: "num" }
      : h("span", { class: "copy-cell" }, copyable(transaction.signature, "signature")),
  ];
}

function tries(transaction: Transaction): string {
  const made = transaction.attempts.length;
  return made === 0 ? "" : made === 1 ? "1 attempt" : `${count(made)} attempts`;
}

function lines(transaction: Transaction): string {
  return [
    `fees ${exactSol(transaction.fee_lamports)}`, `priority fees and tips ${exactSol(transaction.priority_lamports)}`,
    `failed attempts ${exactSol(transaction.failed_lamports)}`, `account rent ${exactSol(transaction.rent_lamports)}, a deposit, not in the sum`,
    ...(transaction.slippage_bps === null ? [] : [`slippage against the ${transaction.slippage_against === "quote" ? "signed offer" : "price at the decision"}`]),
    ...transaction.attempts.slice(0, 10).map((each) => `attempt ${count(each.number)}: ${words(each.state)}, ${plain(each.signature, 100)}`),
  ].join("\n");
}
