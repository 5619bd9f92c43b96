// Orders of real money that wait for the operator: each is shown in full, and answered with a passkey. What the passkey
// signs is a challenge of the signer for exactly this order; this page only carries it there and back.

import type { Api } from "../api";
import { byId, h, moment, setAttribute, setText } from "../dom";
import type { Child } from "../dom";
import { plain, ZonedTime } from "../format";
import { createPasskey, getPasskey } from "../passkey";
import { isObject, readApprovals } from "../wire";
import type { Approval, Approvals } from "../wire";
import { Panel } from "./panel";

const ASK_EVERY_MS = 2_000;
const ASK_SELDOM_MS = 30_000;
const SHOWN_DECIDED = 5;
const WORDS: Record<Approval["state"], string> = {
  awaiting_operator: "waits for you", approved: "approved", refused: "refused", expired: "too late", done: "signed",
};

export class ApprovalsPanel {
  private readonly panel = new Panel("panel-approvals");
  private askedMs = 0;
  private isAsking = false;
  private waitMs = 0;
  private time = new ZonedTime("UTC");
  private drawn = "";

  constructor(private readonly api: Api) {
    byId("passkey-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = byId("passkey-code") as HTMLInputElement;
      void this.act(() => this.register(field.value).finally(() => { field.value = ""; }));
    });
  }

  /** Ask for what waits, now and then; seldom while there is no signer. */
  follow(nowMs: number, time: ZonedTime): void {
    this.time = time;
    if (this.isAsking || nowMs - this.askedMs < this.waitMs) return;
    this.askedMs = nowMs;
    void this.ask();
  }

  private async ask(): Promise<void> {
    this.isAsking = true;
    try {
      const found = readApprovals(await this.api.get("/approvals"));
      this.waitMs = found.is_available ? ASK_EVERY_MS : ASK_SELDOM_MS;
      // Without a signer there is nothing to approve, and the panel would only take room.
      setAttribute(byId("panel-approvals"), "hidden", found.is_available ? null : "");
      this.draw(found);
    } catch (error) {
      this.panel.show("error", messageOf(error));
      this.waitMs = ASK_SELDOM_MS;
    } finally {
      this.isAsking = false;
    }
  }

  private draw(found: Approvals): void {
    const key = JSON.stringify([found, this.time.zone]);
    if (key === this.drawn) return;
    this.drawn = key;
    const here = found.origins.includes(location.origin);
    const elsewhere = found.origins.length > 0 && !here ? `Open ${plain(found.origins.join(" or "), 200)} to approve with a passkey.` : "";
    this.panel.show("ready", elsewhere);
    setText(byId("approvals-meta"), found.is_armed ? "armed" : `not armed (${plain(found.why_not, 40)})`);
    const waiting = found.approvals.filter((each) => each.state === "awaiting_operator");
    const decided = found.approvals.filter((each) => each.state !== "awaiting_operator").slice(0, SHOWN_DECIDED);
    setAttribute(byId("approvals-none"), "hidden", waiting.length > 0 ? "" : null);
    setAttribute(byId("passkey-add"), "hidden", here ? null : "");
    byId("approvals").replaceChildren(...[...waiting, ...decided].map((each) => this.item(each, here && found.passkeys.length > 0)));
  }

  private item(approval: Approval, canApprove: boolean): HTMLElement {
    const rows: [string, Child][] = [
      ["gives", `${approval.amount_in} base units of ${approval.in_mint}`],
      ["for at least", `${approval.min_out} base units of ${approval.out_mint}`],
      ["fee at most", `${approval.fee_lamports_max} lamports`],
      ["wallet", approval.wallet],
      ["until", moment(approval.expires_at, this.time)],
      ["intent", approval.intent_id],
    ];
    const figures = h("dl", { class: "pairs" }, ...rows.map(([name, value]) =>
      h("div", { class: "span" }, h("dt", {}, name), h("dd", {}, typeof value === "string" ? plain(value, 200) : value))));
    const head = h("p", {}, h("b", {}, WORDS[approval.state]), approval.reason ? `: ${plain(approval.reason, 300)}` : "");
    const item = h("li", { "data-state": approval.state, "data-id": approval.id }, head, figures);
    if (approval.state !== "awaiting_operator") return item;
    const approve = h("button", { type: "button", class: "small approve" }, "Approve with passkey");
    const refuse = h("button", { type: "button", class: "small refuse" }, "Refuse");
    approve.disabled = !canApprove;
    approve.addEventListener("click", () => void this.act(() => this.approve(approval.id)));
    refuse.addEventListener("click", () => void this.act(() => this.refuse(approval.id)));
    item.append(h("p", { class: "tools" }, approve, refuse));
    return item;
  }

  private async approve(id: string): Promise<string> {
    const options = optionsOf(await this.api.post(`/approvals/${encodeURIComponent(id)}/challenge`, {}));
    await this.api.post(`/approvals/${encodeURIComponent(id)}/approve`, { credential: await getPasskey(options) });
    return "Approved.";
  }

  private async refuse(id: string): Promise<string> {
    await this.api.post(`/approvals/${encodeURIComponent(id)}/refuse`, {});
    return "Refused.";
  }

  private async register(code: string): Promise<string> {
    const options = optionsOf(await this.api.post("/passkeys/options", { code }));
    const made = await this.api.post("/passkeys", { code, credential: await createPasskey(options), label: "the page" });
    const fingerprint = isObject(made) ? plain(String(made["fingerprint"]), 40) : "";
    return `Compare on the terminal, then say yes there: ${fingerprint}`;
  }

  private async act(action: () => Promise<string>): Promise<void> {
    const answer = byId("approvals-answer");
    setText(answer, "…");
    try {
      setText(answer, await action());
    } catch (error) {
      setText(answer, messageOf(error));
    }
    await this.ask();
  }
}

function optionsOf(document: unknown): Record<string, unknown> {
  if (!isObject(document) || !isObject(document["options"])) throw new Error("the signer's options cannot be read");
  return document["options"];
}

function messageOf(error: unknown): string {
  return plain(error instanceof Error ? error.message : String(error), 300);
}
