// The herd as a table: for screen readers, phones, and whoever likes tables.
import { wordsOf } from "./colours.js";
import { button, duration, el } from "./dom.js";
import { natural } from "./layout.js";

const MOST = 300; // rows

/** Nodes that pass the filter, a row each. */
export function table(app, herd) {
  const all = [...herd.nodes.values()].filter((tile) => app.fits(tile))
    .sort((a, b) => natural(a.zone ?? "", b.zone ?? "") || natural(a.name, b.name));
  const head = ["Node", "State", "Zone", "Heartbeat", "Pods ready", "Taints"];
  return [el("table", {}, el("caption", { class: "unseen" }, "Nodes"),
    el("thead", {}, el("tr", {}, head.map((one) => el("th", { scope: "col" }, one)))),
    el("tbody", {}, all.slice(0, MOST).map((tile) => row(app, tile)))),
  all.length > MOST && el("p", { class: "faint" }, `… and ${all.length - MOST} more: filter to see them`)];
}

function row(app, tile) {
  const pods = tile.pods, ready = pods.filter((pod) => pod.look === "ready").length;
  return el("tr", { key: tile.name, "aria-current": app.view.node === tile.name ? "true" : false,
    "data-testid": "row", "data-name": tile.name },
    el("th", { scope: "row" }, button("node", tile.name, tile.name, { class: "link" })),
    el("td", { class: tile.health === "ready" && !tile.process ? "" : "bad" }, wordsOf(tile).join(", ")),
    el("td", {}, tile.zone),
    el("td", {}, tile.beat ? `${duration(app.now() - tile.beat)} ago` : "never"),
    el("td", {}, `${ready}/${pods.length}`),
    el("td", {}, tile.taints.map((one) => `${one.key}:${one.effect}`).join(", ")));
}
