// Both generations of the TypeScript SDK under one face: its Client, and the channel of each transport.
export async function sdk(generation) {
  const { Client, StdioClientTransport, StreamableHTTPClientTransport, SSEClientTransport } = await parts(generation);
  const channelTo = (transport, target, args) => ({
    stdio: () => new StdioClientTransport({ command: target, args, env: process.env, stderr: "inherit" }),
    http: () => new StreamableHTTPClientTransport(new URL(`${target}/mcp`)),
    sse: () => new SSEClientTransport(new URL(`${target}/sse`)),
  })[transport]();
  return { Client, channelTo };
}

async function parts(generation) {
  if (generation === "client") {
    const all = await import("@modelcontextprotocol/client");
    const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
    return { ...all, StdioClientTransport };
  }
  const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
  const { StdioClientTransport } = await import("@modelcontextprotocol/sdk/client/stdio.js");
  const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
  const { SSEClientTransport } = await import("@modelcontextprotocol/sdk/client/sse.js");
  return { Client, StdioClientTransport, StreamableHTTPClientTransport, SSEClientTransport };
}
