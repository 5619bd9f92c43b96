// When a person looked at this page last. After a pause, what happened meanwhile is told once, until it was read.

export const AWAY_MS = 30 * 60_000;
const KEEP_EVERY_MS = 10_000;

/** Where the last look is kept between two visits; keeping may be forbidden, and then every visit is the first. */
export interface Keep { get(): string | null; set(value: string): void }

export class BrowserKeep implements Keep {
  constructor(private readonly key: string) {}

  get(): string | null {
    try {
      return localStorage.getItem(this.key);
    } catch {
      return null;
    }
  }

  set(value: string): void {
    try {
      localStorage.setItem(this.key, value);
    } catch {
      // A browser that keeps nothing is no reason to tell less of the present.
    }
  }
}

interface Look { deskMs: number; wallMs: number }

function lookFrom(text: string | null): Look | null {
  const [deskMs, wallMs] = (text ?? "").split(" ").map(Number);
  return deskMs !== undefined && wallMs !== undefined && deskMs > 0 && wallMs > 0 ? { deskMs, wallMs } : null;
}

/** The pause is measured by the clock on the wall, and told in the desk's own time, which in a replay is another. */
export class LastLook {
  private last: Look | null;
  private keptMs = 0;
  private isTelling = false;

  constructor(private readonly keep: Keep) {
    this.last = lookFrom(keep.get());
  }

  /** Take the desk's time. Returns since when (desk's time) to tell what happened, or null where nothing is to be told. */
  look(deskMs: number, wallMs: number, isVisible: boolean): number | null {
    if (!isVisible || this.isTelling) return null;
    const last = this.last;
    if (last !== null && last.deskMs < deskMs && wallMs - last.wallMs >= AWAY_MS) {
      this.isTelling = true;
      return last.deskMs;
    }
    this.last = { deskMs, wallMs };
    if (wallMs - this.keptMs >= KEEP_EVERY_MS) this.store();
    return null;
  }

  /** What was told has been read. */
  seen(deskMs: number, wallMs: number): void {
    this.isTelling = false;
    this.last = { deskMs, wallMs };
    this.store();
  }

  private store(): void {
    if (this.last === null) return;
    this.keptMs = this.last.wallMs;
    this.keep.set(`${this.last.deskMs} ${this.last.wallMs}`);
  }
}
