// The JSON documents this page reads, and the checks that a document is one of them. Unknown fields are ignored.

export interface Amount { lamports: number; sol: string; usd?: string | null }

export interface Feed {
  kind: "market" | "replay" | "synthetic";
  detail: string;
  age_s: number | null;
  stale: boolean;
  last_event?: string | null;
}

export interface Position {
  mint: string;
  symbol: string;
  bucket: string;
  strategy: string;
  amount: string;
  cost: Amount;
  value: Amount;
  unrealised: Amount;
  unrealised_bps: number;
  average_price_sol: string;
  mark_price_sol: string;
  opened_at: string;
  trajectory_id: string;
}

export interface Limit {
  name: string;
  scope: string;
  limit: number;
  used: number;
  unit: string;
  is_floor?: boolean;
  distance_bps: number;
}

export interface Compounding {
  target: Amount;
  progress_bps: number;
  tier: string;
  next_tier: string | null;
  next_tier_at: Amount | null;
  change_day?: Amount | null;
  change_week?: Amount | null;
  sparkline: number[];
}

export interface Queue { pending: number; oldest_s: number; dead: number; delivered: number; relay?: { state: string; last_error: string } | null }

export interface Costs {
  fee_lamports: number;
  impact_lamports: number;
  priority_lamports: number;
  failed_lamports: number;
  rent_lamports: number;
}

export interface TradingSnapshot {
  money: "paper" | "real";
  feed: Feed;
  schema_version: number;
  desk_id: string;
  run_id: string;
  ts: string;
  cycle: number;
  engine: string;
  state: "ACTIVE" | "REDUCING" | "HALTED";
  state_reason: string;
  entries_allowed: boolean;
  profile: string;
  tier: string;
  equity: Amount;
  cash: Amount;
  start: Amount;
  peak: Amount;
  drawdown_bps: number;
  realised: Amount;
  unrealised: Amount;
  net_deposits: Amount;
  time_weighted_return_bps: number;
  sol_usd: string | null;
  positions: Position[];
  limits: Limit[];
  costs: Costs;
  slippage_bps_mean: number | null;
  trades_total: number;
  signals_total: number;
  denials: Record<string, number>;
  queues: Record<string, Queue>;
  compounding: Compounding;
  next_evaluation: string | null;
  zone: string;
}

/** Nothing has come from the market yet, so the time of the snapshot is no time of the market. */
export function isStarting(snapshot: TradingSnapshot): boolean {
  return snapshot.cycle === 0 && (snapshot.feed.last_event ?? null) === null;
}

export interface Metrics {
  ts: string;
  uptime_s: number;
  journal_seq: number;
  memories: number;
  queues: Record<string, Queue>;
  index: Record<string, unknown>;
  clients: number;
  event_loop_lag_ms: number;
  cycle: Record<string, unknown> | null;
}

export interface MemoryNote {
  seq: number;
  id: string;
  kind: string;
  namespace: string;
  agent: string;
  content: string;
  ts: string;
  trajectory_id: string | null;
}

export interface Resync { from: number; to: number }

/** The last mark of its stretch of time; where the series is thinned, what lies in that stretch is told too. */
export interface EquityPoint {
  ts: string;
  equity_lamports: number;
  drawdown_bps: number;
  sol_usd?: string | null;
  low_lamports?: number | null;
  high_lamports?: number | null;
  drawdown_bps_max?: number | null;
}

export interface EquitySeries { points: EquityPoint[]; resolution_s: number | null }

export interface Trade {
  order_id: string;
  trajectory_id: string;
  ts: string;
  side: "buy" | "sell";
  mint: string;
  symbol: string;
  strategy: string;
  bucket: string;
  amount: string;
  value: Amount;
  price_sol: string;
  costs: Costs;
  slippage_bps: number;
  realised: Amount | null;
  reason: string;
}

export interface Happening { ts: string; kind: string; text: string }

export interface WaitingItem { id: string; what: string; evidence: string[]; answers: string[] }

export interface NightReport {
  since: string;
  until: string;
  equity_before: Amount | null;
  equity: Amount | null;
  closed: number;
  wins: number;
  realised: Amount;
  denials: Record<string, number>;
  happenings: Happening[];
  is_cut: boolean;
  waiting: WaitingItem[];
}

export interface Step { id: string; kind: string; ts: string; content: string }

