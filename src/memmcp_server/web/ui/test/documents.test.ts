import { expect, test } from "vitest";
import { parseDocument } from "../src/documents";

test("half a character becomes a mark wherever it stands, and a whole one stays", () => {
  const text = '{"a\\ud800": ["x\\udc00y", {"b": "\\ud83d\\udc68"}], "n": 1, "none": null}';
  expect(parseDocument(text)).toEqual({ "a\ufffd": ["x\ufffdy", { b: "\u{1f468}" }], n: 1, none: null });
  expect(() => encodeURIComponent(String((parseDocument('["\\ud800"]') as string[])[0]))).not.toThrow();
});

test("what is no JSON is no document", () => {
  expect(() => parseDocument("{")).toThrow(SyntaxError);
});
