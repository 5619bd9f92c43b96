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

  test("a token is sent as a header when there is one, and only then", async () => {
    const sent: (string | null)[] = [];
    const answer: typeof fetch = async (_path, init) => {
      sent.push(new Headers(init?.headers).get("authorization"));
      return Response.json({ fine: true });
    };
    let token: string | null = null;
    const api = new Api(() => token, answer);
    expect(await api.get("/x")).toEqual({ fine: true });
    token = "t0ken";
    await api.get("/x");
    expect(sent).toEqual([null, "Bearer t0ken"]);
  });

  test("each way to fail is an ApiError", async () => {
    const failing = (answer: typeof fetch): Promise<unknown> => new Api(() => null, answer).get("/x");
    await expect(failing(async () => Response.json(error, { status: 503 }))).rejects.toThrow("Trading is off.");
    await expect(failing(async () => new Response("no json", { status: 502 }))).rejects.toThrow("The server answered 502.");
    await expect(failing(() => Promise.reject(new TypeError("refused")))).rejects.toThrow("The server cannot be reached.");
    await expect(failing(() => Promise.reject(new DOMException("late", "TimeoutError")))).rejects.toBeInstanceOf(ApiError);
  });
});
