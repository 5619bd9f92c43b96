// The steps of steps.py for both generations of the TypeScript SDK.
// usage: node typescript_client.mjs sdk|client stdio|http|sse JOB
import { sdk } from "./typescript_sdk.mjs";

const [generation, transport, given] = process.argv.slice(2);
const job = JSON.parse(given);
const [target, ...args] = job.target;

const { Client, channelTo } = await sdk(generation);
const began = performance.now();
const channel = channelTo(transport, target, args);
// SSE alone does not say which version was agreed on: the answer to initialize is read on its way in.
let protocol = null;
const client = new Client({ name: `ts-${generation}`, version: "1" });
const connecting = client.connect(channel);
const receive = channel.onmessage;
channel.onmessage = (message, extra) => {
  protocol ??= message.result?.protocolVersion ?? null;
  return receive?.(message, extra);
};
await connecting;

const call = (name, args) => client.callTool({ name, arguments: args });
const text = (result) => result.content.map((block) => block.text).join("\n");
const search = { tags: ["nine-clients"], limit: 5 };
const written = await call("memory_write", { content: job.note, tags: search.tags });
const first = performance.now() - began;
const found = await call("memory_search", { query: job.note, ...search });
const other = await call("memory_search", { query: job.other.content, ...search });
const reason = "A preview by a client under test";
const preview = await call("place_trade", { side: "buy", mint: job.mint, amount_sol: "0.05", reason });
const refused = await call("memory_search", { query: "x", limit: 0 });
console.log(
  JSON.stringify({
    protocol: protocol ?? "not told",
    first_result_ms: first,
    tools: (await client.listTools()).tools.map((tool) => tool.name),
    written: written.structuredContent,
    found: found.structuredContent,
    found_text: text(found),
    other: other.structuredContent,
    preview: preview.structuredContent,
    refused: { is_error: refused.isError === true, text: text(refused) },
    resource: JSON.parse((await client.readResource({ uri: "telemetry://latest" })).contents[0].text),
    data: found.structuredContent !== undefined,
  }),
);
await client.close();
