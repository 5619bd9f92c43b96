// The only way this page makes elements. Text enters through textContent alone: memory texts, token names and errors
// come from strangers and are never parsed as markup.

import { plain } from "./format";
import type { ZonedTime } from "./format";

export type Child = Node | string | null;

const INSTANT = /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})/g;

/** An instant as people read it, with its exact time for machines and as a tooltip; a text that is none stays as it is. */
export function moment(at: string, time: Pick<ZonedTime, "full" | "short">): Child {
  if (Number.isNaN(Date.parse(at))) return plain(at, 40);
  return h("time", { datetime: at, title: time.full(at) }, time.short(at));
}

/** A sentence of the server with its instants written as people read them. */
export function withMoments(text: string, time: Pick<ZonedTime, "full" | "short">): Child[] {
  const found: Child[] = [];
  let from = 0;
  for (const match of text.matchAll(INSTANT)) {
    found.push(text.slice(from, match.index), moment(match[0], time));
    from = match.index + match[0].length;
  }
  return [...found, text.slice(from)];
}

export interface Attributes { class?: string; title?: string; href?: string; [name: string]: string | undefined }

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Attributes = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(name, value);
  for (const child of children) if (child !== null) element.append(child);
  return element;
}

export function svg(tag: string, attributes: Record<string, string>, ...children: SVGElement[]): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The element with this id; the page and its script are built together, so its absence is a defect. */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no element #${id}`);
  return element;
}

export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element: Element, name: string, value: string | null): void {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export type Cell = { text: string; class?: string; title?: string; sub?: string } | Node;

/** Write a table's body, touching only the cells that changed, so that selection and focus survive a tick. */
export function fillRows(body: HTMLTableSectionElement, rows: Cell[][]): void {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, index) => {
    const row = body.rows[index] ?? body.insertRow();
    while (row.cells.length > cells.length) row.deleteCell(-1);
    cells.forEach((cell, column) => {
      if (column < row.cells.length) return;
      row.append(column === 0 ? h("th", { scope: "row" }) : h("td"));
      void cell;
    });
    cells.forEach((cell, column) => fillCell(row.cells[column], cell));
  });
}

function fillCell(element: HTMLTableCellElement | undefined, cell: Cell): void {
  if (element === undefined) return;
  if (cell instanceof Node) {
    const present = element.firstChild;
    if (present === null || element.childNodes.length > 1 || !present.isEqualNode(cell)) element.replaceChildren(cell);
    return;
  }
  setAttribute(element, "class", cell.class ?? null);
  setAttribute(element, "title", cell.title ?? null);
  if (cell.sub === undefined) {
    if (element.childElementCount > 0 || element.textContent !== cell.text) element.replaceChildren(cell.text);
    return;
  }
  const main = element.querySelector(":scope > .main");
  const sub = element.querySelector(":scope > .sub");
  if (main && sub) {
    setText(main, cell.text);
    setText(sub, cell.sub);
  } else {
    element.replaceChildren(h("span", { class: "main" }, cell.text), h("span", { class: "sub" }, cell.sub));
  }
}

/** A line through the values as inline SVG; empty for fewer than two values. The caller gives it a text. */
export function sparkline(values: number[], label: string): SVGElement {
  const width = 240;
  const height = 48;
  const low = Math.min(...values);
  const span = Math.max(...values) - low;
  const at = (value: number, index: number): string => {
    const x = (index / Math.max(1, values.length - 1)) * width;
    const y = span > 0 ? height - 3 - ((value - low) / span) * (height - 6) : height / 2;
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  };
  const points = values.length > 1 ? values.map(at).join(" ") : "";
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label, class: "sparkline" },
    ...(points ? [
      svg("polygon", { points: `0,${height} ${points} ${width},${height}`, class: "sparkline-area" }),
      svg("polyline", { points, class: "sparkline-line", fill: "none", "vector-effect": "non-scaling-stroke" }),
    ] : []),
  );
}
