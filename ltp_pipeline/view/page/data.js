// The data of the page, and how elements are made. Texts only ever become text nodes or the values of fixed attributes.
const data = JSON.parse(document.getElementById("data").textContent);
const functions = data.functions;
const find = id => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== "") element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function shown(value, kind) {
  if (value === null || value === undefined) return "";
  return kind === "probability" ? value.toFixed(3) : kind === "number" ? value.toLocaleString("en") : value;
}

// A share of the strongest shade
function shade(element, share) {
  if (share > 0) element.style.setProperty("--shade", Math.min(1, share).toFixed(3));
}

let current = -1; // the function that is shown
