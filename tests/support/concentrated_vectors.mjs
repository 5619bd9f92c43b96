// Test vectors of concentrated liquidity, computed by a published implementation: run by scripts/concentrated_vectors.py
// in a folder where that package is installed. Prints one JSON document; every number is text.
import * as core from "@orca-so/whirlpools-core";

const ARRAY_LEN = core._TICK_ARRAY_SIZE();
const U64_MAX = (1n << 64n) - 1n;

// A counter run through a 64-bit mix (splitmix64): the same numbers on every machine.
let counter = 0n;
function draw() {
  counter = (counter + 0x9e3779b97f4a7c15n) & U64_MAX;
  let mixed = counter;
  mixed = ((mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n) & U64_MAX;
  mixed = ((mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn) & U64_MAX;
  return mixed ^ (mixed >> 31n);
}
const below = (n) => Number(draw() % BigInt(n));
const between = (low, high) => low + below(high - low + 1);
// Sizes of every order of magnitude, up to 2^bits.
const sized = (bitsMin, bitsMax) => (draw() & ((1n << BigInt(between(bitsMin, bitsMax))) - 1n)) + 1n;
const attempt = (compute) => {
  try {
    return compute();
  } catch {
    return null;
  }
};

function ticks() {
  const chosen = new Set([-443636, -443635, -1, 0, 1, 443635, 443636]);
  for (let bit = 0; bit < 19; bit += 1) {
    for (const tick of [2 ** bit, -(2 ** bit)]) if (Math.abs(tick) <= 443636) chosen.add(tick);
  }
  while (chosen.size < 240) chosen.add(between(-443636, 443636));
  return [...chosen].sort((a, b) => a - b).map((tick) => [tick, core.tickIndexToSqrtPrice(tick)]);
}

function inverses() {
  const rows = [];
  for (let n = 0; n < 100; n += 1) {
    const tick = between(-443636, 443635);
    const low = core.tickIndexToSqrtPrice(tick);
    const high = core.tickIndexToSqrtPrice(tick + 1);
    for (const price of [low, high - 1n, low + (draw() % (high - low))]) {
      rows.push([price, core.sqrtPriceToTickIndex(price)]);
    }
  }
  return rows;
}

function deltas() {
  const rows = [];
  while (rows.length < 120) {
    const one = core.tickIndexToSqrtPrice(between(-200000, 200000));
    const other = core.tickIndexToSqrtPrice(between(-200000, 200000));
    const liquidity = sized(10, 80);
    const row = attempt(() => [
      one, other, liquidity,
      core.tryGetAmountDeltaA(one, other, liquidity, true), core.tryGetAmountDeltaA(one, other, liquidity, false),
      core.tryGetAmountDeltaB(one, other, liquidity, true), core.tryGetAmountDeltaB(one, other, liquidity, false),
    ]);
    if (row) rows.push(row);
  }
  return rows;
}

function nextPrices() {
  const rows = [];
  while (rows.length < 160) {
    const price = core.tickIndexToSqrtPrice(between(-200000, 200000));
    const liquidity = sized(20, 90);
    const amount = sized(4, 60);
    const isInput = below(2) === 1;
    const ofA = below(2) === 1;
    const found = attempt(() =>
      (ofA ? core.tryGetNextSqrtPriceFromA : core.tryGetNextSqrtPriceFromB)(price, liquidity, amount, isInput),
    );
    if (found) rows.push([price, liquidity, amount, ofA, isInput, found]);
  }
  return rows;
}

function pool(spacing, positions) {
  const current = between(-30000, 30000);
  // One position spans every array, so that no swap of a bounded amount runs out of liquidity: past the last array the
  // package does not return.
  const first = core.getTickArrayStartTickIndex(current, spacing);
  const reach = ARRAY_LEN * spacing;
  let liquidity = sized(40, 52);
  const net = new Map([[first - 2 * reach, liquidity], [first + 3 * reach - spacing, -liquidity]]);
  const bounds = [current - reach - (reach >> 1), current + reach + (reach >> 1)].map((tick) => core.tickIndexToSqrtPrice(tick));
  const amountMax = (ofA) => {
    const delta = ofA ? core.tryGetAmountDeltaA : core.tryGetAmountDeltaB;
    const found = bounds.map((bound) => delta(core.tickIndexToSqrtPrice(current), bound, net.get(first - 2 * reach), false));
    return found[0] < found[1] ? found[0] : found[1];
  };
  for (let n = 0; n < positions; n += 1) {
    const lower = Math.floor((current - below(reach >> 2)) / spacing) * spacing;
    const upper = lower + spacing * between(1, ARRAY_LEN >> 2);
    const size = sized(40, 53);
    if (net.has(lower) || net.has(upper)) continue;
    net.set(lower, size);
    net.set(upper, -size);
    if (lower <= current && current < upper) liquidity += size;
  }
  const low = core.tickIndexToSqrtPrice(current);
  const price = low + (draw() % (core.tickIndexToSqrtPrice(current + 1) - low));
  const facade = {
    tickCurrentIndex: current, feeRate: [100, 500, 2500, 3000, 10000][below(5)], protocolFeeRate: 0,
    liquidity, sqrtPrice: price, tickSpacing: spacing, feeGrowthGlobalA: 0n, feeGrowthGlobalB: 0n,
    rewardLastUpdatedTimestamp: 0n,
    rewardInfos: [0, 1, 2].map(() => ({ emissionsPerSecondX64: 0n, growthGlobalX64: 0n })),
  };
  const arrays = [-2, -1, 0, 1, 2].map((offset) => {
    const startTickIndex = first + offset * reach;
    const found = [];
    for (let n = 0; n < ARRAY_LEN; n += 1) {
      const liquidityNet = net.get(startTickIndex + n * spacing) ?? 0n;
      found.push({
        initialized: net.has(startTickIndex + n * spacing), liquidityNet,
        liquidityGross: liquidityNet < 0n ? -liquidityNet : liquidityNet,
        feeGrowthOutsideA: 0n, feeGrowthOutsideB: 0n, rewardGrowthsOutside: [0n, 0n, 0n],
      });
    }
    return { startTickIndex, ticks: found };
  });
  return { facade, arrays, amountMax, net: [...net].sort((a, b) => a[0] - b[0]) };
}

function swaps() {
  const rows = [];
  while (rows.length < 200) {
    const { facade, arrays, amountMax, net } = pool([1, 4, 16, 64][below(4)], between(1, 8));
    for (let n = 0; n < 6; n += 1) {
      const isInput = below(2) === 1;
      const ofA = below(2) === 1;
      const amount = (draw() % amountMax(ofA) >> BigInt(below(6))) + 1n;
      const found = attempt(() =>
        isInput
          ? core.swapQuoteByInputToken(amount, ofA, 0, facade, arrays)
          : core.swapQuoteByOutputToken(amount, ofA, 0, facade, arrays),
      );
      if (!found) continue;
      const [amountIn, amountOut] = isInput
        ? [found.tokenIn, found.tokenEstOut]
        : [found.tokenEstIn, found.tokenOut];
      rows.push({
        sqrt_price: facade.sqrtPrice, liquidity: facade.liquidity, fee_ppm: facade.feeRate, ticks: net,
        amount, is_input: isInput, is_amount_a: ofA, amount_in: amountIn, amount_out: amountOut, fee: found.tradeFee,
      });
    }
  }
  return rows.slice(0, 200);
}

const document = { ticks: ticks(), inverses: inverses(), deltas: deltas(), next_prices: nextPrices(), swaps: swaps() };
process.stdout.write(JSON.stringify(document, (_, value) => (typeof value === "bigint" ? value.toString() : value)));