export interface Trajectory {
  id: string;
  namespace: string;
  kind: string;
  title: string;
  agent: string;
  opened_at: string;
  closed_at: string | null;
  outcome: string | null;
  reward: number | null;
  reward_unit: string;
  metadata: Record<string, unknown>;
  steps: Step[];
  steps_total: number;
}

/** The page was built for this version of the trading snapshot. */
export const SNAPSHOT_SCHEMA = 1;

type Kind = "string" | "number" | "boolean" | "object" | "array";

export class UnknownDocument extends Error {}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

/** Check the fields of a document. Throws UnknownDocument naming the field. */
export function check<T>(what: string, value: unknown, fields: Record<string, Kind>): T {
  if (!isObject(value)) throw new UnknownDocument(`${what}: expected an object, got ${kindOf(value)}`);
  for (const [name, kind] of Object.entries(fields)) {
    const got = kindOf(value[name]);
    if (got !== kind) throw new UnknownDocument(`${what}: field "${name}" should be ${kind}, got ${got}`);
  }
  return value as T;
}

const AMOUNT: Record<string, Kind> = { lamports: "number", sol: "string" };

/** Check what happened since the last look. Throws UnknownDocument naming the field. */
export function readNight(value: unknown): NightReport {
  const night = check<NightReport>("night report", value, {
    since: "string", until: "string", closed: "number", wins: "number", realised: "object", denials: "object",
    happenings: "array", is_cut: "boolean", waiting: "array",
  });
  check("night report: realised", night.realised, AMOUNT);
  for (const each of night.happenings) check("night report: happening", each, { ts: "string", kind: "string", text: "string" });
  for (const each of night.waiting) check("night report: waiting", each, { id: "string", what: "string", evidence: "array", answers: "array" });
  return night;
}

/** Check a trading snapshot. Throws UnknownDocument naming the field. */
export function readSnapshot(value: unknown): TradingSnapshot {
  const snapshot = check<TradingSnapshot>("trading snapshot", value, {
    schema_version: "number", money: "string", feed: "object", ts: "string", cycle: "number", state: "string",
    state_reason: "string", entries_allowed: "boolean", profile: "string", tier: "string", drawdown_bps: "number",
    time_weighted_return_bps: "number", positions: "array", limits: "array", costs: "object", trades_total: "number",
    signals_total: "number", denials: "object", queues: "object", compounding: "object", zone: "string",
  });
  if (snapshot.schema_version !== SNAPSHOT_SCHEMA) {
    throw new UnknownDocument(
      `trading snapshot: version ${snapshot.schema_version}, this page reads ${SNAPSHOT_SCHEMA}; reload the page`,
    );
  }
  for (const name of ["equity", "cash", "start", "peak", "realised", "unrealised", "net_deposits"] as const) {
    check(`trading snapshot, ${name}`, snapshot[name], AMOUNT);
  }
  check("trading snapshot, compounding target", snapshot.compounding.target, AMOUNT);
  for (const position of snapshot.positions) {
    check("position", position, { mint: "string", symbol: "string", amount: "string", trajectory_id: "string" });
    check("position, value", position.value, AMOUNT);
  }
  return snapshot;
}

/** Check queue statistics. Throws UnknownDocument naming the field. */
export function readMetrics(value: unknown): Metrics {
  return check<Metrics>("metrics", value, {
    ts: "string", uptime_s: "number", journal_seq: "number", memories: "number", queues: "object", index: "object",
    clients: "number", event_loop_lag_ms: "number",
  });
}

export function readMemoryNote(value: unknown): MemoryNote {
  return check<MemoryNote>("memory event", value, {
    seq: "number", id: "string", kind: "string", namespace: "string", agent: "string", content: "string", ts: "string",
  });
}

export function readResync(value: unknown): Resync {
  return check<Resync>("resync event", value, { from: "number", to: "number" });
}

export function readSeries(value: unknown): EquitySeries {
  const series = check<EquitySeries>("equity history", value, { points: "array" });
  for (const point of series.points) {
    check("equity point", point, { ts: "string", equity_lamports: "number", drawdown_bps: "number" });
  }
  return series;
}

export function readTrajectory(value: unknown): Trajectory {
  return check<Trajectory>("trajectory", value, {
    id: "string", kind: "string", title: "string", opened_at: "string", steps: "array", steps_total: "number",
  });
}

