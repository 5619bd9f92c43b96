import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { EventStream, SseParser } from "../src/stream";
import type { SseEvent, StreamOptions, StreamStatus } from "../src/stream";

const encoder = new TextEncoder();

describe("the parser", () => {
  const text = ": ping\r\n\r\nid: 7\r\nevent: memory\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\nevent: trading\ndata:x\n\n";
  const expected = [
    { type: "memory", data: '{"a":\n1}', id: "7" },
    { type: "trading", data: "x", id: null },
  ];

  test("reads events, and comments are none", () => {
    expect(new SseParser().feed(text)).toEqual(expected);
  });

  test("reads the same events however the text is cut", () => {
    for (let size = 1; size < 12; size += 1) {
      const parser = new SseParser();
      const events: SseEvent[] = [];
      for (let at = 0; at < text.length; at += size) events.push(...parser.feed(text.slice(at, at + size)));
      expect(events).toEqual(expected);
    }
  });

  test("an event without data is none, and its fields do not leak into the next", () => {
    expect(new SseParser().feed("event: lost\nid: 3\n\ndata: y\n\n")).toEqual([{ type: "message", data: "y", id: null }]);
  });

  test("an unfinished event is held, not delivered", () => {
    const parser = new SseParser();
    expect(parser.feed("data: half")).toEqual([]);
    expect(parser.heldLength).toBeGreaterThan(0);
    expect(parser.feed("\n\n")).toEqual([{ type: "message", data: "half", id: null }]);
  });
});

/** A server in the place of fetch: each call is answered by the next of `answers`. */
class Server {
  readonly requests: Headers[] = [];
  readonly writers: ReadableStreamDefaultController<Uint8Array>[] = [];
  answers: (() => Response | Promise<Response>)[] = [];

  readonly fetch: typeof fetch = async (_input, init) => {
    this.requests.push(new Headers(init?.headers));
    const answer = this.answers.shift();
    const response = answer ? await answer() : this.open(init?.signal ?? null);
    return response;
  };

