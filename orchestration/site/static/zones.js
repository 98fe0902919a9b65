// The page of the zones: what is chosen, the map, one zone, the hours of the week.
"use strict";
medallion.begin.push(async () => {
  const { load, byId, element, shown, label } = medallion;
  const specs = JSON.parse(byId("specs").textContent);
  const queries = Object.fromEntries(JSON.parse(byId("queries").textContent).map(([name, words, sql]) => [name, { words, sql }]));
  const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
  const ratio = (a, b) => (a === null || !b ? null : a / b);
  // each figure, and how it is computed from the sums in the files
  const MEASURES = {
    pickups: { words: "Pickups", needs: ["pickups"], of: (s) => s.pickups, query: "zone_pickups" },
    dropoffs: { words: "Drop-offs", needs: ["dropoffs"], of: (s) => s.dropoffs, query: "zone_dropoffs" },
    revenue: { words: "Revenue in USD", needs: ["usd"], of: (s) => s.usd, query: "zone_pickups" },
    average: { words: "USD a trip", needs: ["usd", "pickups"], of: (s) => ratio(s.usd, s.pickups), digits: 2, query: "zone_pickups" },
    tips: { words: "Tips by fares, in percent", needs: ["card_fare", "card_tip"], of: (s) => { const r = ratio(s.card_tip, s.card_fare); return r === null ? null : 100 * r; }, digits: 1, query: "zone_tips" },
    wait: { words: "Minutes of waiting", needs: ["waited", "wait_minutes"], of: (s) => ratio(s.wait_minutes, s.waited), digits: 1, query: "zone_waits" },
  };
  const [shapes, { years }] = await Promise.all([load("shapes"), load("zones")]);
  const zones = new Map(shapes.features.map((f) => [f.properties.id, f.properties]));
  const control = Object.fromEntries(["service", "measure", "year", "month", "day", "hour", "zone"].map((n) => [n, byId(n)]));
  const fill = (select, options, value) => {
    select.replaceChildren(...options.map(([v, words, off]) => element("option", { value: v, textContent: words, disabled: Boolean(off) })));
    const usable = options.filter(([, , off]) => !off).map(([v]) => String(v));
    select.value = usable.includes(String(value)) ? value : usable[0];
  };
  const state = () => Object.fromEntries(Object.entries(control).map(([n, s]) => [n, s.value]));
  // the query of what is shown, with its service, and with its year if it has one
  const sqlOf = (name, service) => [`'${service}'`, `date '${control.year.value}-01-01'`, `date '${control.year.value}-12-31'`]
    .reduce((sql, value) => sql.replace("?", value), queries[name].sql);
  const add = (a, b) => (b === null || b === undefined ? a : (a ?? 0) + b);

  function sums(file, month) {
    const out = new Map(file.zones.map((z) => [z, {}]));
    for (const [measure, rows] of Object.entries(file.figures)) {
      rows.forEach((row, m) => {
        if (month !== "all" && file.months[m] !== month) return;
        row.forEach((value, i) => { const s = out.get(file.zones[i]); s[measure] = add(s[measure] ?? null, value); });
      });
    }
    return out;
  }
  // trips in an average hour of the chosen hours
  function hourly(hours, direction, day, hour) {
    const out = new Map();
    const isIn = (h) => (day === "all" || Math.floor(h / 24) === Number(day)) && (hour === "all" || h % 24 === Number(hour));
    let count = 0;
    for (let h = 0; h < 168; h += 1) if (isIn(h)) count += hours.days[Math.floor(h / 24)];
    for (const [zone, week] of Object.entries(hours[direction])) {
      let trips = 0;
      week.forEach((value, h) => { if (isIn(h)) trips += value; });
      out.set(Number(zone), trips / count);
    }
    return out;
  }

  let file, hours, values = new Map(), mapView, turn = 0, year = null; // the newest, until another is chosen
  const isHourly = () => control.day.value !== "all" || control.hour.value !== "all";

  async function choose(changed) {
    const mine = ++turn;
    const { service } = state();
    if (changed === "year") year = control.year.value;
    byId("title-map").parentElement.setAttribute("aria-busy", "true");
    if (["start", "service"].includes(changed)) fill(control.year, years[service].map((y) => [y, y]).reverse(), year);
    const key = `${service}-${control.year.value}`;
    const [newFile, newHours] = await Promise.all([load(`map/${key}`), load(`hours/${key}`)]);
    if (mine !== turn) return;
    [file, hours] = [newFile, newHours];
    const has = (m) => MEASURES[m].needs.every((n) => file.figures[n]);
    if (changed === "day" || changed === "hour") if (isHourly() && !["pickups", "dropoffs"].includes(control.measure.value)) control.measure.value = "pickups";
    if (changed === "measure" && !["pickups", "dropoffs"].includes(control.measure.value)) { control.day.value = "all"; control.hour.value = "all"; }
    fill(control.measure, Object.entries(MEASURES).map(([m, { words }]) => [m, words, !has(m)]), control.measure.value || "pickups");
    fill(control.month, [["all", "All held"], ...file.months.map((m) => [m, m])], control.month.value);
    control.month.disabled = isHourly();
    await show();
    if (mine === turn) byId("title-map").parentElement.setAttribute("aria-busy", "false");
  }
  function compute() {
    const { measure, month, day, hour } = state();
    if (isHourly()) { values = hourly(hours, measure, day, hour); return; }
    values = new Map();
    for (const [zone, s] of sums(file, month)) {
      const value = MEASURES[measure].needs.some((n) => s[n] === undefined) ? null : MEASURES[measure].of(s);
      values.set(zone, value ?? null);
    }
  }
  const digits = () => (isHourly() ? 2 : MEASURES[control.measure.value].digits ?? 0);
  const when = () => {
    const { year, month, day, hour } = state();
    if (!isHourly()) return month === "all" ? `${year} (${file.months[0]} to ${file.months.at(-1)})` : month;
    const at = hour === "all" ? "all hours" : `${hour}:00 to ${hour}:59`;
    return `an average hour of ${year}: ${day === "all" ? "all days" : DAYS[day]}, ${at}`;
  };
  const features = () => shapes.features.filter((f) => f.geometry).map((f) => {
    const value = values.get(f.properties.id);
    return { ...f, properties: { ...f.properties, value: value ?? null, shown: value === null || value === undefined ? "none" : shown(value, digits()) } };
  });
  function result() {
    const rows = [...values].filter(([, v]) => v !== null).sort((a, b) => b[1] - a[1] || a[0] - b[0])
      .map(([z, v]) => [z, zones.get(z)?.zone ?? "", zones.get(z)?.borough ?? "", v]);
    return { columns: ["zone_id", "zone", "borough", MEASURES[control.measure.value].words.toLowerCase()], rows };
  }
  function mapTable() {
    const place = byId("map-numbers").querySelector(".scroll");
    place.replaceChildren();
    if (byId("map-numbers").open) place.append(medallion.table(result()));
  }
  async function show() {
    compute();
    const { service, measure } = state();
    const files = file.months.filter((month) => isHourly() || control.month.value === "all" || month === control.month.value);
    const held = files.length === 1 ? `Month ${files[0]}, 1 file version` : `Months ${files[0]} to ${files.at(-1)}, ${files.length} file versions`;
    const ofYear = `Months ${file.months[0]} to ${file.months.at(-1)}, ${file.months.length} file versions`;
    for (const words of document.querySelectorAll(".from .words")) words.textContent = `${"year" in words.dataset ? ofYear : held}. ${medallion.page.run}.`;
    byId("map-words").textContent = `${MEASURES[measure].words}, ${label(service)}, ${when()}.`;
    byId("map-query").textContent = sqlOf(isHourly() ? `zone_hours_${measure}` : MEASURES[measure].query, service);
    if (mapView) { mapView.data("zones", features()).signal("chosen", Number(control.zone.value)); await mapView.runAsync(); }
    mapTable();
    await showWeek();
    await showZone();
  }

  // ---- the hours of the week, of the city or of the chosen zone
  let weekDraw;
  const weekRows = () => {
    const direction = control.measure.value === "dropoffs" ? "dropoffs" : "pickups";
    const zone = control.zone.value;
    const out = [];
    for (let h = 0; h < 168; h += 1) {
      const day = Math.floor(h / 24);
      let trips = 0;
      if (zone) trips = hours[direction][zone]?.[h] ?? 0;
      else for (const week of Object.values(hours[direction])) trips += week[h];
      if (hours.days[day]) out.push({ day: DAYS[day], hour: h % 24, value: trips / hours.days[day] });
    }
    return out;
  };
  async function showWeek() {
    const direction = control.measure.value === "dropoffs" ? "dropoffs" : "pickups";
    const zone = zones.get(Number(control.zone.value));
    byId("week-words").textContent = `${MEASURES[direction].words} of an average hour of ${control.year.value}, ${label(control.service.value)}, ${zone ? zone.zone : "all zones"}. Choose a cell to see that hour on the map.`;
    byId("week-query").textContent = sqlOf(`zone_hours_${direction}`, control.service.value);
    if (!weekDraw) {
      weekDraw = true;
      await medallion.picture(byId("week"), specs.week, () => ({ rows: weekRows() }), (view) => {
        weekDraw = view;
        view.addEventListener("click", (_event, item) => {
          if (!item?.datum || item.datum.hour === undefined) return;
          control.day.value = String(DAYS.indexOf(item.datum.day)); control.hour.value = String(item.datum.hour);
          choose("hour");
        });
      });
    } else if (weekDraw !== true) { weekDraw.data("rows", weekRows()); await weekDraw.runAsync(); }
  }

  // ---- one zone
  let historyView, history = { };
  const historyRows = () => {
    const measure = MEASURES[control.measure.value];
    const out = [];
    for (const [service, own] of Object.entries(history)) {
      if (!measure.needs.every((n) => own[n])) continue;
      own.months.forEach((month, i) => {
        const s = Object.fromEntries(measure.needs.map((n) => [n, own[n][i]]));
        const value = measure.needs.some((n) => s[n] === null) ? null : measure.of(s);
        const [y, m] = month.split("-").map(Number);
        if (value !== null) out.push({ label: label(service), service, month: Date.UTC(y, m - 1), value, at: y * 12 + m });
      });
    }
    // a line has a gap where a month is missing
    out.forEach((row, i) => { const before = out[i - 1];
      row.stretch = before && before.service === row.service && before.at === row.at - 1 ? before.stretch : `${row.service}${row.at}`; });
    return out;
  };
  const pairTable = (words, pairs, places = 0) => {
    const rows = pairs.map(([z, trips]) => {
      const button = element("button", { type: "button", className: "small", textContent: zones.get(z)?.zone ?? `Zone ${z}` });
      button.addEventListener("click", () => { control.zone.value = String(z); choose("zone"); });
      return element("tr", {}, element("td", {}, button), element("td", { className: "number", textContent: shown(trips, places) }));
    });
    const head = element("tr", {}, element("th", { scope: "col", textContent: words }), element("th", { scope: "col", className: "number", textContent: words.startsWith("Most:") ? "figure" : "trips" }));
    return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  };
  async function showZone() {
    const id = Number(control.zone.value);
    const figure = byId("title-zone").closest("figure");
    const most = result().rows.slice(0, 10).map(([z, , , value]) => [z, value]);
    byId("most").replaceChildren(...(id ? [] : [pairTable(`Most: ${MEASURES[control.measure.value].words}`, most, digits())]));
    if (!id) return;
    const properties = zones.get(id), { service, year, measure } = state();
    history = await load(`zone/${id}`);
    if (id !== Number(control.zone.value)) return;
    byId("title-zone").textContent = properties.zone;
    byId("zone-words").textContent = `Zone ${id}, ${properties.borough}${properties.cbd ? ", in the congestion relief zone" : ""}. ${label(service)}, ${control.month.value === "all" ? year : control.month.value}.`;
    const own = sums(file, control.month.value).get(id) ?? {};
    const facts = Object.entries(MEASURES).filter(([, m]) => m.needs.every((n) => own[n] !== undefined && own[n] !== null))
      .flatMap(([name, m]) => [element("dt", { textContent: m.words }), element("dd", { textContent: shown(m.of(own), m.digits ?? 2) })].map((e) => Object.assign(e, { id: e.tagName === "DD" ? `zone-${name}` : "" })));
    byId("zone-figures").replaceChildren(element("dl", { className: "facts" }, ...facts));
    figure.querySelectorAll(".from, details, .chart").forEach((e) => { e.hidden = false; });
    byId("zone-query").textContent = sqlOf(MEASURES[measure].query, service);
    const pairs = history[service]?.pairs?.[year];
    byId("pairs-figure").hidden = !pairs;
    if (pairs) {
      byId("title-pairs").textContent = `From and to ${properties.zone}`;
      byId("pairs-words").textContent = `Trips of ${label(service)} in ${year}: the ten zones of each direction with most.`;
      byId("pairs-query").textContent = sqlOf("zone_pairs", service);
      byId("pairs").replaceChildren(pairTable("Go to", pairs.to), pairTable("Come from", pairs.from));
    }
    if (!historyView) {
      historyView = true;
      await medallion.picture(byId("history"), specs.history, () => ({ rows: historyRows() }), (view) => { historyView = view; });
    } else if (historyView !== true) { historyView.data("rows", historyRows()); await historyView.runAsync(); }
  }

  fill(control.day, [["all", "All"], ...DAYS.map((d, i) => [i, d])], "all");
  fill(control.hour, [["all", "All"], ...Array.from({ length: 24 }, (_, h) => [h, `${h}:00`])], "all");
  const listed = [...zones.values()].sort((a, b) => (a.zone < b.zone ? -1 : 1)).map((z) => [z.id, `${z.zone} (${z.id})`]);
  fill(control.zone, [["", "Choose a zone"], ...listed], "");
  for (const [name, select] of Object.entries(control)) select.addEventListener("change", () => choose(name));
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("map-numbers").addEventListener("toggle", mapTable);
  await choose("start");
  specs.map.height = Math.min(560, byId("map").clientWidth * 1.1);
  await medallion.picture(byId("map"), specs.map, () => ({ zones: features() }), (view) => {
    mapView = view.signal("chosen", Number(control.zone.value));
    view.addEventListener("click", (_event, item) => {
      const id = item?.datum?.properties?.id;
      if (id) { control.zone.value = String(id); choose("zone"); }
    });
  });
});
