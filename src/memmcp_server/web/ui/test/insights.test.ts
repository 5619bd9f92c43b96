import { expect, test } from "vitest";
import { outsideText, sumText } from "../src/panels/desks";
import { readDesks, readInsights } from "../src/wire_insights";

const sum = { money: "real", desks: 3, stale: 1, with_equity: 2, equity_lamports: 3_000_000_000, with_exposure: 0, exposure_lamports: null };
const desk = {
  desk_id: "a", is_own: false, ts: "t", age_s: 1, stale: false, money: "real", state: null, equity_lamports: 7, exposure_lamports: null,
  exposure_bps: null, drawdown_bps: 12,
};

test("what no desk says is not counted as nothing, and who is silent is said", () => {
  expect(sumText(sum)).toBe("3.0000 SOL, exposure not told");
  expect(outsideText(sum)).toBe("real 3.0000 SOL, exposure not told, in 3 desks, 1 of them silent and left out");
  expect(outsideText({ ...sum, desks: 1, equity_lamports: null, exposure_lamports: 5 })).toBe("real in 1 desk, silent, so in no sum");
});

test("a desk is read with what it leaves out, and refused where a figure is none", () => {
  const list = { desks: [desk], left_out: 0, totals: { own: null, outside: [sum] } };
  expect(readDesks(list).desks[0]?.exposure_lamports).toBeNull();
  expect(() => readDesks({ ...list, desks: [{ ...desk, equity_lamports: "7" }] })).toThrow("equity_lamports");
  expect(() => readDesks({ ...list, totals: { own: null, outside: [{}] } })).toThrow("desks: sum");
});

test("insights are refused where a finding says nothing of its sample", () => {
  const told = { warnings: [], warnings_left_out: 0, lessons: [], lessons_total: 0, digests: [], findings: [], totals: null };
  const finding = { about: "result", strategy: "a", says: "open", text: "", sample: 4, confidence: "", evidence: [], out_of_sample: null };
  expect(readInsights({ ...told, findings: [finding] }).findings).toHaveLength(1);
  expect(() => readInsights({ ...told, findings: [{ ...finding, sample: undefined }] })).toThrow("insights: finding");
});
