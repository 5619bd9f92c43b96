// Real money: how it stands, what the mandate allows, and the way out of it. Nothing here arms: that takes the signer's
// passphrase, which is typed on a terminal alone. The pad shows what to type there, and follows it until it is done.

import type { Api } from "../api";
import { h, setText } from "../dom";
import { count, duration, percent, plain, shortAddress, sol } from "../format";
import type { TradingSnapshot } from "../wire";
import { readLive } from "../wire_acts";
import type { Live, Mandate } from "../wire_acts";
import { messageOf, told } from "./act_kinds";
import type { Act, ActBody, Asked, Done } from "./act_kinds";

const ASK_EVERY_MS = 2_000;

/** How it stands, in one sentence. */
export function armedText(live: Live): string {
  if (live.armed === null) return `Not armed: ${plain(live.why_not, 240)}.`;
  return `Armed: ${plain(live.armed.name, 64)} (${live.armed.network === "live" ? "REAL MONEY" : plain(live.armed.network, 24)}), until ${plain(live.armed.ends_at, 40)}.`;
}

export class LiveBody implements ActBody {
  readonly rows: readonly HTMLElement[];
  private readonly place = h("div", { class: "live" });
  private readonly stands = h("p", { role: "status", id: "acts-live" });
  private timer = 0;
  private isArming = false;
  private shown = "";

  constructor(private readonly api: Api, private readonly changed: () => void) {
    this.rows = [this.stands, this.place];
  }

  chosen(act: Act): void {
    this.isArming = act.name === "arm";
    this.shown = "";
    this.left();
    void this.ask();
  }

  left(): void {
    clearTimeout(this.timer);
    this.timer = 0;
  }

  consequence(snapshot: TradingSnapshot): string {
    if (!this.isArming) return "Nothing is bought with real money any more, at once. What is held may still be sold. Arming again takes the terminal.";
    const desk = snapshot.money === "real" ? "" : " This desk trades on paper: one with real money is started with memmcp serve --money real.";
    return `Arming lets the desk buy with real money, within the mandate. It is done on a terminal with the signer\u2019s passphrase, never from a page.${desk}`;
  }

  async send({ reason }: Asked): Promise<Done> {
    const live = readLive(await this.api.post("/live/disarm", { reason: reason.slice(0, 160) }));
    this.draw(live);
    return { text: live.armed === null ? told("Done", live.why_not, 240) : "Not disarmed.", isDone: live.armed === null, isOpen: false };
  }

  private async ask(): Promise<void> {
    clearTimeout(this.timer);
    try {
      this.draw(readLive(await this.api.get("/live")));
    } catch (error) {
      setText(this.stands, messageOf(error));
    }
    this.timer = window.setTimeout(() => {
      if (this.place.isConnected && this.place.getClientRects().length > 0) void this.ask();
    }, ASK_EVERY_MS);
  }

  private draw(live: Live): void {
    setText(this.stands, armedText(live));
    const key = JSON.stringify([live.arm_commands, live.mandate, live.armed, live.mandate_problem, this.isArming]);
    if (key === this.shown) return;
    this.shown = key;
    const isOther = live.armed !== null && live.mandate !== null && live.armed.sha256 !== live.mandate.sha256;
    this.place.replaceChildren(
      ...(live.mandate === null ? [h("p", { class: "quiet" }, `No mandate to show: ${plain(live.mandate_problem, 300)}.`)] : [mandateFacts(live.mandate)]),
      ...(isOther ? [h("p", { class: "loss" }, "The file is not the mandate that is armed: a changed file disarms.")] : []),
      ...(this.isArming && live.armed === null ? [h("p", {}, "Type on a terminal, as the signer\u2019s user or root, in turn:"),
        h("pre", { class: "commands", role: "region", "aria-label": "Commands", tabindex: "0" }, live.arm_commands.slice(0, 6).map((line) => plain(line, 600)).join("\n"))] : []),
    );
    this.changed();
  }
}

function mandateFacts(mandate: Mandate): HTMLElement {
  const facts: [string, string][] = [
    ["Mandate", `${plain(mandate.name, 64)}, ${plain(mandate.network, 16)} money, ${mandate.sha256.slice(0, 16)}\u2026`],
    ["An order, a day", `${sol(mandate.order_lamports_max)} SOL, ${sol(mandate.day_lamports_max)} SOL`],
    ["Fees, a day", `${sol(mandate.fee_lamports_max)} SOL, ${sol(mandate.fee_day_lamports_max)} SOL`],
    ["Slippage", percent(mandate.slippage_bps_max)],
    ["First trades", `${count(mandate.ramp_trades)} of at most ${sol(mandate.ramp_lamports_max)} SOL`],
    ["Passkey above", `${sol(mandate.approval_above_lamports)} SOL`],
    ["Wallets", mandate.wallets.slice(0, 8).map(shortAddress).join(", ")],
    ["Tokens, sides", `${count(mandate.mints.length)} tokens; ${mandate.sides.map((side) => plain(side, 8)).join(", ")}`],
    ["Sweeps", `${sol(mandate.sweep_day_lamports_max)} SOL a day to ${shortAddress(mandate.cold_address)}`],
    ["Ends", `${duration(mandate.armed_s_max)} after arming, at the latest ${plain(mandate.expires_at, 40)}`],
  ];
  return h("dl", { class: "facts", "aria-label": "What the mandate allows" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
