// Requests to this page's own server: bounded in time, and every failure is a sentence.

import { parseDocument } from "./documents";
import { isObject } from "./wire";

export type Fetch = typeof fetch;

/** No form and no link of another page can send these: the server takes a change with a session's cookie only so. */
export const CHANGING: Readonly<Record<string, string>> = { "Content-Type": "application/json", "X-Memmcp-Page": "1" };

export class ApiError extends Error {
  constructor(readonly code: string, message: string, readonly status: number) {
    super(message);
  }
}

function sentence(text: string): string {
  const trimmed = text.trim();
  return `${trimmed.charAt(0).toUpperCase()}${trimmed.slice(1)}${/[.!?)]$/.test(trimmed) ? "" : "."}`;
}

/** Message and hint of the one error shape as sentences, or what can be said without it. */
export function errorFrom(status: number, body: unknown): ApiError {
  const error = isObject(body) && isObject(body["error"]) ? body["error"] : null;
  if (error === null || typeof error["message"] !== "string") return new ApiError("http", `The server answered ${status}.`, status);
  const hint = typeof error["hint"] === "string" && error["hint"] ? ` ${sentence(error["hint"])}` : "";
  return new ApiError(String(error["code"] ?? "http"), `${sentence(error["message"])}${hint}`, status);
}

export class Api {
  constructor(
    private readonly fetcher: Fetch = (input, init) => fetch(input, init),
    private readonly timeoutMs = 10_000,
  ) {}

  /** GET a JSON document. Throws ApiError. */
  get(path: string): Promise<unknown> {
    return this.exchange(path, { headers: { Accept: "application/json" } });
  }

  /** POST a JSON document and read the answer. Throws ApiError. */
  post(path: string, document: unknown): Promise<unknown> {
    return this.exchange(path, { method: "POST", headers: { Accept: "application/json", ...CHANGING }, body: JSON.stringify(document) });
  }

  private async exchange(path: string, init: RequestInit): Promise<unknown> {
    let response: Response;
    try {
      response = await this.fetcher(path, {
        ...init,
        cache: "no-store",
        credentials: "same-origin",
        signal: AbortSignal.timeout(this.timeoutMs),
      });
    } catch (error) {
      const isTimeout = error instanceof DOMException && error.name === "TimeoutError";
      throw new ApiError("unreachable", isTimeout ? "No answer in time." : "The server cannot be reached.", 0);
    }
    const body: unknown = await response.text().then(parseDocument).catch(() => null);
    if (!response.ok) throw errorFrom(response.status, body);
    return body;
  }
}
