// From the text of an answer to a document whose texts are all well-formed.

/** JSON can name half of a character. Such a text cannot stand in an address: one would end the drawing of everything. */
const HALF = /[\ud800-\udfff]/gu;
const MAY_HOLD_HALF = /\\u[dD][89a-fA-F]/;

/** Parse JSON; half a character becomes "\ufffd". Throws SyntaxError. */
export function parseDocument(text: string): unknown {
  const document: unknown = JSON.parse(text);
  return MAY_HOLD_HALF.test(text) ? wellFormed(document) : document;
}

function wellFormed(value: unknown): unknown {
  if (typeof value === "string") return value.replace(HALF, "\ufffd");
  if (Array.isArray(value)) return value.map(wellFormed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name.replace(HALF, "\ufffd"), wellFormed(each)]));
}
