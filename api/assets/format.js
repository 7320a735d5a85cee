// Numbers, times and elements. Posts are hostile input: text only ever becomes a text node.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export const MINUTE = 60e3, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const UNKNOWN = "–";
const integer = new Intl.NumberFormat("en");
const two = (n) => String(n).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export const count = (n) => (n === null || n === undefined ? UNKNOWN : integer.format(n));
export const amount = (n) => (n === null || n === undefined ? UNKNOWN : integer.format(Number(n.toPrecision(3))));
export const percent = (n, digits = 0) => (n === null || n === undefined ? UNKNOWN : `${(n * 100).toFixed(digits)} %`);
export function signed(n, digits = 2) {
  if (n === null || n === undefined) return UNKNOWN;
  const text = Math.abs(n).toFixed(digits);
  return `${Number(text) === 0 ? "±" : n > 0 ? "+" : "−"}${text}`;
}

export const direction = (n, margin = 0.005) => (n === null || n === undefined || Math.abs(n) < margin ? "" : n > 0 ? "up" : "down");
export const assetName = (asset) => (asset === "*" ? "All posts" : asset);

// +48 %, ×7.2, new
export function change(now, before) {
  if (now === null || before === null || now === undefined || before === undefined) return UNKNOWN;
  if (before === 0) return now > 0 ? "new" : "±0 %";
  const ratio = now / before;
  if (ratio >= 3) return `×${ratio >= 10 ? Math.round(ratio) : ratio.toFixed(1)}`;
  return `${ratio > 1 ? "+" : ratio < 1 ? "−" : "±"}${Math.abs(Math.round((ratio - 1) * 100))} %`;
}

export function clock(ms) {
  const t = new Date(ms);
  return `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}`;
}

export function day(ms, year = false) {
  const t = new Date(ms);
  return `${t.getUTCDate()} ${MONTHS[t.getUTCMonth()]}${year ? ` ${t.getUTCFullYear()}` : ""}`;
}

export const moment = (ms) => `${day(ms, true)}, ${clock(ms)} UTC`;

// How long before `now`, which is the newest time of the data, not of the wall clock.
export function ago(ms, now) {
  const past = now - ms;
  if (past < MINUTE) return "just now";
  if (past < HOUR) return `${Math.floor(past / MINUTE)} min ago`;
  if (past < 2 * DAY) return `${Math.floor(past / HOUR)} h ago`;
  return `${Math.floor(past / DAY)} d ago`;
}

export function span(from, to) {
  return day(from) === day(to - 1) ? `${day(from)}, ${clock(from)}–${clock(to)} UTC` : `${day(from)}, ${clock(from)} – ${day(to)}, ${clock(to)} UTC`;
}

export const webLink = (url) => (typeof url === "string" && /^https?:\/\//i.test(url) ? url : null);

export function segments(container, options, chosen, choose) {
  container.replaceChildren(...options.map(([value, label]) =>
    h("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => choose(value) }, label)));
}

export function empty(title, text) {
  return h("p", { class: "empty" }, h("b", {}, title), text);
}
