// One function: its heading, figures, layers and code, and the controls of the view.
const SHADES = { lines: "line scores", layers: "layers survived", scores: "scores in the layer", none: "nothing" };

function shades_of(f) {
  return [f.lines && "lines", data.layers && f.alive && "layers", f.tokens && "scores", "none"].filter(Boolean);
}

function show(number) {
  current = number;
  const f = functions[number];
  find("name").textContent = f.name;
  find("verdict").textContent = f.verdict;
  find("verdict").className = f.is_right === undefined ? "" : f.is_right ? "right" : "wrong";
  find("facts").textContent = (f.facts ?? []).join("; ");
  const shades = shades_of(f), wanted = view.wanted || (f.tokens ? "layers" : "lines");
  find("shade").replaceChildren(...shades.map(name => make("option", { value: name }, SHADES[name])));
  find("shade").value = shades.includes(wanted) ? wanted : shades[0];
  find("ranked").replaceChildren(...ranked_lines(f));
  show_layers(f);
  redraw();
  mark_current();
  const place = order.functions.indexOf(number);
  find("place").textContent = place < 0 ? "" : `${place + 1} of ${order.functions.length.toLocaleString("en")} in the list`;
}

function ranked_lines(f) {
  const best = (f.lines ?? []).filter(([, score]) => score > 0).slice(0, 8);
  const buttons = best.map(([line, score]) => make("button", { type: "button", "data-line": line }, `${line} (${score})`));
  return buttons.length ? [`${data.ranked}: `, ...buttons.flatMap(button => [button, " "])] : [];
}

function show_layers(f) {
  find("layers").hidden = !f.alive;
  if (!f.alive) return;
  const rows = f.alive.slice(1).map((alive, i) => {
    const bar = make("i");
    bar.style.width = `${(100 * alive / f.alive[0]).toFixed(2)}%`;
    const [threshold, scores] = f.layers?.[i] ?? ["", ""];
    const row = make("tr", { "data-layer": i + 1 }, make("td", {}, String(i + 1)), make("td", { class: "bar" }, bar));
    row.append(...[alive, f.alive[i] - alive, threshold, scores].map(text => make("td", {}, String(text))));
    return row;
  });
  find("layers").querySelector("tbody").replaceChildren(...rows);
  find("layers").classList.toggle("short", !f.layers);
}

function show_specials(f) {
  find("specials").hidden = !f.specials;
  if (!f.specials) return;
  const elements = f.specials.map(place => token_element(f, { text: f.tokens[place].text, value: place, look: "special",
    kept: f.tokens[place].kept }, 0));
  find("specials").replaceChildren("special tokens: ", ...elements.flatMap(element => [element, " "]));
}

// What the shades mean
function legend_of(f) {
  const lines = f.lines && view.shade !== "lines" ? "; shaded line number: score of the line" : "";
  if (view.shade === "none") return [lines.slice(2)];
  if (view.shade !== "layers") return [`darker: a higher score${lines}`];
  const swatches = Array.from({ length: data.layers + 1 }, (_, kept) => {
    const swatch = make("span", { class: "t swatch" }, kept < data.layers ? String(kept + 1) : "kept");
    shade(swatch, kept / data.layers);
    return swatch;
  });
  return ["removed in layer ", ...swatches.flatMap(swatch => [swatch, " "]),
    f.tokens ? "point at a token to see its scores" : "", lines];
}

// Draws what depends on the slider and the menus.
function redraw() {
  const f = functions[current];
  if (!f) return;
  view.shade = find("shade").value;
  view.layer = data.layers ? +find("layer").value : 0;
  view.pruned = data.layers ? find("pruned").value : "dim";
  render_code(f);
  show_specials(f);
  find("legend").replaceChildren(...legend_of(f));
  document.querySelectorAll("[data-layer]").forEach(row => row.classList.toggle("now", +row.dataset.layer === view.layer));
  if (!data.layers) return;
  const where = view.layer ? `after layer ${view.layer} of ${data.layers}` : "all text";
  const alive = f.alive ? `: ${f.alive[view.layer]} of ${f.alive[0]} tokens` : "";
  find("alive").textContent = where + alive;
  find("layer").setAttribute("aria-valuetext", where + alive);
}

let is_waiting = false;
function redraw_soon() {
  if (is_waiting) return;
  is_waiting = true;
  requestAnimationFrame(() => {
    is_waiting = false;
    redraw();
  });
}

function start_function() {
  find("layers").open = Boolean(functions[0].layers);
  addEventListener("scroll", make_near_blocks, { passive: true, capture: true });
  find("layer")?.addEventListener("input", redraw_soon);
  find("pruned")?.addEventListener("change", redraw);
  find("shade").addEventListener("change", () => {
    view.wanted = find("shade").value;
    redraw();
  });
  for (const place of ["code", "specials"]) find(place).addEventListener("pointerover", explain);
  find("ranked").addEventListener("click", event => {
    const line = event.target.dataset.line && element_of_line(+event.target.dataset.line);
    if (!line) return;
    line.scrollIntoView({ block: "center" });
    line.classList.add("found");
    setTimeout(() => line.classList.remove("found"), 1500);
  });
}
