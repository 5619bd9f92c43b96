// Serve an offline node until standard input ends; print the URLs.
const { Surfnet } = require("@solana/surfpool-linux-x64-gnu");

const slotTimeMs = Number(process.argv[2]);
const node = Surfnet.startWithConfig({ offline: true, blockProductionMode: "clock", slotTimeMs });
console.log(JSON.stringify({ http: node.rpcUrl, websocket: node.wsUrl }));
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
