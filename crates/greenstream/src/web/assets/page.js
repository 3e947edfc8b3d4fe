// What both pages share. Text from uploads goes into the page as textContent or value, never as markup.
"use strict";

const page = {
  /** The JSON of a route, or an error that says what the service said. */
  async json(path) {
    // the address of a page may hold user and token, with which nothing can be fetched
    const answer = await fetch(new URL(path, location.origin), { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    return answer.json();
  },

  /** 2026-03-02 00:15 */
  shown(seconds) {
    return new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
  },

  number(value) {
    return value.toLocaleString("en-US");
  },

  color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  },

  /** Instants at an axis: the time of day, with the date where a day begins. */
  ticks(_, splits) {
    let last = "";
    return splits.map((seconds) => {
      const [date, time] = page.shown(seconds).split(" ");
      const text = date === last ? time : time === "00:00" ? date.slice(5) : `${time}\n${date.slice(5)}`;
      last = date;
      return text;
    });
  },

  axis(more) {
    return {
      stroke: () => page.color("--soft"),
      font: "12px system-ui, sans-serif",
      grid: { stroke: () => page.color("--grid"), width: 1 },
      ticks: { show: false },
      ...more,
    };
  },

  utc: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),

  /** Keeps charts as wide as their boxes, and in the colours of the day. */
  follow(charts) {
    const fit = new ResizeObserver((boxes) => {
      for (const { target } of boxes) {
        const chart = charts.find((chart) => chart.root.parentNode === target);
        if (chart && target.clientWidth > 0) chart.setSize({ width: target.clientWidth, height: target.clientHeight });
      }
    });
    for (const chart of charts) fit.observe(chart.root.parentNode);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const chart of charts) chart.redraw(false, true);
    });
  },
};

const box = document.getElementById("q");
box.addEventListener("input", async () => {
  const asked = box.value;
  try {
    const { meters } = await page.json(`/api/meters?limit=12&q=${encodeURIComponent(asked)}`);
    if (asked !== box.value) return;
    document.getElementById("ids").replaceChildren(...meters.map((id) => new Option("", id)));
  } catch {
    // the form works without proposals
  }
});
