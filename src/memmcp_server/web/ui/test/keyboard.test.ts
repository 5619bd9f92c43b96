import { describe, expect, test } from "vitest";
import { rangeName } from "../src/range";
import { Sequence } from "../src/keyboard";
import { addressOf, addressWith, viewOf, VIEWS } from "../src/views";

describe("keys", () => {
  const shortcut = (keys: string) => ({ keys, what: keys, act: () => undefined });
  const typed = (sequence: Sequence, keys: string, stepMs = 100): string[] =>
    keys.split("").map((key, at) => sequence.press(key, 10_000 + at * stepMs)?.keys ?? "");

  test("one letter, and a letter after g", () => {
    const sequence = new Sequence(["g d", "g r", "k", "r"].map(shortcut));
    expect(typed(sequence, "k")).toEqual(["k"]);
    expect(typed(sequence, "gr")).toEqual(["", "g r"]);
    expect(typed(sequence, "r")).toEqual(["r"]);
    expect(typed(sequence, "x")).toEqual([""]);
  });

  test("a second letter that leads nowhere counts as itself, and one that comes late too", () => {
    const sequence = new Sequence(["g d", "g r", "k", "r"].map(shortcut));
    expect(typed(sequence, "gk")).toEqual(["", "k"]);
    expect(typed(sequence, "gx")).toEqual(["", ""]);
    expect(typed(sequence, "gr", 2_000)).toEqual(["", "r"]);
    expect(typed(sequence, "ggd")).toEqual(["", "", "g d"]);
  });
});

describe("parts of the page", () => {
  test("an address names one, and the first is shown where it names none that there is", () => {
    expect(viewOf("?view=risk")).toBe("risk");
    for (const search of ["", "?view=", "?view=attic", "?x=1"]) expect(viewOf(search)).toBe("desk");
  });

  test("changing one part of an address keeps the rest", () => {
    expect(addressWith("?view=risk&range=1w", "view", null)).toBe("/?range=1w");
    expect(addressWith("?range=1w", "view", "risk")).toBe("/?range=1w&view=risk");
    expect(addressWith("?view=risk", "view", null)).toBe("/");
  });

  test("the time range goes along from part to part, and a search stays behind", () => {
    expect(addressOf("risk", "?view=memory&q=bonk&range=1w")).toBe("/?range=1w&view=risk");
    expect(addressOf("desk", "?view=memory&q=bonk")).toBe("/");
  });

  test("a range is one that there is", () => {
    expect(["?range=1d", "?range=toString", "", "?range="].map(rangeName)).toEqual(["1d", "all", "all", "all"]);
  });

  test("no two share a key", () => {
    expect(new Set(VIEWS.map((view) => view.key)).size).toBe(VIEWS.length);
  });
});
