// What the page reads of agents, and of what could not be carried to a destination.

import { check } from "./wire";

export interface Caller { agent: string; transport: string; calls: number; last_tool: string; last: string }

export interface Clients { connected: Record<string, number>; callers: Caller[] }

export function readClients(value: unknown): Clients {
  const clients = check<Clients>("clients", value, { connected: "object", callers: "array" });
  for (const each of clients.callers) {
    check("clients: caller", each, { agent: "string", transport: "string", calls: "number", last_tool: "string", last: "string" });
  }
  return clients;
}

export interface Writer { name: string; count: number; newest: string }

/** Who wrote how much, of GET /memory/summary by agent. */
export function readWriters(value: unknown): Writer[] {
  const { counts } = check<{ counts: Writer[] }>("summary", value, { counts: "array" });
  for (const each of counts) check("summary: count", each, { name: "string", count: "number", newest: "string" });
  return counts;
}

/** `content`: what a memory says that is nowhere but on this machine. */
export interface DeadLetter {
  id: number; sink: string; memory_id: string; version: number; attempts: number; last_error: string; content?: string;
}

export function readDeadLetters(value: unknown): DeadLetter[] {
  const { entries } = check<{ entries: DeadLetter[] }>("outbox", value, { entries: "array" });
  for (const each of entries) {
    check("outbox: entry", each, {
      id: "number", sink: "string", memory_id: "string", version: "number", attempts: "number", last_error: "string",
    });
  }
  return entries;
}
