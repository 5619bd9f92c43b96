// One MCP client session of a TypeScript SDK: lists everything, writes, searches, reads; prints what it saw as JSON.
// usage: node use_memory.mjs sdk|client stdio|http|sse TARGET [ARG ...]
import { sdk } from "./drivers/typescript_sdk.mjs";

const [generation, transport, target, ...args] = process.argv.slice(2);

const { Client, channelTo } = await sdk(generation);
const channel = channelTo(transport, target, args);

const client = new Client({ name: `ts-${generation}-${transport}`, version: "1" });
await client.connect(channel);
const text = (result) => result.content.map((block) => block.text).join("\n");
const content = `A TypeScript ${generation} client was here over ${transport}.`;
const written = await client.callTool({ name: "memory_write", arguments: { content, tags: [generation] } });
const found = await client.callTool({ name: "memory_search", arguments: { query: content, tags: [generation] } });
const state = await client.callTool({ name: "telemetry_trading", arguments: {} });
const refused = await client.callTool({ name: "memory_search", arguments: { query: "x", limit: 0 } });
console.log(
  JSON.stringify({
    server: client.getServerVersion(),
    tools: (await client.listTools()).tools.map((tool) => tool.name),
    resources: (await client.listResources()).resources.map((resource) => resource.uri),
    templates: (await client.listResourceTemplates()).resourceTemplates.length,
    written: written.structuredContent,
    found: found.structuredContent,
    foundText: text(found),
    state: state.structuredContent,
    refused: { isError: refused.isError, text: text(refused) },
    latest: JSON.parse((await client.readResource({ uri: "telemetry://latest" })).contents[0].text),
  }),
);
await client.close();