  open(signal: AbortSignal | null): Response {
    const body = new ReadableStream<Uint8Array>({
      start: (writer) => {
        this.writers.push(writer);
        signal?.addEventListener("abort", () => {
          try {
            writer.error(signal.reason);
          } catch {
            // ended before
          }
        });
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
  }

  send(text: string): void {
    this.writers.at(-1)?.enqueue(encoder.encode(text));
  }
}

describe("the stream", () => {
  let server: Server;
  let events: SseEvent[];
  let statuses: StreamStatus[];
  let position: string;
  let stream: EventStream;

  const make = (changes: Partial<StreamOptions> = {}): EventStream => new EventStream({
    url: "/events",
    headers: () => ({ "Last-Event-ID": position }),
    onEvent: (event) => events.push(event),
    onStatus: (status) => statuses.push(status),
    fetch: server.fetch,
    random: () => 1,
    ...changes,
  });
  const states = (): string[] => statuses.map((status) => status.state);

  beforeEach(() => {
    vi.useFakeTimers();
    server = new Server();
    events = [];
    statuses = [];
    position = "5";
    stream = make();
  });

  afterEach(() => {
    stream.close();
    vi.useRealTimers();
  });

  test("asks from its position and hands on what arrives", async () => {
    stream.connect();
    await vi.advanceTimersByTimeAsync(1);
    server.send("id: 6\nevent: memory\ndata: {}\n\n");
    await vi.advanceTimersByTimeAsync(1);
    expect(server.requests[0]?.get("last-event-id")).toBe("5");
    expect(events).toEqual([{ type: "memory", data: "{}", id: "6" }]);
    expect(states()).toEqual(["connecting", "open"]);
  });

  test("reconnects from where it was after the server ends the stream", async () => {
    stream.connect();
    await vi.advanceTimersByTimeAsync(1);
    position = "9";
    server.writers[0]?.close();
    await vi.advanceTimersByTimeAsync(600);
    expect(server.requests.map((headers) => headers.get("last-event-id"))).toEqual(["5", "9"]);
    expect(states()).toEqual(["connecting", "open", "waiting", "connecting", "open"]);
  });

  test("waits longer after each failure, up to a cap, and starts small again after a success", async () => {
    const refuse = (): Response => Response.json({ error: { code: "busy", message: "too many pages" } }, { status: 503 });
    server.answers = Array.from({ length: 8 }, () => refuse);
    stream = make({ backoffBaseMs: 100, backoffCapMs: 1_000 });
    const waits: number[] = [];
    stream.connect();
    for (let attempt = 0; attempt < 8; attempt += 1) {
      await vi.advanceTimersByTimeAsync(0);
      const status = statuses.at(-1);
      if (status?.state !== "waiting") throw new Error(`expected a wait, got ${status?.state}`);
      expect(status.reason).toBe("Too many pages.");
      waits.push(status.retryAtMs - Date.now());
      await vi.advanceTimersByTimeAsync(status.retryAtMs - Date.now());
    }
    expect(waits).toEqual([100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000]);
    expect(states().at(-1)).toBe("open");
    server.writers.at(-1)?.close();
    await vi.advanceTimersByTimeAsync(0);
    const status = statuses.at(-1);
    expect(status?.state === "waiting" && status.retryAtMs - Date.now()).toBe(100);
  });

  test("a network error is a wait with its reason, not the end", async () => {
    server.answers = [() => Promise.reject(new TypeError("connection refused"))];
    stream.connect();
    await vi.advanceTimersByTimeAsync(1);
    expect(statuses.at(-1)).toMatchObject({ state: "waiting", reason: "connection refused" });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(states().at(-1)).toBe("open");
  });

  test("a half-open connection is called silent, then replaced", async () => {
    stream.connect();
    await vi.advanceTimersByTimeAsync(11_000);
    expect(states()).toContain("silent");
    server.send(": ping\n\n");
    await vi.advanceTimersByTimeAsync(1);
    expect(states().at(-1)).toBe("open");
    await vi.advanceTimersByTimeAsync(25_000);
    expect(server.requests.length).toBe(2);
    expect(states().slice(-3)).toEqual(["waiting", "connecting", "open"]);
  });

  test("a missing token is said once and not retried until somebody connects", async () => {
    server.answers = [() => new Response("{}", { status: 401 })];
    stream.connect();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(states()).toEqual(["connecting", "unauthorised"]);
    expect(server.requests.length).toBe(1);
    stream.connect();
    await vi.advanceTimersByTimeAsync(1);
    expect(states().at(-1)).toBe("open");
  });

  test("an answer that is no event stream is refused", async () => {
    server.answers = [() => new Response("<html>", { headers: { "content-type": "text/html" } })];
    stream.connect();
    await vi.advanceTimersByTimeAsync(1);
    expect(statuses.at(-1)).toMatchObject({ state: "waiting", reason: "not an event stream" });
  });

  test("an endless event is cut off instead of filling the memory", async () => {
    stream = make({ eventLengthMax: 100 });
    stream.connect();
    await vi.advanceTimersByTimeAsync(1);
    server.send(`data: ${"x".repeat(200)}`);
    await vi.advanceTimersByTimeAsync(1);
    expect(statuses.at(-1)).toMatchObject({ state: "waiting", reason: "an event was too long" });
  });

  test("connecting anew drops the old connection without a second retry", async () => {
    stream.connect();
    await vi.advanceTimersByTimeAsync(1);
    stream.connect();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(server.requests.length).toBe(2);
    expect(states()).toEqual(["connecting", "open", "connecting", "open"]);
  });

  test("after close nothing is tried again", async () => {
    stream.connect();
    await vi.advanceTimersByTimeAsync(1);
    stream.close();
    await vi.advanceTimersByTimeAsync(60_000);
    stream.connect();
    expect(server.requests.length).toBe(1);
    expect(states().at(-1)).toBe("closed");
  });
});
