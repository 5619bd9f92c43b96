// Keys that work wherever nothing is being typed: a letter, or `g` and then the letter of a part of the page.

import { byId, h } from "./dom";

export interface Shortcut { keys: string; what: string; act: () => void }

const SECOND_KEY_WITHIN_MS = 1_500;

/** Follows what is typed and finds the shortcut that it completes. */
export class Sequence {
  private first = "";
  private firstMs = 0;

  constructor(private readonly shortcuts: readonly Shortcut[]) {}

  /** Take a key; the shortcut that is complete with it, or null. */
  press(key: string, nowMs: number): Shortcut | null {
    const prefix = nowMs - this.firstMs <= SECOND_KEY_WITHIN_MS ? this.first : "";
    this.first = "";
    const typed = prefix === "" ? key : `${prefix} ${key}`;
    const found = this.shortcuts.find((each) => each.keys === typed);
    if (found !== undefined) return found;
    if (this.shortcuts.some((each) => each.keys.startsWith(`${key} `))) {
      this.first = key;
      this.firstMs = nowMs;
    }
    return prefix === "" ? null : this.shortcuts.find((each) => each.keys === key) ?? null;
  }
}

/** Whether a key goes into a field. One in a dialog that was just closed still has the focus for a moment. */
function isTyping(target: EventTarget | null): boolean {
  const field = target instanceof Element ? target.closest("input, textarea, select, [contenteditable]") : null;
  return field !== null && field.getClientRects().length > 0;
}

export class Keyboard {
  constructor(shortcuts: readonly Shortcut[]) {
    const help = byId("help") as HTMLDialogElement;
    const open = (): void => help.showModal();
    const all = [...shortcuts, { keys: "?", what: "These keys", act: open }];
    const sequence = new Sequence(all);
    for (const each of all) {
      const keys = each.keys.split(" ").flatMap((key, at) => (at === 0 ? [h("kbd", {}, key)] : [" ", h("kbd", {}, key)]));
      byId("help-keys").append(h("div", {}, h("dt", {}, ...keys), h("dd", {}, each.what)));
    }
    byId("help-open").addEventListener("click", open);
    byId("help-close").addEventListener("click", () => help.close());
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || isTyping(event.target)) return;
      if (document.querySelector("dialog[open]") !== null) return;
      const found = sequence.press(event.key, Date.now());
      if (found === null) return;
      event.preventDefault();
      found.act();
    });
  }
}
