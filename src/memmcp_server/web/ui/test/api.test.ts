import { describe, expect, test } from "vitest";
import { Api, ApiError, errorFrom } from "../src/api";

describe("requests", () => {
  const error = { error: { code: "trading_unavailable", message: "trading is off", hint: "start it with: memmcp serve" } };

  test("the one error shape becomes sentences that say what to do", () => {
    expect(errorFrom(503, error)).toMatchObject({
      code: "trading_unavailable", message: "Trading is off. Start it with: memmcp serve.", status: 503,
    });
    expect(errorFrom(500, "<html>").message).toBe("The server answered 500.");
    expect(errorFrom(500, { error: null }).message).toBe("The server answered 500.");
  });

  test("what changes something says that it comes from the page, and nothing carries a token", async () => {
    const sent: (string | null)[][] = [];
    const answer: typeof fetch = async (_path, init) => {
      const headers = new Headers(init?.headers);
      sent.push(["x-memmcp-page", "content-type", "authorization"].map((name) => headers.get(name)));
      return Response.json({ fine: true });
    };
    const api = new Api(answer);
    expect(await api.get("/x")).toEqual({ fine: true });
    await api.post("/x", {});
    expect(sent).toEqual([[null, null, null], ["1", "application/json", null]]);
  });

  test("each way to fail is an ApiError", async () => {
    const failing = (answer: typeof fetch): Promise<unknown> => new Api(answer).get("/x");
    await expect(failing(async () => Response.json(error, { status: 503 }))).rejects.toThrow("Trading is off.");
    await expect(failing(async () => new Response("no json", { status: 502 }))).rejects.toThrow("The server answered 502.");
    await expect(failing(() => Promise.reject(new TypeError("refused")))).rejects.toThrow("The server cannot be reached.");
    await expect(failing(() => Promise.reject(new DOMException("late", "TimeoutError")))).rejects.toBeInstanceOf(ApiError);
  });
});
