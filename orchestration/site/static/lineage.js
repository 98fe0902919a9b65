// The page of the lineage: models, or one column with all its origins and all columns made from it.
"use strict";
medallion.begin.push(async () => {
  const { byId, element, load, colour } = medallion;
  const { graph } = JSON.parse(byId("specs").textContent);
  const { relations, origins, exposures } = await load("lineage");
  const users = {};
  for (const [column, made] of Object.entries(origins)) for (const origin of made) (users[origin] ??= []).push(column);
  const names = Object.keys(relations);
  const children = {};
  for (const name of names) for (const parent of relations[name].parents) (children[parent] ??= []).push(name);
  for (const e of exposures) for (const parent of e.parents) (children[parent] ??= []).push(e.name);
  const parentsOf = (name) => relations[name]?.parents ?? exposures.find((e) => e.name === name)?.parents ?? [];
  const control = Object.fromEntries(["relation", "column", "direction"].map((n) => [n, byId(n)]));
  const LAYERS = ["marts", "intermediate", "staging"];
  const layerOf = (name) => name.split(".")[0];
  const order = (name) => { const i = LAYERS.indexOf(layerOf(name)); return i < 0 ? 9 : i; };
  const group = (layer) => element("optgroup", { label: layer }, ...names.filter((n) => layerOf(n) === layer).sort()
    .map((n) => element("option", { value: n, textContent: n.split(".")[1] })));
  control.relation.append(element("option", { value: "", textContent: "All models" }),
    ...[...new Set(names.sort((a, b) => order(a) - order(b) || (a < b ? -1 : 1)).map(layerOf))].map(group));
  const split = (column) => { const i = column.lastIndexOf("."); return [column.slice(0, i), column.slice(i + 1)]; };
  const describe = (column) => { const [relation, name] = split(column);
    return name === "*" ? `rows of ${relation}` : relations[relation]?.columns.find(([n]) => n === name)?.[2] ?? ""; };

  function reach(begin, step) {
    const found = new Map([[begin, 0]]);
    let at = [begin], depth = 0;
    while (at.length) {
      depth += 1;
      const next = new Set(at.flatMap((n) => step(n) ?? []).filter((n) => !found.has(n)));
      next.forEach((n) => found.set(n, depth));
      at = [...next];
    }
    return found;
  }
  // the greatest number of steps before each node
  function ranks(nodes, before) {
    const known = new Map();
    const rank = (n) => { if (known.has(n)) return known.get(n);
      known.set(n, 0);
      const r = Math.max(-1, ...before(n).filter((p) => nodes.has(p)).map(rank)) + 1;
      known.set(n, r); return r; };
    nodes.forEach(rank);
    return known;
  }
  function layout(nodes, before, info) {
    const rank = ranks(nodes, before);
    const columns = [];
    for (const n of nodes) (columns[rank.get(n)] ??= []).push(n);
    const place = new Map();
    columns.forEach((column) => {
      // near the nodes that it is made from, so that few lines cross
      const mean = (n) => { const ps = before(n).filter((p) => place.has(p)).map((p) => place.get(p)); return ps.length ? ps.reduce((a, b) => a + b) / ps.length : 0; };
      column.map((n) => [mean(n), n]).sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1)).forEach(([, n], i) => place.set(n, (i + 0.5) / column.length));
    });
    const tallest = Math.max(...columns.map((c) => c.length));
    const at = (n) => ({ x: rank.get(n), y: place.get(n) * tallest });
    const links = [];
    for (const n of nodes) for (const p of before(n)) if (nodes.has(p)) {
      const a = at(p), b = at(n), bend = Math.min(0.35, (b.x - a.x) / 2);
      // two more points beside each end, so that the line begins and ends horizontally
      for (const [x, y] of [[a.x, a.y], [a.x + bend, a.y], [b.x - bend, b.y], [b.x, b.y]]) links.push({ link: `${p} ${n}`, x, y });
    }
    return { nodes: [...nodes].map((n) => ({ name: n, ...at(n), ...info(n) })), links, tallest, wide: columns.length };
  }
  let picture = null, drawn = null, chosen = "";
  const specification = () => ({ ...graph, width: Math.max(byId("graph").parentElement.clientWidth - 20, picture.wide * 215), height: Math.max(160, picture.tallest * 34),
    layer: graph.layer.map((layer) => ({ ...layer, encoding: { ...layer.encoding,
      x: { ...layer.encoding.x, scale: { nice: false, domain: [-0.05, picture.wide - 0.05] } }, y: { ...layer.encoding.y, scale: { nice: false, domain: [picture.tallest, 0] } } } })),
    params: [["soft", colour("soft")], ["ink", colour("ink")], ["card", colour("card")]].map(([name, value]) => ({ name, value })) });
  async function draw() {
    const result = await medallion.draw(byId("graph"), specification(), { nodes: picture.nodes, links: picture.links }, null);
    result.view.addEventListener("click", (_event, item) => { const name = item?.datum?.name; if (name) go(name); });
    drawn = result;
  }
  medallion.redrawn.push(() => draw());
  const go = (name) => { location.hash = name; };
  const list = (found, href) => {
    const rows = [...found].filter(([, steps]) => steps > 0).sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1));
    if (!rows.length) return element("p", { className: "nothing", textContent: "Nothing." });
    return element("ul", { className: "plain" }, ...rows.map(([name, steps]) => element("li", {}, href(name), element("span", { className: "caption", textContent: ` ${steps === 1 ? "1 step" : `${steps} steps`}. ${describe(name)}` }))));
  };
  const link = (name) => element("a", { href: `#${name.endsWith(".*") ? name.slice(0, -2) : name}`, textContent: name });

  async function show() {
    const asked = decodeURIComponent(location.hash.slice(1));
    const isColumn = asked in origins || (split(asked)[0] in relations && relations[split(asked)[0]].columns.some(([n]) => n === split(asked)[1]));
    const relation = isColumn ? split(asked)[0] : asked in relations ? asked : "";
    chosen = isColumn ? asked : relation;
    control.relation.value = relation;
    control.column.replaceChildren(element("option", { value: "", textContent: relation ? "All columns" : "" }),
      ...(relation ? relations[relation].columns.map(([n]) => element("option", { value: n, textContent: n })) : []));
    control.column.value = isColumn ? split(asked)[1] : "";
    control.column.disabled = !relation;
    const direction = control.direction.value;
    const up = isColumn ? reach(asked, (n) => origins[n]) : relation ? reach(relation, (n) => relations[n]?.parents) : new Map();
    const down = isColumn ? reach(asked, (n) => users[n]) : relation ? reach(relation, (n) => children[n]) : new Map();
    const info = (n) => isColumn
      ? { short: split(n)[1] === "*" ? "rows" : split(n)[1], within: split(n)[0], kind: relations[split(n)[0]]?.kind === "model" ? layerOf(n) : relations[split(n)[0]]?.kind ?? "", description: describe(n) }
      : { short: n.split(".")[1] ?? exposures.find((e) => e.name === n)?.label ?? n, within: relations[n] ? layerOf(n) : "used by", kind: relations[n] ? (relations[n].kind === "model" ? layerOf(n) : relations[n].kind) : "exposure", description: relations[n]?.description ?? "" };
    const nodes = !chosen ? new Set([...names, ...exposures.map((e) => e.name)])
      : new Set([...(direction === "down" ? [] : up.keys()), ...(direction === "up" ? [] : down.keys()), chosen]);
    picture = layout(nodes, isColumn ? (n) => origins[n] ?? [] : parentsOf, info);
    document.querySelector(".split").hidden = !chosen;
    byId("title-graph").textContent = chosen || "All models";
    const said = isColumn ? describe(chosen) : relation ? relations[relation].description : "From the publishers' files, on the left, to those who use the marts, on the right.";
    const tests = isColumn ? relations[relation].columns.find(([n]) => n === split(asked)[1])?.[3] ?? [] : relation ? relations[relation].tests : [];
    byId("graph-words").textContent = `${said}${tests.length ? ` Tests: ${tests.join(", ")}.` : ""}`;
    byId("command").textContent = isColumn ? `medallion lineage ${chosen}${direction === "down" ? " --downstream" : ""}` : "medallion lineage COLUMN";
    byId("up").replaceChildren(list(up, link)); byId("down").replaceChildren(list(down, (n) => (relations[n] || isColumn ? link(n) : element("strong", { textContent: exposures.find((e) => e.name === n)?.label ?? n }))));
    if (isColumn) {
      const used = exposures.filter((e) => e.parents.some((p) => p === relation || [...down.keys()].some((c) => split(c)[0] === p)));
      if (used.length) byId("down").append(element("p", { textContent: `Used by: ${used.map((e) => e.label).join("; ")}.` }));
    }
    await draw();
  }
  control.relation.addEventListener("change", () => { location.hash = control.relation.value; });
  control.column.addEventListener("change", () => { location.hash = control.column.value ? `${control.relation.value}.${control.column.value}` : control.relation.value; });
  control.direction.addEventListener("change", show);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", show);
  await show();
});
