// Which part of the page is shown. It stands in the address, so that a link and the back button lead to it.

import { byId, h, setAttribute, setText } from "./dom";
import { rangeQuery } from "./range";

export const VIEWS = [
  { id: "desk", key: "d", title: "Desk" },
  { id: "trades", key: "t", title: "Trades" },
  { id: "strategies", key: "s", title: "Strategies" },
  { id: "memory", key: "m", title: "Memory" },
  { id: "insights", key: "i", title: "Insights" },
  { id: "risk", key: "r", title: "Risk" },
  { id: "execution", key: "x", title: "Execution" },
  { id: "agents", key: "a", title: "Agents" },
  { id: "system", key: "y", title: "System" },
] as const;

export type ViewId = (typeof VIEWS)[number]["id"];

/** The view that an address names, the first where it names none. */
export function viewOf(search: string): ViewId {
  const named = new URLSearchParams(search).get("view");
  return VIEWS.find((view) => view.id === named)?.id ?? VIEWS[0].id;
}

/** The same address with one part of its query changed; null takes it out, and so does what is the default. */
export function addressWith(search: string, name: string, value: string | null): string {
  const query = new URLSearchParams(search);
  if (value === null) query.delete(name);
  else query.set(name, value);
  const text = query.toString();
  return text === "" ? "/" : `/?${text}`;
}

/** Where a part is shown, over the same time range; what another part was narrowed to stays behind. */
export function addressOf(view: ViewId, search: string): string {
  return addressWith(rangeQuery(search), "view", view === VIEWS[0].id ? null : view);
}

/** The bar that leads from part to part. What is not shown is not drawn either. */
export class Views {
  private shown: ViewId = viewOf(location.search);
  private readonly links = new Map<ViewId, HTMLAnchorElement>();

  constructor(private readonly onChange: () => void) {
    for (const view of VIEWS) {
      const link = h("a", { "data-view": view.id, "aria-keyshortcuts": `g ${view.key}` }, view.title);
      this.links.set(view.id, link);
      byId("views").append(link);
    }
    document.addEventListener("click", (event) => {
      const link = event.target instanceof Element ? event.target.closest<HTMLAnchorElement>('a[href^="/?"], #views a') : null;
      if (link === null || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      history.pushState(null, "", link.getAttribute("href") ?? "/");
      this.arrive();
    });
    window.addEventListener("popstate", () => this.show(viewOf(location.search)));
    this.show(this.shown);
  }

  get current(): ViewId {
    return this.shown;
  }

  isShown(view: ViewId): boolean {
    return this.shown === view;
  }

  go(view: ViewId): void {
    if (view === this.shown) return;
    history.pushState(null, "", addressOf(view, location.search));
    this.arrive();
  }

  private arrive(): void {
    this.show(viewOf(location.search));
    scrollTo(0, 0);
    byId("main").focus({ preventScroll: true });
  }

  /** Say on the bar how much of a part waits for the operator; 0: nothing. */
  mark(view: ViewId, count: number, what: string): void {
    const link = this.links.get(view);
    if (link === undefined) return;
    const text = count > 0 ? String(count) : "";
    // With a space before it: what is read out must hold what is seen, "System 2" and not "System2".
    if (link.querySelector(".badge") === null) link.append(" ", h("span", { class: "badge" }));
    const badge = link.querySelector(".badge") as HTMLElement;
    setText(badge, text);
    setAttribute(badge, "title", text === "" ? null : `${text} ${what}`);
    setAttribute(badge, "hidden", text === "" ? "" : null);
    const title = VIEWS.find((each) => each.id === view)?.title ?? view;
    setAttribute(link, "aria-label", text === "" ? null : `${title} ${text} ${what}`);
  }

  /** Have the links lead to where the address's time range is kept. */
  relink(): void {
    for (const [id, link] of this.links) setAttribute(link, "href", addressOf(id, location.search));
  }

  private show(view: ViewId): void {
    this.shown = view;
    for (const part of document.querySelectorAll(".view")) {
      setAttribute(part, "hidden", part.getAttribute("data-view") === view ? null : "");
    }
    this.relink();
    for (const [id, link] of this.links) {
      setAttribute(link, "aria-current", id === view ? "page" : null);
    }
    this.onChange();
  }
}
