// Flags by hour: one small chart for each kind, all with the same hours, and the books kept up to date.
"use strict";

const HEIGHTS = { row: 44, last: 76 };
const UNREADABLE = [
  "row_malformed", "meter_id_invalid", "timestamp_invalid", "timestamp_no_zone",
  "timestamp_nonexistent", "timestamp_in_future", "value_invalid", "unit_unknown",
];
const COLORS = {
  stored: "--stored", missing: "--missing", forward_filled: "--filled", potentially_faulty: "--warn",
  outlier: "--outlier", value_above_limit: "--above", value_negative: "--negative", unreadable: "--unreadable",
};

/** The values of a row of the page, from the columns of the API; null where an hour is not counted yet. */
function values(rows, name) {
  const known = rows.stored.map((count) => count !== null);
  if (name === "missing") return known.map((k, i) => (k ? rows.missing_value[i] - rows.forward_filled[i] : null));
  if (name === "unreadable") return known.map((k, i) => (k ? UNREADABLE.reduce((sum, reason) => sum + rows[reason][i], 0) : null));
  return rows[name];
}

function draw(row, hours, rows, sync) {
  const box = row.querySelector(".hour-chart");
  const last = box.classList.contains("last");
  const color = COLORS[row.dataset.row];
  return new uPlot(
    {
      width: box.clientWidth,
      height: last ? HEIGHTS.last : HEIGHTS.row,
      padding: [4, 10, last ? 0 : 2, 20], // room for half a date at the left
      tzDate: page.utc,
      legend: { show: false },
      cursor: { sync: { key: sync.key }, drag: { x: false, y: false }, points: { show: false }, y: false },
      scales: { y: { range: (_, __, max) => [0, Math.max(max, 1)] } },
      axes: [page.axis({ show: last, size: 32, values: page.ticks, space: 70 }), { show: false }],
      series: [
        {},
        {
          stroke: () => page.color(color),
          fill: () => page.color(color),
          width: 0,
          paths: uPlot.paths.bars({ size: [0.8, 30], align: 1 }),
          points: { show: false },
        },
      ],
      hooks: { setCursor: [(chart) => tell(row, chart)] },
    },
    [hours, values(rows, row.dataset.row)],
    box,
  );
}

/** The label of a row: its total, and its count where the pointer is, or its peak. */
function tell(row, chart) {
  const [hours, counts] = chart.data;
  const known = counts.filter((count) => count !== null);
  row.querySelector(".total").textContent = page.number(known.reduce((sum, count) => sum + count, 0));
  const at = chart.cursor.idx;
  const here = at === null || at === undefined ? null : counts[at];
  const peak = known.length ? Math.max(...known) : 0;
  row.querySelector(".at").textContent =
    here === null ? `peak ${page.number(peak)} an hour` : `${page.number(here)} at ${page.shown(hours[at])}`;
}

async function charts() {
  const box = document.querySelector(".hours");
  if (!box) return;
  const note = document.querySelector("[data-note]");
  const said = note.textContent;
  const rows = [...box.querySelectorAll(".hour-row")];
  const sync = uPlot.sync("hours");
  let drawn = [];
  const load = async () => {
    for (let complete = false; !complete; ) {
      const answer = await page.json(box.dataset.api);
      complete = answer.complete;
      if (drawn.length === 0) {
        drawn = rows.map((row) => draw(row, answer.hours, answer.rows, sync));
        page.follow(drawn);
      } else {
        drawn.forEach((chart, i) => chart.setData([answer.hours, values(answer.rows, rows[i].dataset.row)]));
      }
      drawn.forEach((chart, i) => tell(rows[i], chart));
      const counted = answer.rows.stored.filter((count) => count !== null).length;
      box.dataset.points = counted;
      box.dataset.complete = complete;
      note.textContent = complete ? said : `Counting: ${counted} of ${answer.hours.length} hours…`;
    }
  };
  await load();
  return load;
}

/** Takes over from a fresh copy of this page everything that may have changed. */
async function refresh() {
  const text = await (await fetch(new URL(location.pathname + location.search, location.origin))).text();
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelectorAll("[data-live]");
  const stale = document.querySelectorAll("[data-live]");
  // from the empty page to the full one
  if (fresh.length !== stale.length || !document.querySelector(".hours") !== !text.includes('class="hours"')) return location.reload();
  stale.forEach((part, i) => part.replaceWith(fresh[i]));
}

/** Looks every few seconds, while somebody can see it, whether anything has changed. */
async function watch(load) {
  for (;;) {
    await new Promise((done) => setTimeout(done, 5000));
    if (document.hidden) continue;
    try {
      // the disk's room changes from moment to moment, and is not shown
      const { free_bytes, ...now } = await page.json("/api/status");
      if (JSON.stringify(now) === document.querySelector("[data-status]").dataset.status) continue;
      await refresh();
      if (load) await load();
    } catch {
      // the service is away: look again
    }
  }
}

charts()
  .catch((error) => {
    document.querySelector("[data-note]").textContent = `The chart cannot be drawn: ${error.message}`;
  })
  .then(watch);
