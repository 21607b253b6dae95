// Keys, the address, colours, and the start.
function speak() {
  const f = functions[current], place = order.functions.indexOf(current);
  find("spoken").textContent = `${place < 0 ? "" : `${place + 1} of ${order.functions.length}: `}${f.name}, ${f.verdict}`;
}

function step(by) {
  if (!order.functions.length) return;
  const place = order.functions.indexOf(current);
  const next = place < 0 ? 0 : Math.max(0, Math.min(order.functions.length - 1, place + by));
  const in_list = find("list").contains(document.activeElement);
  open_function(order.functions[next]);
  if (find("name").getBoundingClientRect().top < 0) find("name").scrollIntoView(); // the reader was further down
  if (in_list) row_at(next).querySelector("a").focus({ preventScroll: true });
  speak();
}

function open_function(number) {
  history.replaceState(null, "", `#f${number}`);
  show(number);
}

function enter_function(number) {
  open_function(number);
  find("name").focus();
  speak();
}

function to_list() {
  const place = order.functions.indexOf(current);
  if (order.functions.length) row_at(Math.max(0, place)).querySelector("a").focus();
}

function change_layer(by) {
  const slider = find("layer");
  if (!slider) return;
  slider.value = +slider.value + by;
  redraw();
}

function escape(target) {
  if (target.closest("#filters") && target.value && target.id === "words") {
    target.value = "";
    arrange();
  } else to_list();
}

const KEYS = {
  n: () => step(1), j: () => step(1), p: () => step(-1), k: () => step(-1), "/": () => find("words").focus(),
  h: () => {
    if (!find("pruned")) return;
    find("pruned").value = find("pruned").value === "hide" ? "dim" : "hide";
    redraw();
  },
  ArrowRight: () => change_layer(1), ArrowLeft: () => change_layer(-1),
};

function on_key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { target, key } = event;
  if (key === "Escape") return escape(target);
  if (target.matches("input, select, textarea")) return;
  let action = key.length > 1 || find("keys").checked ? KEYS[key] : undefined;
  if (target.closest("#pane") && key === "ArrowDown") action = KEYS.n;
  if (target.closest("#pane") && key === "ArrowUp") action = KEYS.p;
  if (key.startsWith("Arrow") && target.matches("#code, .scroll") && target.scrollWidth > target.clientWidth) return;
  if (!action) return;
  event.preventDefault();
  action();
}

function follow_address() {
  const number = /^#f\d+$/.test(location.hash) ? +location.hash.slice(2) : -1;
  if (number < 0 || number >= functions.length) return false;
  show(number);
  return true;
}

function start_colours() {
  const choose = value => { document.documentElement.style.colorScheme = value; };
  try {
    find("theme").value = localStorage.getItem("ltp-colours") ?? "light dark";
  } catch { /* a page that is opened from a file may have no storage */ }
  if (find("theme").selectedIndex < 0) find("theme").selectedIndex = 0;
  choose(find("theme").value);
  find("theme").addEventListener("change", () => {
    choose(find("theme").value);
    try {
      localStorage.setItem("ltp-colours", find("theme").value);
    } catch { /* as above */ }
  });
}

start_colours();
if (functions.length) {
  start_list();
  start_function();
  document.addEventListener("keydown", on_key);
  window.addEventListener("hashchange", () => {
    if (follow_address()) enter_function(current);
  });
  if (!follow_address()) show(order.functions[0]);
}
