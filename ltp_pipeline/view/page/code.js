// The code of a function: lines of runs, shaded, without or with the text that was pruned.
const LOOKS = ["", "comment", "literal", "number", "keyword"];
// `wanted` is the shading that the reader chose; `shade` is that of this function, which may lack it
const view = { layer: 0, pruned: "dim", shade: "none", wanted: "" };

// The runs of each line: text, value of the token (-1: none), look, and how many layers kept it.
function lines_of(f) {
  const lines = [[]];
  let begin = 0;
  for (let i = 0; i < f.runs.length; i += 2) {
    const value = Math.floor(f.runs[i + 1] / LOOKS.length) - 1, look = LOOKS[f.runs[i + 1] % LOOKS.length];
    const kept = value < 0 ? -1 : f.tokens ? f.tokens[value].kept : value;
    f.code.slice(begin, begin + f.runs[i]).split("\n").forEach((text, part) => {
      if (part) {
        if (value >= 0) lines.at(-1).push({ text: "\n", value, look, kept });
        lines.push([]);
      }
      if (text) lines.at(-1).push({ text, value, look, kept });
    });
    begin += f.runs[i];
  }
  if (lines.length > 1 && !lines.at(-1).length) lines.pop();
  return lines;
}

// The highest score in the layer of the slider of the tokens that are part of the code
function top_score(f) {
  const specials = new Set(f.specials);
  return Math.max(0, ...f.tokens.map((token, i) => (specials.has(i) ? 0 : token.scores[view.layer - 1] || 0)));
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

// What stands for the runs of a line while pruned text is hidden: a dot for each gap
function without_pruned(runs) {
  const left = [];
  for (const run of runs) {
    if (run.value < 0 || run.kept >= view.layer) left.push(run);
    else if (run.text.trim() && left.at(-1)?.text !== "·") left.push({ text: "·", value: -1, look: "gap" });
  }
  return left;
}

function render_code(f) {
  const lines = f.split ??= lines_of(f);
  const scores = new Map(f.lines), highest = f.lines?.length ? f.lines[0][1] : 0;
  const top = view.shade === "scores" && view.layer ? top_score(f) : 0;
  const hides = view.pruned === "hide" && view.layer > 0;
  const block = document.createDocumentFragment();
  let hidden = 0;
  lines.forEach((runs, i) => {
    const number = (f.first_line ?? 1) + i;
    if (hides && !runs.some(run => run.value >= 0 && run.kept >= view.layer)) {
      hidden += 1;
      return;
    }
    if (hidden) block.append(hidden_lines(number - hidden, number - 1));
    hidden = 0;
    const is_flaw = f.flaw_lines?.includes(number);
    const line = make("div", { class: is_flaw ? "line flaw" : "line", "data-n": number });
    if (scores.get(number) > 0) {
      shade(line, scores.get(number) / highest);
      line.title = `line ${number}: score ${scores.get(number)}`;
    }
    line.append(...(hides ? without_pruned(runs) : runs).map(run => token_element(f, run, top)));
    block.append(line);
  });
  const last = (f.first_line ?? 1) + lines.length - 1;
  if (hidden) block.append(hidden_lines(last - hidden + 1, last));
  find("code").dataset.shade = view.shade;
  find("code").replaceChildren(block);
}

function hidden_lines(first, last) {
  const named = first === last ? `line ${first}` : `lines ${first} to ${last}`;
  return make("div", { class: "line pruned" }, `${named}: pruned`);
}

// The tooltip of a token is made when the pointer reaches it.
function explain(event) {
  const element = event.target.closest?.("[data-value]"), f = functions[current];
  if (!element || element.title) return;
  const value = +element.dataset.value;
  element.title = f.tokens ? f.tokens[value].tip : value === data.layers ? "kept" : `removed in layer ${value + 1}`;
}
