// The buttons and fields of the page's one time range. What they choose goes into the address and nowhere else.

import { byId, setAttribute, setText } from "../dom";
import { instantMs, isoText, isRange, rangeName, searchWith, timeRange } from "../range";
import type { RangeName, TimeRange } from "../range";

export class RangeBar {
  private readonly form = byId("range-form") as HTMLFormElement;
  private readonly custom = byId("range-custom") as HTMLDetailsElement;

  constructor(private readonly onChange: () => void) {
    byId("ranges").addEventListener("click", (event) => {
      const range = (event.target as Element).closest("button")?.dataset["range"];
      if (!isRange(range)) return;
      this.custom.open = false;
      this.choose(range);
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.take();
    });
  }

  /** Show what the address names. */
  draw(search: string): void {
    const name = rangeName(search);
    for (const button of byId("ranges").querySelectorAll("button")) {
      setAttribute(button, "aria-pressed", String(button.dataset["range"] === name));
    }
    setAttribute(this.custom, "data-chosen", name === "custom" ? "yes" : null);
    const { sinceMs, untilMs } = timeRange(search, 0);
    const isCustom = name === "custom";
    this.field("since").value = isCustom && sinceMs !== null ? isoText(sinceMs) : "";
    this.field("until").value = isCustom && untilMs !== null ? isoText(untilMs) : "";
    setText(byId("range-custom-text"), isCustom ? "Custom \u2713" : "Custom");
  }

  private take(): void {
    const texts = { since: this.field("since").value.trim(), until: this.field("until").value.trim() };
    const range: TimeRange = { sinceMs: instantMs(texts.since), untilMs: instantMs(texts.until) };
    for (const [name, at] of [["since", range.sinceMs], ["until", range.untilMs]] as const) {
      if (texts[name] === "" || at !== null) continue;
      return this.refuse(name, "Write a time in UTC as 2026-11-22 or 2026-11-22 09:30.");
    }
    if (range.sinceMs !== null && range.untilMs !== null && range.untilMs <= range.sinceMs) {
      return this.refuse("until", "This must be later than From.");
    }
    setText(byId("range-problem"), "");
    this.custom.open = false;
    this.custom.querySelector("summary")?.focus();
    this.choose(range.sinceMs === null && range.untilMs === null ? "all" : range);
  }

  private refuse(name: string, why: string): void {
    setText(byId("range-problem"), why);
    this.field(name).focus();
  }

  private choose(range: RangeName | TimeRange): void {
    history.replaceState(null, "", `/${searchWith(location.search, range)}`);
    this.onChange();
  }

  private field(name: string): HTMLInputElement {
    return byId(`range-${name}`) as HTMLInputElement;
  }
}
