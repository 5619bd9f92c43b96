import { expect, test } from "vitest";
import { fromBase64Url, toBase64Url } from "../src/passkey";
import { readApprovals, UnknownDocument } from "../src/wire";

test("bytes survive base64url both ways, without padding", () => {
  for (const bytes of [[], [0], [255, 254], [251, 239, 190], Array.from({ length: 256 }, (_, at) => at)]) {
    const text = toBase64Url(new Uint8Array(bytes).buffer);
    expect(text).not.toMatch(/[+/=]/);
    expect(Array.from(fromBase64Url(text))).toEqual(bytes);
  }
});

test("an approval without a price bound is not read", () => {
  const order = {
    id: "a", state: "awaiting_operator", expires_at: "2026-01-01T00:00:00+00:00", intent_id: "i", wallet: "w", in_mint: "m",
    out_mint: "n", amount_in: "1", min_out: "2", fee_lamports_max: "3", reason: "",
  };
  const list = { is_available: true, is_armed: true, why_not: "", passkeys: [], origins: [], approvals: [order] };
  expect(readApprovals(list).approvals[0]?.min_out).toBe("2");
  expect(() => readApprovals({ ...list, approvals: [{ ...order, min_out: 2 }] })).toThrow(UnknownDocument);
});
