// A TypeScript agent: recalls what the team knows, asks the desk how it stands, and leaves a note for the others.
//
//   npm install @modelcontextprotocol/client        (Node 22.18 or newer runs TypeScript as it is)
//   node examples/ask_memory.ts "what did we learn about breakouts?" [DATA_DIR]
//
// It starts `memmcp stdio` as every client does; MEMMCP_COMMAND names another one than that of the PATH.
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

type Facts = Record<string, any>;

const NAMESPACE = "examples/typescript";
const [question = "what did we learn about breakouts?", dataDir] = process.argv.slice(2);
const client = new Client({ name: "typescript-example", version: "1" });

/** Return a tool's structured answer; throw what it said when it failed, which tells what to do next. */
async function call(name: string, args: Facts = {}): Promise<Facts> {
  const result: Facts = await client.callTool({ name, arguments: args });
  if (result.isError) {
    throw new Error(result.content.map((block: Facts) => block.text).join("\n"));
  }
  return result.structuredContent;
}

await client.connect(
  new StdioClientTransport({
    command: process.env.MEMMCP_COMMAND ?? "memmcp",
    args: ["stdio", ...(dataDir ? ["--data-dir", dataDir] : [])],
    env: process.env as Record<string, string>,
    stderr: "inherit",
  }),
);
try {
  const found = await call("memory_search", { query: question, limit: 3 });
  console.log(`${found.hits.length} memories about: ${question}`);
  for (const hit of found.hits) {
    console.log(`  - ${hit.agent} wrote (${hit.kind}, trust ${hit.trust}): ${hit.content.split("\n")[0]}`);
  }
  const desk = await call("telemetry_trading");
  const state = `${desk.money.toUpperCase()} money, equity ${desk.equity.sol} SOL, state ${desk.state}`;
  console.log(state);
  const content = `Looked up '${question}': ${found.hits.length} memories. The desk then: ${state}.`;
  const written = await call("memory_write", { content, kind: "note", namespace: NAMESPACE });
  console.log(`Left a note: memory ${written.id}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  await client.close();
}
