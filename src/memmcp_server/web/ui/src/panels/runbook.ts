// What to do about an alert, over the page: when its rule is raised and over, and the rule's section of the runbooks.

import type { Api } from "../api";
import { byId, h, setText } from "../dom";
import { duration, plain } from "../format";
import { check, isObject } from "../wire";

const PARAGRAPHS_MAX = 20;
const TEXT_MAX = 2_000;
const ITEM_MARK = /^- /;

interface Rule {
  name: string; raise_at: number; clear_at: number; unit: string; for_s: number; due_s: number;
  escalate_after_s: number | null; enabled: boolean; channels: unknown[]; advice: string;
}

/** Opens the dialog of one rule. Nothing is asked before somebody wants to read. */
export class Runbook {
  constructor(private readonly api: Api) {}

  async open(rule: string, title: string): Promise<void> {
    const dialog = byId("detail") as HTMLDialogElement;
    setText(byId("detail-title"), `Runbook: ${plain(title, 160)}`);
    byId("detail-body").replaceChildren(h("p", { class: "quiet" }, "Loading…"));
    if (!dialog.open) dialog.showModal();
    try {
      const [rules, book] = await Promise.all([this.api.get("/alerts/rules"), this.api.get("/static/runbooks.json")]);
      byId("detail-body").replaceChildren(...section(book, rule), ...conditions(rules, rule));
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      byId("detail-body").replaceChildren(h("p", { class: "loss", role: "alert" }, `Cannot show it: ${plain(text, 300)}`));
    }
  }
}

function section(book: unknown, rule: string): HTMLElement[] {
  const found = isObject(book) && Object.hasOwn(book, rule) ? book[rule] : null;
  if (!Array.isArray(found)) return [h("p", {}, "This rule is one of your own: what it advises is what you wrote in memmcp.toml.")];
  return found.slice(0, PARAGRAPHS_MAX).map((text) => h("p", {}, ...marked(plain(String(text).replace(ITEM_MARK, "• "), TEXT_MAX))));
}

/** Text with its `code` and **strong** parts as elements; everything stays text. */
export function marked(text: string): (HTMLElement | string)[] {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).filter((part) => part !== "").map((part) => {
    if (part.length > 2 && part.startsWith("`")) return h("code", {}, part.slice(1, -1));
    return part.length > 4 && part.startsWith("**") ? h("strong", {}, part.slice(2, -2)) : part;
  });
}

function conditions(document: unknown, name: string): HTMLElement[] {
  const list = check<{ rules: unknown[] }>("rules", document, { rules: "array" });
  const found = list.rules.find((each) => isObject(each) && each["name"] === name);
  if (found === undefined) return [h("p", { class: "quiet" }, "No rule of this name is in force any more.")];
  const rule = check<Rule>("rule", found, {
    name: "string", raise_at: "number", clear_at: "number", unit: "string", for_s: "number", due_s: "number",
    enabled: "boolean", channels: "array", advice: "string",
  });
  const held = rule.for_s > 0 ? `, held for ${duration(rule.for_s)}` : ", at once";
  const facts: [string, string][] = [
    ["Raised", `at ${figure(rule.raise_at, rule.unit)}${held}; you hear of it within ${duration(rule.due_s)}`],
    ["Over", `at ${figure(rule.clear_at, rule.unit)}`],
    ["Unanswered", rule.escalate_after_s === null ? "stays as it is" : `one degree more severe after ${duration(rule.escalate_after_s)}`],
    ["Told to", rule.channels.length === 0 ? "all channels that take its severity" : plain(rule.channels.join(", "), 200)],
    ["In short", plain(rule.advice, 400)],
  ];
  return [
    h("h3", {}, `Rule ${plain(rule.name, 48)}`),
    h("dl", { class: "facts" }, ...facts.map(([what, text]) => h("div", {}, h("dt", {}, what), h("dd", {}, text)))),
    h("p", { class: "quiet" }, "The rule is changed or switched off in ", h("code", {}, "memmcp.toml"), ` under alerts.rules.${plain(rule.name, 48)}.`),
  ];
}

/** A threshold as people read it, in the units that rules know. */
export function figure(value: number, unit: string): string {
  if (unit === "bps") return `${(value / 100).toFixed(2)} %`;
  if (unit === "s") return duration(value);
  if (unit === "yes") return value > 0 ? "yes" : "no";
  if (unit === "state") return ["active", "reducing", "halted"][value] ?? String(value);
  if (unit === "bytes" && Math.abs(value) >= 1_000_000) return `${(value / 1_000_000).toFixed(1)} MB`;
  return `${value} ${unit}`.trim();
}
