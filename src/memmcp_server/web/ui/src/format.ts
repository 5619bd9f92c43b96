// Figures as people read them. Money is formatted from exact integers (lamports), never through binary fractions.

export const LAMPORTS_PER_SOL = 1_000_000_000n;
const DECIMALS = 9;
const MINUS = "\u2212";
const NARROW_SPACE = "\u202f";
export const NOTHING = "\u2013";

function grouped(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, NARROW_SPACE);
}

/** Round a count of 10^-scale units half away from zero to `places` decimals and write it with grouped thousands. */
export function fixed(units: bigint, scale: number, places: number): string {
  const magnitude = units < 0n ? -units : units;
  const step = 10n ** BigInt(Math.max(0, scale - places));
  const rounded = (magnitude + step / 2n) / step;
  const text = rounded.toString().padStart(places + 1, "0");
  const whole = grouped(text.slice(0, text.length - places));
  const fraction = places > 0 ? `.${text.slice(text.length - places)}` : "";
  const sign = units < 0n && rounded !== 0n ? MINUS : "";
  return `${sign}${whole}${fraction}`;
}

/** SOL with 4 decimals; a sum that would round to nothing keeps all 9. The unit is written by the caller. */
export function sol(lamports: number, places = 4): string {
  const units = BigInt(Math.trunc(lamports));
  const magnitude = units < 0n ? -units : units;
  const visible = 10n ** BigInt(DECIMALS - places) / 2n;
  return fixed(units, DECIMALS, magnitude > 0n && magnitude < visible ? DECIMALS : places);
}

/** SOL with its sign always written, so that colour is never the only sign of gain or loss. */
export function signedSol(lamports: number, places = 4): string {
  const text = sol(lamports, places);
  return lamports > 0 ? `+${text}` : text;
}

/** Every digit, for a tooltip: "2.000000001 SOL". */
export function exactSol(lamports: number): string {
  return `${fixed(BigInt(Math.trunc(lamports)), DECIMALS, DECIMALS)} SOL`;
}

/** Longer than any figure of ours: what is longer is none. */
const FIGURE_MAX = 100;

/** Decimal text as units of 10^-scale, or null when it is no plain decimal. Digits beyond the scale are cut. */
export function parseDecimal(text: string, scale: number): bigint | null {
  const match = text.length > FIGURE_MAX ? null : /^([+-]?)(\d+)(?:\.(\d+))?$/.exec(text.trim());
  if (match === null) return null;
  const fraction = (match[3] ?? "").padEnd(scale, "0").slice(0, scale);
  const units = BigInt(`${match[2]}${fraction}`);
  return match[1] === "-" ? -units : units;
}

/** US dollars from decimal text: two decimals, four below one cent; null when the price of SOL is not known. */
export function usd(text: string | null | undefined): string | null {
  if (text === null || text === undefined) return null;
  const units = parseDecimal(text, 6);
  if (units === null) return null;
  const magnitude = units < 0n ? -units : units;
  const places = magnitude > 0n && magnitude < 10_000n ? 4 : 2;
  return fixed(units, 6, places);
}

/** The value of lamports in US dollars at a given price of SOL, as decimal text; null without a price. */
export function lamportsInUsd(lamports: number, solUsd: string | null | undefined): string | null {
  const price = solUsd == null ? null : parseDecimal(solUsd, 6);
  if (price === null) return null;
  const units = (BigInt(Math.trunc(lamports)) * price) / LAMPORTS_PER_SOL;
  return fixed(units, 6, 6).replaceAll(NARROW_SPACE, "").replace(MINUS, "-");
}

export function percent(bps: number, places = 2): string {
  return `${fixed(BigInt(Math.trunc(bps)), 2, places)}${NARROW_SPACE}%`;
}

export function signedPercent(bps: number, places = 2): string {
  return bps > 0 ? `+${percent(bps, places)}` : percent(bps, places);
}

export function count(value: number): string {
  return fixed(BigInt(Math.trunc(value)), 0, 0);
}

/** Decimal text (an amount of tokens, a price) shortened to `digits` significant digits, grouped, never rounded up; what is no figure comes as a safe text. */
export function decimal(text: string, digits = 6): string {
  const match = text.length > FIGURE_MAX ? null : /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  if (match === null) return plain(text, 24);
  const whole = (match[2] ?? "0").replace(/^0+(?=\d)/, "");
  const fraction = match[3] ?? "";
  const leading = whole === "0" ? (/^0*/.exec(fraction)?.[0].length ?? 0) : 0;
  const room = whole === "0" ? leading + digits : Math.max(0, digits - whole.length);
  const kept = fraction.slice(0, room).replace(/0+$/, "");
  return `${match[1] ? MINUS : ""}${grouped(whole)}${kept ? `.${kept}` : ""}`;
}

