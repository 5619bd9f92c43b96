// One server-sent event stream, read with fetch. The browser's own EventSource hides pings (so a half-open connection
// looks alive), gives up for good after an HTTP error, forgets its position then, and cannot send a token.

import { errorFrom } from "./api";
import { parseDocument } from "./documents";

export interface SseEvent { type: string; data: string; id: string | null }

/** Turns the text of an event stream into events; chunks may be cut anywhere. */
export class SseParser {
  private rest = "";
  private type = "";
  private data: string[] = [];
  private id: string | null = null;
  private endedWithCarriageReturn = false;

  feed(chunk: string): SseEvent[] {
    let text = chunk;
    if (this.endedWithCarriageReturn && text.startsWith("\n")) text = text.slice(1);
    if (text.length > 0) this.endedWithCarriageReturn = text.endsWith("\r");
    const lines = (this.rest + text).split(/\r\n|\n|\r/);
    this.rest = lines.pop() ?? "";
    const events: SseEvent[] = [];
    for (const line of lines) {
      const event = this.line(line);
      if (event !== null) events.push(event);
    }
    return events;
  }

  /** Characters held back because their line has not ended yet. */
  get heldLength(): number {
    return this.rest.length + this.data.reduce((sum, line) => sum + line.length, 0);
  }

  private line(line: string): SseEvent | null {
    if (line === "") return this.dispatch();
    if (line.startsWith(":")) return null;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.type = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id" && !value.includes("\0")) this.id = value;
    return null;
  }

  private dispatch(): SseEvent | null {
    const event = { type: this.type || "message", data: this.data.join("\n"), id: this.id };
    const isEmpty = this.data.length === 0;
    this.type = "";
    this.data = [];
    this.id = null;
    return isEmpty ? null : event;
  }
}

export type StreamStatus =
  | { state: "connecting"; attempt: number }
  | { state: "open" }
  | { state: "silent"; silentForS: number }
  | { state: "waiting"; retryAtMs: number; reason: string }
  | { state: "unauthorised" }
  | { state: "closed" };

export interface StreamOptions {
  url: string;
  /** Headers of the next attempt, asked each time: the position and the token may have changed. */
  headers: () => Record<string, string>;
  onEvent: (event: SseEvent) => void;
  onStatus: (status: StreamStatus) => void;
  fetch?: typeof fetch;
  nowMs?: () => number;
  random?: () => number;
  /** Without a byte for this long the stream is called silent, and twice this long ends the attempt. */
  silentAfterMs?: number;
  backoffBaseMs?: number;
  backoffCapMs?: number;
  eventLengthMax?: number;
}

const DEFAULTS = { silentAfterMs: 10_000, backoffBaseMs: 500, backoffCapMs: 15_000, eventLengthMax: 8_388_608 };

/** Keeps one stream open until `close`: reconnects with growing, jittered waits and says what it is doing. */
export class EventStream {
  private readonly options: Required<StreamOptions>;
  private controller: AbortController | null = null;
  private retryTimer: ReturnType<typeof setTimeout> | null = null;
  private failures = 0;
  private isClosed = false;
  private lastByteMs = 0;

  constructor(options: StreamOptions) {
    this.options = {
      fetch: (input, init) => fetch(input, init),
      nowMs: () => Date.now(),
      random: () => Math.random(),
      ...DEFAULTS,
      ...options,
    };
  }

  /** Connect now, also when a wait is running. */
  connect(): void {
    if (this.isClosed) return;
    this.abandon();
    const controller = new AbortController();
    this.controller = controller;
    this.options.onStatus({ state: "connecting", attempt: this.failures + 1 });
    void this.run(controller);
  }

  close(): void {
    this.isClosed = true;
    this.abandon();
    this.options.onStatus({ state: "closed" });
  }

  private abandon(): void {
    if (this.retryTimer !== null) clearTimeout(this.retryTimer);
    this.retryTimer = null;
    this.controller?.abort();
    this.controller = null;
  }

  private async run(controller: AbortController): Promise<void> {
    const watch = this.watchSilence(controller);
    let reason: string;
    try {
      reason = await this.attempt(controller);
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    } finally {
      clearInterval(watch);
    }
    if (this.controller !== controller) return; // a newer attempt has taken over, or we were closed
    this.controller = null;
    if (reason === UNAUTHORISED) this.options.onStatus({ state: "unauthorised" });
    else this.retry(reason);
  }

  private async attempt(controller: AbortController): Promise<string> {
    const { options } = this;
    const response = await options.fetch(options.url, {
      headers: { Accept: "text/event-stream", ...options.headers() },
      cache: "no-store",
      credentials: "same-origin",
      signal: controller.signal,
    });
    if (response.status === 401) return UNAUTHORISED;
    if (!response.ok) return errorFrom(response.status, await response.text().then(parseDocument).catch(() => null)).message;
    if (response.body === null) return "the answer has no body";
    if (!(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) return "not an event stream";
    this.failures = 0;
    this.lastByteMs = options.nowMs();
    options.onStatus({ state: "open" });
    return this.read(response.body.getReader(), new SseParser());
  }

  private async read(reader: ReadableStreamDefaultReader<Uint8Array>, parser: SseParser): Promise<string> {
    const decoder = new TextDecoder();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return "the server ended the stream";
        if (this.options.nowMs() - this.lastByteMs >= this.options.silentAfterMs) this.options.onStatus({ state: "open" });
        this.lastByteMs = this.options.nowMs();
        for (const event of parser.feed(decoder.decode(value, { stream: true }))) this.options.onEvent(event);
        if (parser.heldLength > this.options.eventLengthMax) return "an event was too long";
      }
    } finally {
      void reader.cancel().catch(() => undefined);
    }
  }

  private watchSilence(controller: AbortController): ReturnType<typeof setInterval> {
    this.lastByteMs = this.options.nowMs();
    return setInterval(() => {
      const silentMs = this.options.nowMs() - this.lastByteMs;
      if (silentMs >= 2 * this.options.silentAfterMs) controller.abort(new Error("nothing arrived any more"));
      else if (silentMs >= this.options.silentAfterMs) {
        this.options.onStatus({ state: "silent", silentForS: Math.round(silentMs / 1_000) });
      }
    }, 1_000);
  }

  private retry(reason: string): void {
    const { backoffBaseMs, backoffCapMs, random, nowMs, onStatus } = this.options;
    const ceilingMs = Math.min(backoffCapMs, backoffBaseMs * 2 ** Math.min(this.failures, 10));
    const waitMs = ceilingMs * (0.5 + random() / 2);
    this.failures += 1;
    onStatus({ state: "waiting", retryAtMs: nowMs() + waitMs, reason });
    this.retryTimer = setTimeout(() => this.connect(), waitMs);
  }
}

const UNAUTHORISED = "unauthorised";
