// Elements from values. Text is text everywhere: nothing here takes HTML.

/**
 * An element. `props`: class, data-*, aria-*, other attributes; `style` is an object (set through the
 * CSSOM, as the content security policy wants it); false, null and undefined are left out.
 * `key` says which of its siblings an element is from one rendering to the next.
 */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "style") for (const [key, one] of Object.entries(value)) made.style.setProperty(key, one);
    else if (name === "key") made.dataset.key = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(9).filter((one) => one !== null && one !== undefined && one !== false && one !== ""));
  return made;
}

/** A button that does a command of the page, with an argument. */
export function button(command, arg, label, props = {}) {
  return el("button", { type: "button", "data-do": command, "data-arg": arg, ...props }, label);
}

/** Make the children of `parent` like `wanted`; what stays the same stays, with focus and scroll. */
export function render(parent, ...wanted) {
  const next = wanted.flat(9).filter(Boolean);
  let old = parent.firstChild;
  const keyed = new Map();
  for (const child of parent.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  for (const one of next) {
    const made = typeof one === "string" ? document.createTextNode(one) : one;
    const key = made.dataset?.key, same = key ? keyed.get(key) : old;
    keyed.delete(key); // another of the same key is another element
    if (same && alike(same, made)) {
      if (same === old) old = old.nextSibling;
      else parent.insertBefore(same, old);
      patch(same, made);
    } else parent.insertBefore(made, old);
  }
  while (old) { const after = old.nextSibling; old.remove(); old = after; }
}

function alike(a, b) {
  return a.nodeName === b.nodeName && a.dataset?.key === b.dataset?.key;
}

function patch(old, made) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== made.data) old.data = made.data;
    return;
  }
  const wanted = new Set(made.getAttributeNames());
  const kept = old.tagName === "DETAILS" ? "open" : ""; // whether it is open is the reader's
  for (const name of old.getAttributeNames()) {
    if (!wanted.has(name) && name !== "style" && name !== kept) old.removeAttribute(name);
  }
  for (const name of wanted) {
    const value = made.getAttribute(name);
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.style.cssText !== made.style.cssText) old.style.cssText = made.style.cssText;
  render(old, ...made.childNodes);
}

/** What the server refused: `status` (0: it could not be reached), and `said`, all that it answered. */
export class Refused extends Error {
  constructor(status, text, said = {}) { super(text); Object.assign(this, { status, said }); }
}

/** JSON of a route; throws `Refused` with what the server said. */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "the dashboard's server cannot be reached");
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, said.error ?? `the server answered ${answer.status}`, said);
  return said;
}

/** 14:03:09 of a moment in epoch seconds. */
export function clock(at) {
  const when = new Date(at * 1000), two = (number) => String(number).padStart(2, "0");
  return `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
}

/** 3 s, 2 min, 1.5 h */
export function duration(seconds) {
  if (seconds < 10) return `${Math.max(seconds, 0).toFixed(seconds < 1 ? 1 : 0)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** A square in the colour of a revision. */
export const swatch = (colour, look = "ready") =>
  el("i", { class: `swatch ${look}`, style: { "--tint": colour }, "aria-hidden": "true" });
