"use strict";
// Draws what the data element holds. Figures are counted by the desk; here they only change their unit for an axis.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 30rem)");
  const element = (id) => document.getElementById(id);
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const SOL = 1e9;
  const KINDS = ["fee", "impact", "priority", "failed"];
  let unit = "sol";

  const times = (ms) => ms.map((at) => new Date(at).toISOString());
  const config = {
    responsive: true, displaylogo: false, scrollZoom: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  };

  function axis(more) {
    return {
      gridcolor: colour("grid"), linecolor: colour("line"), zerolinecolor: colour("line"), automargin: true,
      tickfont: { color: colour("muted"), size: 11 }, title: { font: { color: colour("muted"), size: 12 }, standoff: 8 },
      ...more, title: { font: { color: colour("muted"), size: 12 }, standoff: 8, text: (more && more.text) || "" },
    };
  }

  function layout(more) {
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "x unified",
      font: { family: getComputedStyle(document.body).fontFamily, color: colour("text"), size: 12 },
      margin: { l: 8, r: 12, t: 28, b: 8 }, modebar: { color: colour("muted"), activecolor: colour("accent"), bgcolor: "rgba(0,0,0,0)" },
      hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("line"), font: { color: colour("text") } },
      legend: { orientation: "h", traceorder: "normal", x: 0, y: 1, yanchor: "bottom", font: { color: colour("muted") } },
      ...more,
    };
  }

  function equity() {
    const place = element("equity");
    if (!place) return;
    const s = data.series;
    const x = times(s.ms);
    const scale = (lamports) => lamports.map((each, i) =>
      unit === "sol" ? each / SOL : s.sol_usd[i] === null ? null : (each / SOL) * s.sol_usd[i]);
    const digits = unit === "sol" ? ",.6~g" : ",.2f";
    const name = unit.toUpperCase();
    const line = (values, label, more) => ({
      type: "scatter", mode: "lines", x, y: values, name: label, hovertemplate: `%{y:${digits}} ${name}`, ...more,
    });
    const area = (values, label, y, stroke, fill) => ({
      type: "scatter", mode: "lines", x, y: values, name: label, yaxis: y, fill: "tozeroy", fillcolor: colour(fill),
      line: { color: colour(stroke), width: 1.2 }, hovertemplate: "%{y:.2f} %", showlegend: false,
    });
    const traces = [
      line(scale(s.equity_lamports), "equity", { line: { color: colour("accent"), width: 1.8 } }),
      line(scale(s.held_lamports), "SOL held instead", { line: { color: colour("held"), width: 1.2, dash: "dot" } }),
      area(s.drawdown_bps.map((bps) => -bps / 100), "drawdown", "y2", "loss", "loss-fill"),
      { ...area(s.exposure.bps.map((bps) => bps / 100), "exposure", "y3", "exposure", "exposure-fill"), x: times(s.exposure.ms) },
    ];
    Plotly.react(place, traces, layout({
      xaxis: axis({ anchor: "y3", type: "date" }),
      yaxis: axis({ domain: [0.46, 1], text: name, tickformat: unit === "sol" ? ",~g" : ",~f" }),
      yaxis2: axis({ domain: [0.24, 0.41], text: narrow.matches ? "drawdown" : "drawdown, %", rangemode: "tozero" }),
      yaxis3: axis({ domain: [0, 0.19], text: narrow.matches ? "exposure" : "exposure, %", rangemode: "tozero" }),
    }), config);
  }

  function costs() {
    const place = element("costs");
    if (!place) return;
    const names = data.strategies.map((each) => each.name).reverse();
    const traces = KINDS.map((kind, i) => ({
      type: "bar", orientation: "h", name: kind, y: names, marker: { color: colour(`c${i + 1}`) },
      x: data.strategies.map((each) => each.costs[`${kind}_lamports`] / SOL).reverse(),
      hovertemplate: "%{x:,.9~f} SOL",
    }));
    Plotly.react(place, traces, layout({
      barmode: "stack", hovermode: "closest", bargap: 0.45, xaxis: axis({ text: "SOL", tickformat: ",~g" }),
      yaxis: axis({ ticklabelposition: narrow.matches ? "inside" : "outside" }),
    }), config);
  }

  function price() {
    const place = element("price");
    if (!place) return;
    const token = data.prices.tokens[Number(element("token").value) || 0];
    const traces = [{
      type: "scatter", mode: "lines", x: times(token.ms), y: token.close, name: "close",
      line: { color: colour("muted"), width: 1.2 }, hovertemplate: "%{y:.6~g} SOL",
    }];
    for (const [side, symbol, tone] of [["buy", "triangle-up", "gain"], ["sell", "triangle-down", "loss"]]) {
      const fills = token.marks.filter((each) => each.side === side);
      traces.push({
        type: "scatter", mode: "markers", name: `${side}s`, x: times(fills.map((each) => each.ms)),
        y: fills.map((each) => each.price), customdata: fills.map((each) => each.lamports / SOL),
        marker: { symbol, size: token.marks.length > 100 ? 7 : 10, color: colour(tone), line: { color: colour("panel"), width: 1 } },
        hovertemplate: `${side} %{customdata:.6~g} SOL at %{y:.6~g}<extra></extra>`,
      });
    }
    Plotly.react(place, traces, layout({
      hovermode: "closest", xaxis: axis({ type: "date" }),
      yaxis: axis({ text: narrow.matches ? "SOL" : "SOL per token", exponentformat: "power" }),
    }), config);
    const drawn = token.one_of === 1 ? "all" : `one of ${token.one_of}`;
    const bars = token.bars ? `${token.ms.length.toLocaleString("en")} of ${token.bars.toLocaleString("en")} closes, lowest and highest of each stretch` : "no closes";
    element("price-note").textContent = `${bars}; ${drawn} of ${token.fills.toLocaleString("en")} fills.`;
  }

  function draw() { equity(); costs(); price(); }

  function controls() {
    const select = element("token");
    data.prices.tokens.forEach((token, i) => select.add(new Option(`${token.symbol} (${token.fills} fills)`, String(i))));
    select.hidden = data.prices.tokens.length === 0;
    select.addEventListener("change", price);
    const units = element("money");
    units.hidden = !element("equity") || data.series.sol_usd.every((each) => each === null);
    units.addEventListener("click", (event) => {
      const wanted = event.target.dataset.unit;
      if (!wanted) return;
      unit = wanted;
      for (const each of units.children) each.setAttribute("aria-pressed", String(each.dataset.unit === unit));
      equity();
    });
    const theme = element("theme");
    theme.hidden = false;
    const is_dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
    const named = () => { theme.textContent = is_dark() ? "Light" : "Dark"; };
    theme.addEventListener("click", () => { root.dataset.theme = is_dark() ? "light" : "dark"; named(); draw(); });
    dark.addEventListener("change", () => { named(); draw(); });
    narrow.addEventListener("change", draw);
    named();
    for (const table of document.querySelectorAll(".wide")) {
      if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;  // what scrolls can be scrolled by keyboard
    }
  }

  controls();
  draw();
})();