/** How long: "0.4 s", "12 s", "3 min 5 s", "2 h 10 min", "4 d 3 h". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return NOTHING;
  const total = Math.max(0, seconds);
  if (total < 9.95) return total < 0.05 ? "0 s" : `${total.toFixed(1)} s`;
  const whole = Math.round(total);
  if (whole < 60) return `${whole} s`;
  const pairs: [number, string, number, string][] = [
    [86_400, "d", 3_600, "h"], [3_600, "h", 60, "min"], [60, "min", 1, "s"],
  ];
  for (const [big, bigName, small, smallName] of pairs) {
    if (whole >= big) {
      const rest = Math.floor((whole % big) / small);
      return rest > 0 ? `${Math.floor(whole / big)} ${bigName} ${rest} ${smallName}` : `${Math.floor(whole / big)} ${bigName}`;
    }
  }
  return `${whole} s`;
}

const WRITTEN_MAX = 1_000;

/** Writes instants in one named zone; an unknown zone falls back to UTC and says so by the name it prints. */
export class ZonedTime {
  readonly zone: string;
  readonly label: string;
  private readonly parts: Intl.DateTimeFormat;
  private readonly written = new Map<number, string>();

  constructor(zone: string) {
    let known = zone;
    try {
      new Intl.DateTimeFormat("en-GB", { timeZone: zone });
    } catch {
      known = "UTC";
    }
    this.zone = known;
    this.label = known === "Etc/UTC" ? "UTC" : known;
    this.parts = new Intl.DateTimeFormat("en-GB", {
      timeZone: known, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
      hour: "2-digit", minute: "2-digit", second: "2-digit",
    });
  }

  private fields(at: Date): Record<string, string> {
    return Object.fromEntries(this.parts.formatToParts(at).map((part) => [part.type, part.value]));
  }

  /** "2026-11-22 09:24:52 UTC" */
  full(at: string | number): string {
    const second = Math.floor(new Date(at).getTime() / 1_000);
    if (Number.isNaN(second)) return NOTHING;
    // Most of what a tick draws was there before, and a calendar is slow to ask.
    const known = this.written.get(second);
    if (known !== undefined) return known;
    const f = this.fields(new Date(second * 1_000));
    const text = `${f["year"]}-${f["month"]}-${f["day"]} ${f["hour"]}:${f["minute"]}:${f["second"]} ${this.label}`;
    if (this.written.size >= WRITTEN_MAX) this.written.clear();
    this.written.set(second, text);
    return text;
  }

  /** "22 Nov 09:24 UTC" style without the year: "11-22 09:24 UTC" */
  short(at: string | number): string {
    const full = this.full(at);
    return full === NOTHING ? full : `${full.slice(5, 16)} ${this.label}`;
  }

  /** "09:24:52 UTC" */
  clock(at: string | number): string {
    const full = this.full(at);
    return full === NOTHING ? full : full.slice(11);
  }
}

/** First and last characters of an address: "DezX…B263". */
export function shortAddress(address: string): string {
  return address.length <= 12 ? address : `${address.slice(0, 4)}\u2026${address.slice(-4)}`;
}

// Token names and memory texts come from strangers. Characters that reorder, hide or break text would let one
// entry imitate another, so they are shown as a visible mark.
const DECEIVING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;

/** Foreign text made safe to read in one line: control, zero-width and direction characters become "�". */
export function plain(text: string, lengthMax = 400): string {
  const flat = text.replace(/[\n\t]+/g, " ").replace(DECEIVING, "\ufffd");
  const characters = Array.from(flat);
  return characters.length > lengthMax ? `${characters.slice(0, lengthMax - 1).join("")}\u2026` : flat;
}

/** "max_position_bps" or "stop-entries" as words. */
export function words(name: string): string {
  return plain(name.replace(/[_-]+/g, " "), 80);
}

/** A limit's figure in the unit that it names. */
export function inUnit(value: number, unit: string): string {
  if (unit === "bps") return percent(value);
  if (unit === "lamports") return `${sol(value)} SOL`;
  if (unit === "s") return duration(value);
  return `${count(value)} ${plain(unit, 24)}`;
}

/** A short time with three digits that count: "0.82 ms", "12.4 ms", "1.25 s", "5 min". */
export function precise(seconds: number): string {
  if (!Number.isFinite(seconds)) return NOTHING;
  if (seconds >= 10) return duration(seconds);
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  const ms = seconds * 1_000;
  if (ms < 0.005) return "0 ms";
  return `${ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2)} ms`;
}
