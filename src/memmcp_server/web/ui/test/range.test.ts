import { describe, expect, it } from "vitest";
import { ZonedTime } from "../src/format";
import { RangedPoll } from "../src/poll";
import { instantMs, isoText, rangeName, rangeQuery, rangeWords, searchWith, timeRange } from "../src/range";

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

describe("a panel of the range", () => {
  it("says of which it is, in the desk's zone", () => {
    const utc = new ZonedTime("UTC");
    expect(rangeWords("", utc)).toBe("whole run");
    expect(rangeWords("?range=1w", utc)).toBe("last 7 days");
    expect(rangeWords("?since=2026-11-01", utc)).toBe("since 11-01 00:00 UTC");
    expect(rangeWords("?until=2026-11-02T12:30", new ZonedTime("Europe/Berlin"))).toBe("until 11-02 13:30 Europe/Berlin");
    expect(rangeWords("?since=2026-11-01&until=2026-11-02", utc)).toBe("11-01 00:00 to 11-02 00:00 UTC");
  });

  it("asks anew where the range changes, and lets an answer to the earlier question go", async () => {
    const asked: string[] = [];
    const answers: ((value: string) => void)[] = [];
    const poll = new RangedPoll((within) => new Promise<string>((resolve) => {
      asked.push(`${within.since}..${within.until}`);
      answers.push(resolve);
    }), 5_000, () => {});
    poll.follow("?range=1h", 0, NOW);
    poll.follow("?range=1h", 4_000, NOW + 4_000);
    poll.follow("?view=risk&since=2026-11-01&until=2026-11-02", 4_100, NOW);
    answers[1]?.("of the day");
    await new Promise((resolve) => setTimeout(resolve));
    answers[0]?.("of the hour");
    await new Promise((resolve) => setTimeout(resolve));
    expect(asked).toEqual(["2026-11-22T11:00:00.000Z..null", "2026-11-01T00:00:00.000Z..2026-11-02T00:00:00.000Z"]);
    expect(poll.value).toMatchObject({ state: "ready", value: "of the day" });
  });
});
