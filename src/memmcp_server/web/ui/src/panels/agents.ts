// Who is connected, and who wrote what.

import type { Api } from "../api";
import { byId, fillRows, h, setAttribute, setText } from "../dom";
import { count, plain, ZonedTime } from "../format";
import { Poll } from "../poll";
import { readClients, readWriters } from "../wire_agents";
import type { Clients, Writer } from "../wire_agents";
import { Panel } from "./panel";
import type { Surroundings } from "./panel";

const EVERY_MS = 5_000;
const ROWS_MAX = 50;

export class AgentsPanel {
  private readonly panel = new Panel("panel-agents");
  private readonly poll: Poll<{ clients: Clients; writers: Writer[] }>;

  constructor(api: Api, onChange: () => void) {
    this.poll = new Poll(async () => {
      const [clients, summary] = await Promise.all([api.get("/clients"), api.get("/memory/summary?by=agent&limit=1")]);
      return { clients: readClients(clients), writers: readWriters(summary) };
    }, EVERY_MS, onChange);
  }

  draw(nowMs: number, time: ZonedTime, around: Surroundings): void {
    this.poll.follow(nowMs);
    const both = this.panel.follow(this.poll.value, { waiting: "Asking who is there.", staleReason: around.staleReason });
    if (both === null || !this.panel.isChanged(both, time)) return;
    const { clients, writers } = both;
    const open = Object.entries(clients.connected).filter(([name]) => name !== "page");
    const connections = open.reduce((sum, [, number]) => sum + number, 0);
    setText(byId("agents-meta"), `${count(connections)} connected over a bridge, ${count(clients.connected["page"] ?? 0)} pages`);
    setAttribute(byId("agents-none"), "hidden", clients.callers.length > 0 ? "" : null);
    fillRows(byId("agents-callers") as HTMLTableSectionElement, clients.callers.slice(0, ROWS_MAX).map((caller) => [
      { text: plain(caller.agent, 80), sub: plain(caller.transport, 24) }, { text: count(caller.calls), class: "num" },
      { text: plain(caller.last_tool, 48), sub: time.short(caller.last), title: time.full(caller.last) },
    ]));
    fillRows(byId("agents-writers") as HTMLTableSectionElement, writers.slice(0, ROWS_MAX).map((writer) => [
      h("a", { href: `/?view=memory&q=${encodeURIComponent(writer.name || "memory")}&agent=${encodeURIComponent(writer.name)}` },
        plain(writer.name, 80) || "unnamed agent"),
      { text: count(writer.count), class: "num" }, { text: time.short(writer.newest), title: time.full(writer.newest), class: "num" },
    ]));
  }
}
