// The panels of the part "Execution": nodes and wallets come from one answer, and the costs look into it too.

import type { Api } from "../api";
import { nodesPoll, NodesPanel, WalletsPanel } from "./nodes";
import type { AskingPanel } from "./panel";
import { RunningPanel } from "./running";
import { TransactionsPanel } from "./transactions";

export function executionPanels(api: Api, onChange: () => void): AskingPanel[] {
  const nodes = nodesPoll(api, onChange);
  return [new NodesPanel(nodes), new WalletsPanel(nodes), new TransactionsPanel(api, onChange), new RunningPanel(api, nodes, onChange)];
}
