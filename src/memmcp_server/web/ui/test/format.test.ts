import { describe, expect, test } from "vitest";
import {
  count, decimal, duration, exactSol, fixed, inUnit, lamportsInUsd, NOTHING, parseDecimal, percent, plain, shortAddress,
  signedPercent, signedSol, sol, usd, words, ZonedTime,
} from "../src/format";

const NARROW = "\u202f";

describe("sums of money", () => {
  test("lamports become SOL with four decimals, rounded half away from zero", () => {
    expect(sol(2_000_000_000)).toBe("2.0000");
    expect(sol(2_000_050_000)).toBe("2.0001");
    expect(sol(2_000_049_999)).toBe("2.0000");
    expect(sol(-1_234_567_890)).toBe("\u22121.2346");
  });

  test("a sum too small for four decimals keeps every digit instead of reading as nothing", () => {
    expect(sol(49_999)).toBe("0.000049999");
    expect(sol(-1)).toBe("\u22120.000000001");
    expect(sol(0)).toBe("0.0000");
  });

  test("large sums are exact and grouped", () => {
    expect(sol(9_007_199_254_740_991)).toBe(`9${NARROW}007${NARROW}199.2547`);
    expect(exactSol(1_000_000_000_001)).toBe(`1${NARROW}000.000000001 SOL`);
  });

  test("a change carries its sign", () => {
    expect(signedSol(12_300_000)).toBe("+0.0123");
    expect(signedSol(-12_300_000)).toBe("\u22120.0123");
    expect(signedSol(0)).toBe("0.0000");
  });

  test("dollars have two decimals, four below a cent, and are absent without a price", () => {
    expect(usd("364.8")).toBe("364.80");
    expect(usd("1234567.899")).toBe(`1${NARROW}234${NARROW}567.90`);
    expect(usd("0.0012")).toBe("0.0012");
    expect(usd("-2.316")).toBe("\u22122.32");
    expect(usd(null)).toBeNull();
    expect(usd("NaN")).toBeNull();
  });

  test("dollars of lamports come from exact integers", () => {
    expect(lamportsInUsd(2_000_000_000, "182.40")).toBe("364.800000");
    expect(lamportsInUsd(-500_000_000, "100")).toBe("-50.000000");
    expect(lamportsInUsd(1, null)).toBeNull();
    expect(usd(lamportsInUsd(1_234_000_000_000, "182.40"))).toBe(`225${NARROW}081.60`);
  });

  test("only plain decimals are read", () => {
    expect(parseDecimal("1.5", 3)).toBe(1_500n);
    expect(parseDecimal("-0.0019", 3)).toBe(-1n);
    for (const text of ["", "1e5", "0x1", "1.2.3", "Infinity", "--1"]) expect(parseDecimal(text, 3)).toBeNull();
  });

  test("rounding carries over all digits", () => {
    expect(fixed(999_999n, 6, 2)).toBe("1.00");
    expect(fixed(-4n, 3, 2)).toBe("0.00");
  });
});

describe("other figures", () => {
  test("basis points read as percent with sign where asked", () => {
    expect(percent(1_234)).toBe(`12.34${NARROW}%`);
    expect(percent(-50, 1)).toBe(`\u22120.5${NARROW}%`);
    expect(signedPercent(50)).toBe(`+0.50${NARROW}%`);
    expect(signedPercent(0)).toBe(`0.00${NARROW}%`);
  });

  test("prices of small tokens keep their significant digits and are never rounded up", () => {
    expect(decimal("0.00000014829", 4)).toBe("0.0000001482");
    expect(decimal("1234567.891")).toBe(`1${NARROW}234${NARROW}567`);
    expect(decimal("12.30")).toBe("12.3");
    expect(decimal("\u202e1")).toBe("\ufffd1");
    expect(decimal("9".repeat(101))).toBe(`${"9".repeat(23)}\u2026`);
    expect(decimal("0")).toBe("0");
    expect(decimal("n/a")).toBe("n/a");
  });

  test("durations name their units", () => {
    expect(duration(0)).toBe("0 s");
    expect(duration(0.84)).toBe("0.8 s");
    expect(duration(59.4)).toBe("59 s");
    expect(duration(125)).toBe("2 min 5 s");
    expect(duration(7_200)).toBe("2 h");
    expect(duration(93_600)).toBe("1 d 2 h");
    expect(duration(-3)).toBe("0 s");
    expect(duration(Number.NaN)).toBe(NOTHING);
  });

  test("a limit is written in the unit it names", () => {
    expect(inUnit(1_500, "bps")).toBe(`15.00${NARROW}%`);
    expect(inUnit(400_000_000, "lamports")).toBe("0.4000 SOL");
    expect(inUnit(172_800, "s")).toBe("2 d");
    expect(inUnit(6, "positions")).toBe("6 positions");
    expect(count(12_345)).toBe(`12${NARROW}345`);
  });
});

describe("times", () => {
  const at = "2026-11-22T09:24:52.481Z";

  test("every time carries its zone", () => {
    const utc = new ZonedTime("UTC");
    expect(utc.full(at)).toBe("2026-11-22 09:24:52 UTC");
    expect(utc.short(at)).toBe("11-22 09:24 UTC");
    expect(utc.clock(at)).toBe("09:24:52 UTC");
  });

  test("another zone is computed and named", () => {
    expect(new ZonedTime("Asia/Tokyo").full(at)).toBe("2026-11-22 18:24:52 Asia/Tokyo");
  });

  test("midnight is 00, not 24", () => {
    expect(new ZonedTime("UTC").clock("2026-11-22T00:00:00Z")).toBe("00:00:00 UTC");
  });

  test("an unknown zone falls back to UTC and says so; an unreadable time is a dash", () => {
    const time = new ZonedTime("Mars/Olympus");
    expect(time.full(at)).toBe("2026-11-22 09:24:52 UTC");
    expect(time.full("yesterday")).toBe(NOTHING);
  });
});

describe("foreign text", () => {
  test("characters that hide or reorder text become visible", () => {
    expect(plain("SOL\u202eKNOB\u200b!")).toBe("SOL\ufffdKNOB\ufffd!");
    expect(plain("a\u0007b\u2066c")).toBe("a\ufffdb\ufffdc");
  });

  test("line breaks become spaces and long text is cut on a whole character", () => {
    expect(plain("one\n\ttwo")).toBe("one two");
    expect(plain("\u{1F600}".repeat(10), 4)).toBe(`${"\u{1F600}".repeat(3)}\u2026`);
  });

  test("names become words and addresses keep both ends", () => {
    expect(words("pool_too-shallow")).toBe("pool too shallow");
    expect(shortAddress("DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263")).toBe("DezX\u2026B263");
    expect(shortAddress("SOL")).toBe("SOL");
  });
});
