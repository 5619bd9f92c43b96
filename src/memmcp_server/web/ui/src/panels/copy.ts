// Something long shown short, that a press copies whole.

import { byId, h, setText } from "../dom";
import { plain, shortAddress } from "../format";

const SAID_MS = 1_500;
let isListening = false;

/** A button that shows the ends of an address or a signature, and copies all of it. */
export function copyable(whole: string, what: string): HTMLButtonElement {
  listen();
  const text = plain(whole, 200);
  return h("button", { type: "button", class: "copy", "data-copy": text, title: `${text}\ncopy the ${what}` }, shortAddress(text));
}

function listen(): void {
  if (isListening) return;
  isListening = true;
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest<HTMLButtonElement>("button[data-copy]") : null;
    if (button !== null) void copy(button);
  });
}

async function copy(button: HTMLButtonElement): Promise<void> {
  const whole = button.dataset["copy"] ?? "";
  let said = "copied";
  try {
    await navigator.clipboard.writeText(whole);
  } catch {
    said = whole; // not allowed to: shown whole, so that it can be taken by hand
  }
  setText(button, said);
  setText(byId("announcer"), said === "copied" ? "Copied." : said);
  if (said === "copied") setTimeout(() => setText(button, shortAddress(whole)), SAID_MS);
}
