// The list: filters, order, and rows, which are made as they come near the view.
const ROWS = 100; // that are made at a time
const compare_texts = new Intl.Collator("en", { numeric: true }).compare; // a.c:9 comes before a.c:10
const words_of = functions.map(f => data.columns.map((column, i) => (column.kind === "text" ? f.cells[i] : ""))
  .join("\n").toLowerCase());
const order = { functions: [], made: 0, column: -1, down: false };

function passes(number, words, tests) {
  return words.every(word => words_of[number].includes(word)) && tests.every(({ column, test, value }) => {
    const cell = functions[number].cells[column];
    return test === "is" ? String(cell) === value : test === "least" ? cell >= +value : cell <= +value;
  });
}

function arrange() {
  const words = find("words").value.toLowerCase().split(/\s+/).filter(Boolean);
  const tests = [...document.querySelectorAll("[data-test]")].filter(control => control.value !== "")
    .map(control => ({ ...control.dataset, value: control.value }));
  const found = functions.map((_, number) => number).filter(number => passes(number, words, tests));
  if (order.column >= 0) {
    const cell = number => functions[number].cells[order.column];
    const compare = data.columns[order.column].kind === "text"
      ? (a, b) => compare_texts(cell(a), cell(b)) : (a, b) => cell(a) - cell(b);
    found.sort((a, b) => (order.down ? -compare(a, b) : compare(a, b)) || a - b);
  }
  order.functions = found;
  order.made = 0;
  find("rows").tBodies[0].replaceChildren();
  find("rows").setAttribute("aria-rowcount", found.length + 1);
  find("pane").scrollTop = 0;
  make_rows();
  const all = functions.length.toLocaleString("en");
  find("count").textContent = found.length === functions.length ? `${all} functions`
    : `${found.length.toLocaleString("en")} of ${all} functions`;
}

function make_rows() {
  const end = Math.min(order.made + ROWS, order.functions.length);
  const rows = order.functions.slice(order.made, end).map((number, i) => row_of(number, order.made + i));
  order.made = end;
  find("rows").tBodies[0].append(...rows);
}

function row_of(number, place) {
  const link_column = Math.max(0, data.columns.findIndex(column => column.filter === "words"));
  const row = make("tr", { "data-function": number, "aria-rowindex": place + 2 });
  data.columns.forEach((column, i) => {
    const text = shown(functions[number].cells[i], column.kind);
    const cell = make("td", { class: column.cut_begin ? "text path" : column.kind, title: column.kind === "text" ? text : "" });
    const first = current < 0 ? place === 0 : number === current;
    cell.append(i === link_column
      ? make("a", { href: `#f${number}`, tabindex: first ? 0 : -1 }, text || functions[number].name) : make("bdi", {}, text));
    row.append(cell);
  });
  if (number === current) mark(row, true);
  return row;
}

function row_at(place) {
  while (place >= order.made && order.made < order.functions.length) make_rows();
  return find("rows").tBodies[0].rows[place];
}

function mark(row, is_current) {
  row.classList.toggle("now", is_current);
  const link = row.querySelector("a");
  link.tabIndex = is_current ? 0 : -1;
  if (is_current) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
}

// Marks the row of the current function and makes it visible in the list.
function mark_current() {
  document.querySelectorAll("#rows a[tabindex='0']").forEach(link => mark(link.closest("tr"), false));
  const place = order.functions.indexOf(current);
  if (place < 0) return;
  const row = row_at(place), pane = find("pane");
  mark(row, true);
  const head = find("rows").tHead.offsetHeight;
  if (row.offsetTop < pane.scrollTop + head) pane.scrollTop = row.offsetTop - head;
  else if (row.offsetTop + row.offsetHeight > pane.scrollTop + pane.clientHeight) {
    pane.scrollTop = row.offsetTop + row.offsetHeight - pane.clientHeight;
  }
}

function sort_by(column) {
  const kind = data.columns[column].kind;
  order.down = order.column === column ? !order.down : kind !== "text"; // numbers: the largest first
  order.column = column;
  document.querySelectorAll("[data-sort]").forEach(button => {
    const sorted = +button.dataset.sort === column;
    button.parentElement.setAttribute("aria-sort", sorted ? (order.down ? "descending" : "ascending") : "none");
  });
  arrange();
}

function start_list() {
  data.columns.forEach((column, i) => {
    if (column.filter !== "choice") return;
    const values = [...new Set(functions.map(f => String(f.cells[i])))].sort(compare_texts);
    const menu = document.querySelector(`select[data-column="${i}"]`);
    menu.append(...values.filter(Boolean).map(value => make("option", { value }, value)));
    menu.value = column.initial;
  });
  document.querySelectorAll("[data-sort]")
    .forEach(button => button.addEventListener("click", () => sort_by(+button.dataset.sort)));
  const filters = find("filters");
  filters.addEventListener("input", arrange);
  filters.addEventListener("reset", () => setTimeout(arrange)); // after the controls are empty
  filters.addEventListener("submit", event => event.preventDefault());
  find("rows").tBodies[0].addEventListener("click", event => {
    const row = event.target.closest("tr");
    if (!row || event.ctrlKey || event.metaKey || event.shiftKey) return; // a link may be opened in another tab
    event.preventDefault();
    enter_function(+row.dataset.function);
  });
  new IntersectionObserver(entries => entries.some(entry => entry.isIntersecting) && make_rows(),
    { root: find("pane"), rootMargin: "800px" }).observe(find("more"));
  arrange();
}
