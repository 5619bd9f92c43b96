import { describe, expect, it } from "vitest";
import { instantMs, isoText, rangeName, rangeQuery, searchWith, timeRange } from "../src/range";

const NOW = Date.UTC(2026, 10, 22, 12);

describe("the time range of the page", () => {
  it("is open on both sides where the address names none, or one that cannot be read", () => {
    for (const search of ["", "?view=trades", "?range=forever", "?range=toString", "?since=yesterday", "?until=9999-01-01"]) {
      expect(timeRange(search, NOW)).toEqual({ sinceMs: null, untilMs: null });
      expect(rangeName(search)).toBe("all");
    }
  });

  it("counts a window back from the newest event and leaves it open", () => {
    expect(timeRange("?range=1d", NOW)).toEqual({ sinceMs: NOW - 86_400_000, untilMs: null });
    expect(timeRange("?range=1m", NOW)).toEqual({ sinceMs: NOW - 30 * 86_400_000, untilMs: null });
  });

  it("takes instants in UTC before a window, either of them alone, and none that end before they begin", () => {
    expect(timeRange("?range=1d&since=2026-11-01", NOW)).toEqual({ sinceMs: Date.UTC(2026, 10, 1), untilMs: null });
    expect(timeRange("?until=2026-11-02T03:04Z", NOW)).toEqual({ sinceMs: null, untilMs: Date.UTC(2026, 10, 2, 3, 4) });
    expect(rangeName("?range=1d&since=2026-11-01")).toBe("custom");
    expect(timeRange("?since=2026-11-02&until=2026-11-01", NOW)).toEqual({ sinceMs: null, untilMs: null });
  });

  it("reads instants as people type them, and no others", () => {
    expect(instantMs(" 2026-11-22 09:30 ")).toBe(Date.UTC(2026, 10, 22, 9, 30));
    expect(instantMs("2026-11-22T09:30:15+02:00")).toBe(Date.UTC(2026, 10, 22, 7, 30, 15));
    for (const text of [null, "", "22.11.2026", "2026-13-01", "1970-01-01", "2026-11-22T9", "<b>"]) expect(instantMs(text)).toBeNull();
  });

  it("is kept by links, and replaced as a whole", () => {
    expect(rangeQuery("?view=risk&range=1w&strategy=x")).toBe("range=1w");
    expect(searchWith("?view=risk&range=1w", "all")).toBe("?view=risk");
    expect(searchWith("?since=2026-11-01", "1h")).toBe("?range=1h");
    const custom = { sinceMs: Date.UTC(2026, 10, 1, 5), untilMs: null };
    expect(timeRange(searchWith("?range=1h", custom), NOW)).toEqual(custom);
    expect(isoText(custom.sinceMs)).toBe("2026-11-01T05:00Z");
    expect(isoText(custom.sinceMs + 1)).toBe("2026-11-01T05:00:00.001Z");
  });
});
