// What the page shows, as the hash of its address and back. Pure.
//   #/herd?node=node-3&filter=app%3Dx&t=1764190800.5

const VIEWS = ["herd", "table", "timeline"];
const PANELS = ["events", "log", "requests", "processes"];
const TEXTS = ["node", "pod", "workload", "filter", "of", "from", "to"];

export const START = Object.freeze({
  view: "herd", node: "", pod: "", workload: "", filter: "", of: "", from: "", to: "",
  panel: "events", t: null, zoom: 1, x: 0, y: 0,
});

/** The state that a hash stands for; what it does not say, or says badly, is as at the start. */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const given = new URLSearchParams(query), found = { ...START };
  if (VIEWS.includes(path)) found.view = path;
  if (PANELS.includes(given.get("panel"))) found.panel = given.get("panel");
  for (const name of TEXTS) found[name] = given.get(name) ?? "";
  for (const name of ["t", "zoom", "x", "y"]) {
    const number = Number(given.get(name));
    if (given.has(name) && Number.isFinite(number)) found[name] = number;
  }
  found.zoom = Math.max(found.zoom, 1); // the map knows how much there can be
  return found;
}

/** The hash of a state: what is as at the start is left out. */
export function format(state) {
  const given = new URLSearchParams();
  for (const name of [...TEXTS, "panel", "t", "zoom", "x", "y"]) {
    if (state[name] === START[name] || state[name] === null) continue;
    const number = typeof state[name] === "number";
    given.set(name, number ? String(Math.round(state[name] * 1000) / 1000) : state[name]);
  }
  const query = String(given);
  return `#/${state.view}${query ? `?${query}` : ""}`;
}
