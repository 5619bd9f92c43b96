// Serve an offline node until standard input ends; fund the address given; print the URLs.
const { Surfnet } = require("@solana/surfpool-linux-x64-gnu");

const [address, lamports] = process.argv.slice(2);
const node = Surfnet.startWithConfig({ offline: true, blockProductionMode: "clock", slotTimeMs: 10 });
node.fundSol(address, Number(lamports));
console.log(JSON.stringify({ http: node.rpcUrl, websocket: node.wsUrl }));
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
