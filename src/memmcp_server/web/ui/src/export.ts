// Links that download what a panel shows, as a file that the server makes.

import { h, setAttribute } from "./dom";

const FORMATS = ["csv", "json"] as const;

/** The address of a file: what is empty narrows nothing down. */
export function exportAddress(what: string, format: string, query: Readonly<Record<string, string | null>>): string {
  const wish = new URLSearchParams({ format });
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== "") wish.set(name, value);
  return `/export/${what}?${wish.toString()}`;
}

/** Two links in a panel's header: the rows that it shows, as CSV and as JSON. Without rows there is nothing to take along. */
export class ExportLinks {
  private readonly links = FORMATS.map((format) => ({ format, link: h("a", { class: "export", download: "" }, format.toUpperCase()) }));

  /** `said`: what is in the file, where that is not what the panel shows. */
  constructor(private readonly place: HTMLElement, private readonly what: string, said = what) {
    place.classList.add("exports");
    place.append(h("span", { class: "dim" }, "Save as "), ...this.links.map(({ format, link }) => {
      link.setAttribute("aria-label", `${format.toUpperCase()}: save the ${said} as a file`);
      return link;
    }));
    setAttribute(place, "hidden", "");
  }

  follow(hasRows: boolean, query: Readonly<Record<string, string | null>> = {}): void {
    setAttribute(this.place, "hidden", hasRows ? null : "");
    if (hasRows) for (const { format, link } of this.links) setAttribute(link, "href", exportAddress(this.what, format, query));
  }
}