export function readTrades(value: unknown): Trade[] {
  const page = check<{ trades: Trade[] }>("trades", value, { trades: "array" });
  for (const trade of page.trades) {
    check("trade", trade, {
      order_id: "string", trajectory_id: "string", ts: "string", side: "string", symbol: "string", mint: "string",
      amount: "string", value: "object", costs: "object", slippage_bps: "number", reason: "string",
    });
    check("trade, value", trade.value, AMOUNT);
  }
  return page.trades;
}

export interface Approval {
  id: string;
  state: "awaiting_operator" | "approved" | "refused" | "expired" | "done";
  asked_at: string;
  expires_at: string;
  intent_id: string;
  wallet: string;
  in_mint: string;
  out_mint: string;
  amount_in: string;
  min_out: string;
  fee_lamports_max: string;
  reason: string;
}

export interface Approvals {
  is_available: boolean;
  is_armed: boolean;
  why_not: string;
  approvals: Approval[];
  passkeys: { fingerprint: string; label: string }[];
  origins: string[];
}

export function readApprovals(value: unknown): Approvals {
  const found = check<Approvals>("approvals", value, { approvals: "array", passkeys: "array", origins: "array", why_not: "string" });
  for (const approval of found.approvals) {
    check("approval", approval, {
      id: "string", state: "string", expires_at: "string", intent_id: "string", wallet: "string", in_mint: "string",
      out_mint: "string", amount_in: "string", min_out: "string", fee_lamports_max: "string", reason: "string",
    });
  }
  return found;
}

export interface Task {
  id: string;
  kind: string;
  title: string;
  state: "open" | "claimed" | "done" | "failed" | "expired" | "cancelled";
  overdue: boolean;
  claimed_by: string | null;
  lease_until: string | null;
  result_id: string | null;
  note: string | null;
}

export interface TaskReport extends Task {
  result: { text: string } | null;
}

const TASK = { id: "string", kind: "string", title: "string", state: "string", overdue: "boolean" } as const;

export function readTasks(value: unknown): Task[] {
  const found = check<{ tasks: Task[] }>("tasks", value, { tasks: "array" });
  return found.tasks.map((each) => check<Task>("task", each, TASK));
}

export function readTask(value: unknown): TaskReport {
  return check<TaskReport>("task", value, TASK);
}

export interface Alert {
  id: string; rule: string; severity: "info" | "warning" | "critical"; state: "firing" | "acknowledged" | "resolved";
  title: string; text: string; advice: string; reads: string; raised_at: string; acknowledged_by: string;
  silenced: boolean; silenced_until: string | null; silenced_by: string; escalation: number; count: number; trajectory_id: string;
}

/** Nobody is told of what a rule raises (with these labels, where there are any) until then. */
export interface AlertSilence { rule: string; labels: Record<string, unknown>; until: string; by: string }

export interface AlertList {
  severity: string | null;
  alerts: Alert[];
  silences: AlertSilence[];
}

/** Check what fires. Throws UnknownDocument naming the field. */
export function readAlerts(value: unknown): AlertList {
  const list = check<AlertList>("alerts", value, { alerts: "array", silences: "array" });
  for (const each of list.alerts) {
    check("alerts: alert", each, {
      id: "string", rule: "string", severity: "string", state: "string", title: "string", text: "string",
      advice: "string", reads: "string", raised_at: "string", acknowledged_by: "string", silenced: "boolean",
      silenced_by: "string", escalation: "number", count: "number", trajectory_id: "string",
    });
  }
  for (const each of list.silences) check("alerts: silence", each, { rule: "string", labels: "object", until: "string", by: "string" });
  return list;
}

/** Who is logged in; `is_open`: the daemon lets everybody on its machine read. */
export interface Session { role: "viewer" | "operator" | null; name: string; is_open: boolean }

export function readSession(value: unknown): Session {
  const session = check<Session>("session", value, { name: "string", is_open: "boolean" });
  if (session.role !== null && session.role !== "viewer" && session.role !== "operator") {
    throw new UnknownDocument('session: field "role" should be viewer, operator or null');
  }
  return session;
}

export interface ControlAnswer { status: "done" | "denied"; state: string; entries_allowed: boolean; effect: string; order_ids: string[] }

export function readControl(value: unknown): ControlAnswer {
  return check<ControlAnswer>("answer", value, { status: "string", state: "string", entries_allowed: "boolean", effect: "string" });
}
