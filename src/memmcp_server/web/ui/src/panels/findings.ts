// Findings as the server words them: what is said, of how many, tested how, and what it rests on.

import { h, withMoments } from "../dom";
import { count, percent, plain, words, ZonedTime } from "../format";
import type { Finding, OutOfSample } from "../wire_strategies";
import type { Brief } from "../wire_insights";

const EVIDENCE_MAX = 10;
const SAID: Readonly<Record<string, string>> = {
  gains: "\u25b2 gains", loses: "\u25bc loses", open: "not decided", holds: "\u2713 holds", fails: "\u2717 fails", better: "\u2713 better than chance", worse: "\u2717 worse than chance",
};
const GATES: Readonly<Record<string, string>> = {
  trade_psr: "trades since its promotion", paper_psr: "days on paper since its promotion", holdout_psr: "days that no search saw",
};

/** "97 % of 21 days": the probability that it earns anything, and of how much that was read. */
export function testedShort(tested: OutOfSample): string {
  return `${percent(tested.confidence_bps, 1)} of ${count(tested.sample)} ${plain(tested.sample_of, 12)}`;
}

/** The reading out of sample in full; a strategy without a promoted candidate has none. */
export function testedText(tested: OutOfSample | null | undefined): string {
  if (!tested) return "Not read: no candidate of it was promoted, so its finished trades are all there is.";
  return `${percent(tested.confidence_bps, 1)} that it earns anything, of ${count(tested.sample)} ${GATES[tested.gate] ?? words(tested.gate)}; `
    + `asked for ${percent(tested.bound_bps, 1)}: ${tested.passed ? "passed" : "not passed"}.`;
}

function level(says: string): string {
  if (says === "gains" || says === "holds" || says === "better") return "gain";
  return says === "open" ? "quiet" : "loss";
}

export function findingItem(finding: Finding): HTMLElement {
  const evidence = finding.evidence.slice(-EVIDENCE_MAX);
  return h("li", {},
    h("p", { class: "stream-meta" },
      h("span", { class: `kind ${level(finding.says)}` }, SAID[finding.says] ?? words(finding.says)),
      h("span", { class: "dim" }, `${words(finding.about)} \u00b7 n ${count(finding.sample)}`)),
    h("p", { class: "stream-text", dir: "auto" }, plain(finding.text, 400)),
    h("p", { class: "sub" }, plain(finding.confidence, 200)),
    ...(finding.about !== "result" ? [] : [h("p", { class: "sub" }, `Out of sample: ${finding.out_of_sample ? testedShort(finding.out_of_sample) : "not read"}`)]),
    ...(evidence.length === 0 ? [] : [h("p", { class: "stream-links wrap" }, ...evidence.map((id, at) =>
      h("a", { href: `/trajectories/${encodeURIComponent(id)}`, "data-trajectory": id }, `trade ${at + 1}`)))]));
}

export function briefItem(brief: Brief, time: ZonedTime): HTMLElement {
  return h("li", {},
    h("p", { class: "stream-meta" },
      h("time", { datetime: brief.ts, title: time.full(brief.ts) }, time.short(brief.ts)),
      h("span", { class: "kind" }, words(brief.kind)),
      h("span", { class: "dim" }, `${plain(brief.namespace, 64)} \u00b7 ${plain(brief.agent, 40) || "unnamed agent"}`),
      ...(brief.stale && brief.stale.length > 0 ? [h("span", { class: "kind", title: plain(brief.stale.join("; "), 400) }, "stale")] : [])),
    h("p", { class: "stream-text", dir: "auto" }, ...withMoments(plain(brief.text, 400), time)),
    h("p", { class: "stream-links" },
      h("a", { href: `/memory/${encodeURIComponent(brief.id)}`, "data-memory": brief.id }, "open, with its evidence")));
}
