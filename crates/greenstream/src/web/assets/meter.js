// One meter: stored readings as a line, every other row as a mark of the legend's shape and colour.
"use strict";

const chartBox = document.getElementById("chart");
const readout = document.getElementById("readout");
const fitBox = document.getElementById("fit");
const hint = readout.textContent;
const LINE = ["stored", "forward_filled"];

/** Shapes and colours as the legend has them: drawn from one source. */
const marks = new Map(
  [...document.querySelectorAll("[data-mark]")].map((entry) => {
    const path = entry.querySelector("path");
    return [entry.dataset.mark, { path, shape: new Path2D(path.getAttribute("d")), label: entry.firstChild.nextSibling.textContent.trim() }];
  }),
);

/**
 * The columns of the chart: each instant once, the line broken where a reading is absent or not stored. They
 * begin and end with the range, so that it is what the chart shows whatever is in it.
 */
function columns(rows, from, to) {
  const at = new Map();
  for (const row of rows) {
    row.seconds = Date.parse(row.ts) / 1000;
    if (!at.has(row.seconds)) at.set(row.seconds, []);
    at.get(row.seconds).push(row);
  }
  let instants = [...at.keys()].sort((a, b) => a - b);
  const steps = instants.slice(1).map((seconds, i) => seconds - instants[i]).sort((a, b) => a - b);
  const step = steps.length ? steps[steps.length >> 1] : 0;
  instants = instants.flatMap((seconds, i) =>
    i > 0 && seconds - instants[i - 1] > 1.5 * step ? [instants[i - 1] + step, seconds] : [seconds],
  );
  if (instants[0] !== from) instants.unshift(from);
  if (instants.at(-1) !== to) instants.push(to);
  const line = instants.map((seconds) => at.get(seconds)?.find((row) => LINE.includes(row.mark))?.kw ?? null);
  return { at, data: [instants, line] };
}

/** The scale that readings need; rows far outside it are drawn at its edge, unless all are to fit. */
function range(rows, all) {
  const kws = (wanted) => rows.filter((row) => row.kw !== null && wanted(row)).map((row) => row.kw);
  const readings = kws((row) => LINE.includes(row.mark) || row.mark === "outlier");
  const shown = all || readings.length === 0 ? kws(() => true) : readings;
  const low = Math.min(0, ...shown);
  const high = Math.max(0.1, ...shown);
  const room = (high - low) * 0.08;
  return [low < 0 ? low - room : all ? 0 : -room, high + room];
}

/** Bands behind readings of a meter that may be faulty. */
function drawBands(chart, rows) {
  const { ctx, bbox } = chart;
  const faulty = rows.filter((row) => row.flags.includes("potentially_faulty"));
  if (faulty.length === 0) return;
  ctx.save();
  ctx.fillStyle = getComputedStyle(marks.get("potentially_faulty").path).fill;
  const readings = rows.filter((row) => row.mark !== "superseded");
  let begun = null;
  readings.forEach((row, i) => {
    if (!row.flags.includes("potentially_faulty")) return;
    begun ??= row.seconds;
    const next = readings[i + 1];
    if (next && next.flags.includes("potentially_faulty")) return;
    const [left, right] = [begun, next ? next.seconds : row.seconds].map((s) => chart.valToPos(s, "x", true));
    const from = Math.max(left, bbox.left);
    const to = Math.min(Math.max(right, left + 2), bbox.left + bbox.width);
    if (to > from) ctx.fillRect(from, bbox.top, to - from, bbox.height);
    begun = null;
  });
  ctx.restore();
}

/** Every row that is not on the line, and those on it that stand alone. */
function drawMarks(chart, rows) {
  const { ctx, bbox } = chart;
  const scale = devicePixelRatio;
  let drawn = 0;
  ctx.save();
  for (const [name, mark] of marks) {
    if (name === "stored" || name === "potentially_faulty") continue;
    const style = getComputedStyle(mark.path);
    [ctx.fillStyle, ctx.strokeStyle, ctx.lineWidth] = [style.fill, style.stroke, parseFloat(style.strokeWidth)];
    for (const row of rows) {
      if (row.mark !== name) continue;
      const x = chart.valToPos(row.seconds, "x", true);
      if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
      const edge = 7 * scale;
      const y = row.kw === null
        ? bbox.top + bbox.height - edge
        : Math.min(Math.max(chart.valToPos(row.kw, "y", true), bbox.top + edge), bbox.top + bbox.height - edge);
      ctx.save();
      ctx.translate(x, y);
      ctx.scale(scale, scale);
      if (style.fill !== "none") ctx.fill(mark.shape);
      ctx.stroke(mark.shape);
      ctx.restore();
      drawn += 1;
    }
  }
  ctx.restore();
  chartBox.dataset.marks = drawn;
  chartBox.dataset.scale = [chart.scales.x.min, chart.scales.x.max].map((seconds) => page.shown(seconds)).join(" to ");
}

/** Says in words what is under the pointer. */
function read(chart, at) {
  const idx = chart.cursor.idx;
  const rows = idx === null || idx === undefined ? undefined : at.get(chart.data[0][idx]);
  if (!rows) {
    readout.textContent = hint;
    return;
  }
  const told = rows.map((row) => {
    const value = row.kw === null ? "no value" : `${row.kw} kW`;
    const flags = row.flags.length ? ` [${row.flags.join(", ")}]` : "";
    const reason = row.mark === "unreadable" ? ` (${row.reason})` : "";
    return `${value}, ${marks.get(row.mark).label}${reason}${flags}, upload ${row.upload} row ${row.row_number}`;
  });
  readout.textContent = `${page.shown(rows[0].seconds)} UTC: ${told.join(" · ")}`;
}

async function drawMeter() {
  const answer = await page.json(chartBox.dataset.api);
  const [from, to] = [answer.from, answer.to].map((text) => Date.parse(text) / 1000);
  const { at, data } = columns(answer.rows, from, to);
  const alone = (_, series, show) => {
    if (series !== 1 || show) return null;
    const line = data[1];
    return line.flatMap((kw, i) => (kw !== null && (line[i - 1] ?? null) === null && (line[i + 1] ?? null) === null ? [i] : []));
  };
  const chart = new uPlot(
    {
      width: chartBox.clientWidth,
      height: chartBox.clientHeight,
      tzDate: page.utc,
      legend: { show: false },
      cursor: { points: { show: false }, drag: { x: true, y: false } },
      scales: {
        x: { range: (_, min, max) => [min, max] },
        y: { range: () => range(answer.rows, fitBox.checked) },
      },
      axes: [
        page.axis({ size: 40, values: page.ticks, space: 60, label: "UTC", labelSize: 18, labelFont: "12px system-ui, sans-serif" }),
        page.axis({ label: "kW", labelSize: 20, labelFont: "12px system-ui, sans-serif", size: 46 }),
      ],
      series: [
        {},
        {
          stroke: () => page.color("--stored"),
          width: 1.5,
          points: { show: false, filter: alone, size: 4, fill: () => page.color("--stored") },
        },
      ],
      hooks: {
        drawClear: [(chart) => drawBands(chart, answer.rows)],
        draw: [(chart) => drawMarks(chart, answer.rows)],
        setCursor: [(chart) => read(chart, at)],
      },
    },
    data,
    chartBox,
  );
  fitBox.addEventListener("change", () => chart.redraw(true, true));
  page.follow([chart]);
  chartBox.dataset.points = data[1].filter((kw) => kw !== null).length;
  chartBox.dataset.rows = answer.rows.length;
}

drawMeter().catch((error) => { readout.textContent = `The chart cannot be drawn: ${error.message}`; });
