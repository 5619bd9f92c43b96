import type { Api } from "../api";
import { byId, fillRows, h, setText } from "../dom";
import { count, exactSol, NOTHING, percent, plain, sol, words, ZonedTime } from "../format";
import { Poll } from "../poll";
import { readSeries } from "../wire";
import type { EquityPoint } from "../wire";
import { readProjection } from "../wire_path";
import type { ProjectedReach, Projection, TargetChange } from "../wire_path";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";
import { pathChart } from "./path_chart";

const EVERY_MS = 15_000;
const POINTS = 120;
const TARGETS_SHOWN = 20;

interface Path { projection: Projection; past: EquityPoint[] }

/** The whole path from the first tier to the last, how far the desk is, and how far its own past may carry it. */
export class PathPanel {
  private readonly panel = new Panel("panel-path");
  private readonly poll: Poll<Path>;
  private time = new ZonedTime("UTC");
  private width = 0;

  constructor(private readonly api: Api, onChange: () => void, setTarget: () => void) {
    this.poll = new Poll(() => this.ask(), EVERY_MS, onChange);
    byId("path-target").addEventListener("click", setTarget);
    // Asked for at every tick, a width would have the browser lay the page out each time.
    new ResizeObserver(([entry]) => {
      this.width = Math.max(260, Math.floor(entry?.contentRect.width ?? 0));
      onChange();
    }).observe(byId("path-chart"));
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    this.time = time;
    const found = this.panel.follow(this.poll.value, { waiting: "Loading the path.", staleReason: around.staleReason });
    if (found === null) return;
    const { projection } = found;
    if (projection.until === null && this.poll.value.state === "ready" && around.staleReason === null) {
      this.panel.show("empty", "No equity recorded yet. The path begins with the desk\u2019s first cycle.");
    }
    if (this.width === 0 || !this.panel.isChanged(found, time, this.width)) return;
    setText(byId("path-meta"), `${sol(projection.equity.lamports)} of ${sol(projection.target.lamports)} SOL`);
    byId("path-chart").replaceChildren(pathChart(projection, found.past, this.width, (atMs) => time.full(atMs).slice(0, 10), label(projection, time)));
    this.drawAhead(projection);
    const targets = projection.targets.slice(0, TARGETS_SHOWN);
    fillRows(byId("path-targets") as HTMLTableSectionElement, targets.map((each) => this.targetRow(each)));
    setText(byId("path-targets-note"), targets.length === 0 ? "The target is that of the settings; nobody has changed it." : "");
  }

  private async ask(): Promise<Path> {
    const projection = readProjection(await this.api.get("/projection"));
    if (projection.since === null || projection.until === null) return { projection, past: [] };
    const spanS = (Date.parse(projection.until) - Date.parse(projection.since)) / 1_000;
    const unit = spanS / POINTS > 3_600 ? 3_600 : 60;
    const resolution = Math.max(1, Math.ceil(spanS / POINTS / unit)) * unit;
    const past = readSeries(await this.api.get(`/telemetry/trading/history?resolution=${resolution}`));
    return { projection, past: past.points };
  }

  private drawAhead(projection: Projection): void {
    const few = projection.too_little === "" ? "" : sentence(plain(projection.too_little, 200));
    const basis = `From ${count(projection.returns)} ${projection.basis === "day" ? "daily" : "hourly"} returns, ${count(projection.paths)} paths, ` +
      `${count(projection.days_ahead)} days ahead. Dark band: half of the paths; light band: nine of ten.`;
    setText(byId("path-basis"), few === "" ? basis : few);
    setText(byId("path-method"), plain(projection.method, 400));
    byId("path-reaches").replaceChildren(...projection.reaches.slice(0, 6).map((each) => {
      const said = reachText(each, projection.days_ahead);
      return h("li", {}, h("b", {}, said.goal), h("span", {}, said.chance), h("span", {}, said.time));
    }));
  }

  private targetRow(each: TargetChange): ReturnType<typeof row> {
    return row(this.time.short(each.ts), this.time.full(each.ts), each);
  }
}

function row(short: string, full: string, each: TargetChange) {
  return [
    { text: short, title: full },
    h("span", { dir: "auto" }, plain(each.actor, 60)),
    { text: `${each.before === null ? NOTHING : sol(each.before.lamports)} \u2192 ${sol(each.after.lamports)} SOL`, class: "num", title: exactSol(each.after.lamports) },
    h("span", { dir: "auto", class: "wrap" }, plain(each.reason, 120)),
  ];
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** What is said of a goal: how many of the paths come to it, and when half and nine of ten of all of them have. */
export function reachText(reach: ProjectedReach, daysAhead: number): { goal: string; chance: string; time: string } {
  const goal = `${words(reach.goal.replace(/^tier:/, ""))} at ${sol(reach.at.lamports, 2)} SOL`;
  const beyond = `beyond ${count(daysAhead)} d`;
  const day = (value: number | null): string => (value === null ? beyond : `${value < 10 ? value.toFixed(1) : count(Math.round(value))} d`);
  const missed = `not in reach within ${count(daysAhead)} days in ${percent(10_000 - reach.chance_bps, 0)} of the paths`;
  const span = (low: number | null, high: number | null): string => (low === null ? beyond : `${day(low)} to ${day(high)}`);
  return {
    goal, chance: reach.chance_bps === 10_000 ? "in reach in every path" : missed,
    time: `time to it: 50 % interval ${span(reach.days_p25, reach.days_p75)}; 90 % interval ${span(reach.days_p5, reach.days_p95)}`,
  };
}

function label(projection: Projection, time: ZonedTime): string {
  const end = projection.range.at(-1);
  const from = projection.since === null ? "" : ` since ${time.full(projection.since).slice(0, 10)}`;
  const far = end === undefined ? "no projected range"
    : `nine of ten projected paths lie from ${sol(end.lamports_p5, 2)} to ${sol(end.lamports_p95, 2)} SOL on ${time.full(end.ts).slice(0, 10)}`;
  return `Path on a logarithmic scale${from}: from ${sol(projection.start.lamports)} to ${sol(projection.equity.lamports)} SOL, target ${sol(projection.target.lamports)} SOL; ${far}`;
}
