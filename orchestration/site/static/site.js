// The script of all pages: data, pictures, tables, the switch of light and dark, copying.
"use strict";
const medallion = (() => {
  const held = new Map();
  const awaited = new Map();
  const page = JSON.parse(document.getElementById("page").textContent);
  const byId = (id) => document.getElementById(id);

  // ---- data: scripts hand values over; from disk a page may run a script, but fetch no file
  function data(name, value) {
    held.set(name, value);
    (awaited.get(name) || []).forEach((resolve) => resolve(value));
    awaited.delete(name);
  }
  function load(name) {
    if (held.has(name)) return Promise.resolve(held.get(name));
    return new Promise((resolve, reject) => {
      const waiting = awaited.get(name);
      if (waiting) { waiting.push(resolve); return; }
      awaited.set(name, [resolve]);
      const script = document.createElement("script");
      script.src = `${page.assets}/data/${name}.js`;
      script.onerror = () => { awaited.delete(name); reject(new Error(`${name} cannot be loaded`)); };
      document.head.append(script);
    });
  }
  function records(result) {
    return result.rows.map((row) => {
      const record = Object.fromEntries(result.columns.map((column, i) => [column, row[i]]));
      const service = record.service ?? record.dataset;
      if (service !== undefined) record.label = label(service);
      if (record.month) { record.month_name = record.month.slice(0, 7); record.month = Date.parse(record.month); }
      if (record.day) record.day = Date.parse(record.day);
      if (record.invalid_reason) record.reason = record.invalid_reason.replaceAll("_", " ");
      if (record.measure) record.row = `${record.label}: ${record.measure.replaceAll("_", " ")}`;
      if (record.year && record.part) record.service_year = `${record.label} ${record.year}`;
      if (record.status) record.said = record.status.replaceAll("_", " ");
      return record;
    });
  }
  const label = (service) => page.services[service]?.label ?? service;
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  function shown(value, digits = 2) {
    if (value === null || value === undefined) return "";
    if (value === true || value === false) return value ? "yes" : "no";
    if (typeof value !== "number") return String(value);
    return value.toLocaleString("en-US", { maximumFractionDigits: Number.isInteger(value) ? 0 : digits });
  }

  // ---- light and dark
  const store = { get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("theme", value); } catch { /* private windows keep nothing */ } } };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => document.documentElement.dataset.theme === "dark";
  function applyTheme() {
    const chosen = store.get();
    document.documentElement.dataset.theme = chosen ?? (system.matches ? "dark" : "light");
    const button = byId("theme");
    if (button) button.textContent = isDark() ? "Light" : "Dark";
    if (button) button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  }
  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }
  function config(width) {
    const ink = colour("ink"), soft = colour("soft"), line = colour("line");
    const font = "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
    return {
      background: "transparent", font,
      view: { stroke: null },
      axis: { labelColor: soft, titleColor: soft, gridColor: line, domainColor: line, tickColor: line,
        labelFontSize: 11.5, titleFontSize: 11.5, titleFontWeight: "normal", gridOpacity: 0.8 },
      axisX: { grid: false }, axisY: { labelLimit: innerWidth < 600 ? 130 : 320 },
      legend: { labelColor: ink, titleColor: soft, labelFontSize: 12, symbolType: "circle", labelLimit: 220, columns: Math.max(1, Math.floor(width / 150)) },
      header: { labelColor: ink, labelFontSize: 12.5, labelFontWeight: 600 },
      text: { color: soft }, rule: { color: soft }, title: { color: ink },
      range: {
        category: ["#3b7ddd", "#d69e00", "#2f9e5b", "#c2577a", "#9566c7", "#6f7f92", "#d9703c"],
        ordinal: STATUS_COLOURS[isDark() ? "dark" : "light"],
        ramp: [colour("ramp-0"), colour("ramp-1"), colour("ramp-2")],
        heatmap: [colour("ramp-0"), colour("ramp-1"), colour("ramp-2")],
      },
    };
  }
  const STATUS_COLOURS = { light: ["#5aa37c", "#d8a437", "#c4463c", "#c9ccd1", "#e4e3df"],
    dark: ["#3f8f68", "#b88a2a", "#d9594e", "#4a525e", "#333a44"] };
  const drawn = [];
  async function draw(container, specification, datasets, after) {
    const specs = structuredClone(specification);
    if (specs.params) specs.params.forEach((parameter) => {
      if (parameter.value === null && colour(parameter.name)) parameter.value = colour(parameter.name);
    });
    const words = container.dataset.words ??= container.getAttribute("aria-label"); // Vega replaces the label by its own
    if (specs.layer && !datasets.events?.length) specs.layer = specs.layer.filter((layer) => layer.data?.name !== "events");
    // the legend names only the services that are there
    const there = new Set((datasets.rows ?? []).map((row) => row.label));
    for (const { encoding } of [specs, ...(specs.layer ?? [])]) {
      const scale = encoding?.color?.field === "label" ? encoding.color.scale : null;
      if (!scale?.domain) continue;
      const kept = scale.domain.map((name, i) => [name, scale.range[i]]).filter(([name]) => there.has(name));
      Object.assign(scale, { domain: kept.map(([name]) => name), range: kept.map(([, shade]) => shade) });
    }
    // Vega-Lite cannot fit the width if the height is given in steps, so the height is computed here
    if (specs.height?.step) specs.height = specs.height.step * new Set(datasets.rows.map((row) => row[specs.encoding.y.field])).size;
    const result = await vegaEmbed(container, { ...specs, datasets }, {
      renderer: "svg", actions: false, config: config(container.clientWidth - (specs.encoding?.y?.type === "nominal" ? 130 : 0)), tooltip: { theme: isDark() ? "dark" : "light" } });
    container.setAttribute("role", "img");
    container.setAttribute("aria-label", words);
    // the container has a label and the table has the numbers: a screen reader need not read each mark
    container.querySelector("svg").setAttribute("aria-hidden", "true");
    if (after) after(result.view);
    return result;
  }
  function picture(container, specification, datasets, after) {
    drawn.push(() => draw(container, specification, datasets(), after));
    return drawn.at(-1)();
  }
  const redrawn = []; // functions of pages that draw their own charts
  const redraw = () => Promise.all([...drawn, ...redrawn].map((again) => again()));

  // ---- tables and copying
  function table(result, limit = 1000) {
    const hidden = new Set(["stretch", "place", "iso_day_of_week"]);
    const columns = result.columns.map((name, i) => ({ name, i })).filter(({ name }) => !hidden.has(name));
    const isNumber = columns.map(({ i }) => result.rows.some((row) => typeof row[i] === "number"));
    const head = element("tr", {}, ...columns.map(({ name }, i) =>
      element("th", { scope: "col", textContent: name.replaceAll("_", " "), className: isNumber[i] ? "number" : "" })));
    const year = (name) => name === "year" || name === "zone_id";
    const body = result.rows.slice(0, limit).map((row) => element("tr", {}, ...columns.map(({ name, i }, n) =>
      element("td", { className: isNumber[n] ? "number" : "", textContent: year(name) ? String(row[i]) : shown(row[i], 4) }))));
    return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  }
  function csv(result) {
    const cell = (value) => { const text = value === null ? "" : String(value);
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };
    return [result.columns, ...result.rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
  }
  async function copy(text) {
    try { await navigator.clipboard.writeText(text); return; } catch { /* some browsers forbid it for a page on disk */ }
    const area = element("textarea", { value: text, className: "visually-hidden" });
    document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
  }
  function say(words) { byId("said").textContent = words; }

  async function figures() {
    for (const figure of document.querySelectorAll("figure[data-figure]")) {
      const name = figure.dataset.figure;
      figure.querySelector("[data-copy]")?.addEventListener("click", async (event) => {
        await copy(figure.querySelector("pre.query").textContent);
        const button = event.target, before = button.textContent;
        button.textContent = "Copied"; say("The query is copied.");
        setTimeout(() => { button.textContent = before; }, 1600);
      });
      const container = figure.querySelector(".chart[data-query]");
      const numbers = figure.querySelector("details.numbers");
      const asked = container?.dataset.query ?? numbers?.dataset.query;
      if (!asked) continue;
      const result = (await load(page.data))[asked];
      numbers?.addEventListener("toggle", () => {
        const place = numbers.querySelector(".scroll");
        if (!numbers.open || place.childElementCount) return;
        place.append(table(result));
        if (result.rows.length > 1000) place.append(element("p", { textContent: `The first 1,000 of ${shown(result.rows.length)} rows; the file has all.` }));
        const file = new Blob([csv(result)], { type: "text/csv" });
        place.before(element("a", { href: URL.createObjectURL(file), download: `${name}.csv`, textContent: "Save as CSV" }));
      });
      if (!container) continue;
      await picture(container, JSON.parse(byId(`spec-${name}`).textContent),
        () => ({ rows: records(result), events: events(result) }), (view) => chosen(view, figure));
    }
  }
  function events(result) {
    const i = result.columns.indexOf("month");
    if (i < 0 || !result.rows.length) return [];
    const months = result.rows.map((row) => row[i]);
    const first = months.reduce((a, b) => (a < b ? a : b)), last = months.reduce((a, b) => (a > b ? a : b));
    return page.events.map((event) => ({ ...event, day: `${event.month}-01` }))
      .filter((event) => event.day >= first && event.day <= last)
      // the text is on the side that has room
      .map((event, place) => ({ month: Date.parse(event.day), label: event.label, place,
        late: (Date.parse(event.day) - Date.parse(first)) / (Date.parse(last) - Date.parse(first) || 1) > 0.6 }));
  }
  // a click on a cell of a heat map shows the reason below the map
  function chosen(view, figure) {
    const place = figure.querySelector(".reason");
    if (!place) return;
    view.addEventListener("click", (_event, item) => {
      if (!item?.datum?.status) return;
      const d = item.datum;
      const difference = d.diff_pct === null ? "" : ` The difference is ${d.diff_pct > 0 ? "+" : ""}${shown(d.diff_pct, 3)} %` +
        (d.tolerance_pct === null ? "." : `, the tolerance ${shown(d.tolerance_pct)} %.`);
      place.textContent = `${d.row ?? d.label}, ${d.month_name}: ${d.said}.${difference} ${d.known_divergence ?? ""}`;
    });
  }

  applyTheme();
  document.addEventListener("DOMContentLoaded", async () => {
    applyTheme();
    byId("theme").addEventListener("click", () => { store.set(isDark() ? "light" : "dark"); applyTheme(); redraw(); });
    system.addEventListener("change", () => { applyTheme(); redraw(); });
    await figures();
    for (const begin of medallion.begin) await begin();
    document.documentElement.dataset.ready = "yes";
  });
  return { data, load, records, label, element, shown, picture, draw, table, copy, say, page, byId, colour, redrawn, begin: [] };
})();
