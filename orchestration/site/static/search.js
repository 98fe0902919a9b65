// The search of the page Data: the dictionary, which is in the page, and the text of the documents.
"use strict";
medallion.begin.push(async () => {
  const { byId, element, load } = medallion;
  const input = byId("search"), hits = byId("hits");
  const models = [...document.querySelectorAll("details.model")].map((details) => ({
    details, name: details.id, text: details.querySelector("summary").textContent.toLowerCase(),
    columns: [...details.querySelectorAll("tbody tr")].map((row) => ({
      name: row.querySelector("th").textContent, text: row.textContent.toLowerCase(), description: row.children[2].textContent })) }));
  const open = () => { const chosen = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (chosen?.tagName === "DETAILS") { chosen.open = true; chosen.scrollIntoView(); } };
  addEventListener("hashchange", open); open();
  let pages = null, turn = 0;
  const marked = (text, words) => {
    const places = words.map((word) => text.toLowerCase().indexOf(word)).filter((i) => i >= 0);
    const from = Math.max(0, Math.min(...places) - 60), cut = text.slice(from, from + 240);
    const pattern = new RegExp(`(${words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "gi");
    return [from ? "… " : "", ...cut.split(pattern).map((part, i) => (i % 2 ? element("mark", { textContent: part }) : part)), from + 240 < text.length ? " …" : ""];
  };
  async function search() {
    const mine = ++turn;
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    hits.hidden = !words.length;
    if (!words.length) { byId("search-words").textContent = ""; return; }
    pages ??= await load("documents").catch(() => []);
    if (mine !== turn) return;
    const all = (text) => words.every((word) => text.includes(word));
    const count = (text) => words.reduce((sum, word) => sum + text.split(word).length - 1, 0);
    const found = [];
    for (const model of models) {
      if (all(model.text)) found.push({ score: 50 + count(model.name) * 50, title: model.name, href: `#${model.name}`, text: model.text });
      for (const column of model.columns) if (all(column.text))
        found.push({ score: 20 + count(column.name) * 20 + (model.name.startsWith("marts.") ? 5 : 0), title: `${model.name}.${column.name}`, href: `#${model.name}`, text: [column.name, column.description].filter(Boolean).join(": ") });
    }
    for (const [source, document_, page, text] of pages) {
      const plain = (text ?? "").replace(/\s+/g, " "), lower = plain.toLowerCase();
      if (all(lower)) found.push({ score: Math.min(40, count(lower)), title: `${document_}, page ${page}`, note: source, text: plain });
    }
    found.sort((a, b) => b.score - a.score || (a.title < b.title ? -1 : 1));
    byId("search-words").textContent = `${found.length} found${found.length > 50 ? ", the best 50 are shown" : ""}`;
    hits.replaceChildren(element("ol", { className: "hits" }, ...found.slice(0, 50).map((hit) => element("li", {},
      hit.href ? element("a", { href: hit.href, textContent: hit.title }) : element("strong", { textContent: hit.title }),
      element("br"), element("span", { className: "caption" }, ...marked(hit.text, words))))));
  }
  input.addEventListener("input", search);
  byId("search-form").addEventListener("submit", (event) => event.preventDefault());
  const asked = new URLSearchParams(location.search).get("q");
  if (asked) { input.value = asked; await search(); }
});
