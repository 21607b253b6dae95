// The code of a function: lines of runs, shaded, without or with the text that was pruned.
const LOOKS = ["", "comment", "literal", "number", "keyword"];
const BLOCK = 100, NEAR = 1500; // lines, and pixels above and below the view
const LINE_HEIGHT = 1.6; // in em, as in page.css
const LONGEST = 4000; // runs of a line; the rest of it is shown without colours
// `wanted` is the shading that the reader chose; `shade` is that of this function, which may lack it
const view = { layer: 0, pruned: "dim", shade: "none", wanted: "" };

// The runs of each line: text, value of the token (-1: none), look, and how many layers kept it.
function lines_of(f) {
  const lines = [[]], runs = f.runs ? f.runs.split(" ").map(Number) : []; // length and style of each run
  let begin = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const value = Math.floor(runs[i + 1] / LOOKS.length) - 1, look = LOOKS[runs[i + 1] % LOOKS.length];
    const kept = value < 0 ? -1 : f.tokens ? f.tokens[value].kept : value;
    f.code.slice(begin, begin + runs[i]).split("\n").forEach((text, part) => {
      if (part) {
        if (value >= 0) lines.at(-1).push({ text: "\n", value, look, kept });
        lines.push([]);
      }
      if (text) lines.at(-1).push({ text, value, look, kept });
    });
    begin += runs[i];
  }
  if (lines.length > 1 && !lines.at(-1).length) lines.pop();
  return lines;
}

// The highest score in the layer of the slider of the tokens that are part of the code
function top_score(f) {
  const specials = new Set(f.specials);
  return f.tokens.reduce((top, token, i) => (specials.has(i) ? top : Math.max(top, token.scores[view.layer - 1] || 0)), 0);
}

function shade_of(f, run, top) {
  if (view.shade === "layers") return run.kept / data.layers;
  if (view.shade !== "scores" || !view.layer || run.kept < view.layer || !top) return 0;
  return Math.sqrt((f.tokens[run.value].scores[view.layer - 1] || 0) / top);
}

function token_element(f, run, top) {
  if (run.value < 0) return run.look ? make("span", { class: run.look }, run.text) : run.text;
  const fate = run.kept < view.layer - 1 ? " gone" : run.kept < view.layer ? " leaves" : "";
  const kind = run.text === "\n" ? " end" : run.text.trim() ? "" : " space";
  const kept = run.kept === data.layers && view.shade === "layers" ? " kept" : "";
  const element = make("span", { class: `t ${run.look}${kind}${fate}${kept}`, "data-value": run.value },
    run.text === "\n" ? "↵" : run.text);
  if (run.text === "\n") element.setAttribute("aria-hidden", "true");
  shade(element, shade_of(f, run, top));
  return element;
}

// What stands for the runs of a line while pruned text is hidden: a dot for each gap, with the space in it
function without_pruned(runs) {
  const left = [], is_gap = run => run?.look === "gap";
  for (const run of runs) {
    if (run.value < 0 || run.kept >= view.layer) left.push(run);
    else if (run.text.trim()) {
      if (left.at(-1)?.value < 0 && !left.at(-1).text.trim() && is_gap(left.at(-2))) left.pop();
      if (!is_gap(left.at(-1))) left.push({ text: "·", value: -1, look: "gap" });
    }
  }
  return left;
}

// What is shown of each line: its number and runs, or the first and the last of neighbouring lines that are left out
function shown_lines(f) {
  const hides = view.pruned === "hide" && view.layer > 0, shown = [];
  split_lines(f).forEach((runs, i) => {
    const number = (f.first_line ?? 1) + i;
    if (!hides) shown.push({ number, runs });
    else if (runs.some(run => run.value >= 0 && run.kept >= view.layer)) shown.push({ number, runs: without_pruned(runs) });
    else if (shown.at(-1)?.last === number - 1) shown.at(-1).last = number;
    else shown.push({ number, last: number });
  });
  return shown;
}

let split = { of: null, lines: [] };
function split_lines(f) {
  if (split.of !== f) split = { of: f, lines: lines_of(f) };
  return split.lines;
}

function line_element(f, { number, runs, last }, scores, top) {
  if (last) {
    const named = number === last ? `line ${number}` : `lines ${number} to ${last}`;
    return make("div", { class: "line pruned" }, `${named}: no token alive`);
  }
  const line = make("div", { class: f.flaw_lines?.includes(number) ? "line flaw" : "line", "data-n": number });
  if (scores.get(number) > 0) {
    shade(line, scores.get(number) / f.lines[0][1]);
    line.title = `line ${number}: score ${scores.get(number)}`;
  }
  line.append(...runs.slice(0, LONGEST).map(run => token_element(f, run, top)));
  if (runs.length > LONGEST) line.append(runs.slice(LONGEST).map(run => run.text).join(""));
  return line;
}

// Lines are made in blocks, when they come near the view. A block has its height before: lines are not wrapped.
let blocks = [];
function render_code(f) {
  const shown = shown_lines(f), scores = new Map(f.lines);
  const top = view.shade === "scores" && view.layer ? top_score(f) : 0;
  blocks = [];
  for (let i = 0; i < shown.length; i += BLOCK) {
    const lines = shown.slice(i, i + BLOCK), element = make("div");
    element.style.height = `${LINE_HEIGHT * lines.length}em`;
    blocks.push({ element, last: lines.at(-1).last ?? lines.at(-1).number, is_made: false,
      make: () => lines.map(line => line_element(f, line, scores, top)) });
  }
  find("code").dataset.shade = view.shade;
  find("code").replaceChildren(...blocks.map(block => block.element));
  make_near_blocks();
}

function make_block(block) {
  if (block.is_made) return;
  block.is_made = true;
  block.element.append(...block.make());
  block.element.style.height = "";
}

function make_near_blocks() {
  for (const block of blocks) {
    if (block.is_made) continue;
    const { top, bottom } = block.element.getBoundingClientRect();
    if (bottom > -NEAR && top < innerHeight + NEAR) make_block(block);
  }
}

// The element of a line; null if it is left out
function element_of_line(number) {
  const block = blocks.find(block => number <= block.last);
  if (block) make_block(block);
  return find("code").querySelector(`[data-n="${number}"]`);
}

// The tooltip of a token is made when the pointer reaches it.
function explain(event) {
  const element = event.target.closest?.("[data-value]"), f = functions[current];
  if (!element || element.title) return;
  const value = +element.dataset.value;
  element.title = f.tokens ? f.tokens[value].tip : value === data.layers ? "kept" : `removed in layer ${value + 1}`;
}
