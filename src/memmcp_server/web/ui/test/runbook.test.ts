import { expect, it } from "vitest";
import { figure } from "../src/panels/runbook";

it("says a threshold as people read it", () => {
  expect(figure(10_000, "bps")).toBe("100.00 %");
  expect(figure(2, "state")).toBe("halted");
  expect(figure(1, "yes")).toBe("yes");
  expect(figure(0, "yes")).toBe("no");
  expect(figure(2_500_000_000, "bytes")).toBe("2500.0 MB");
  expect(figure(250, "ms")).toBe("250 ms");
});
