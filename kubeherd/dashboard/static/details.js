// What there is to know of the selected node or pod.
import { cellColour, coloursOf, ownersOf, wordsOf } from "./colours.js";
import { button, clock, duration, el, swatch } from "./dom.js";
import { yaml } from "./yaml.js";

const MOST_PODS = 120, MOST_UNBOUND = 12;
const AGAIN = 3; // seconds after which an object is asked for again

/** The details of what is selected; null if nothing is. */
export function details(app, herd) {
  const { node, pod } = app.view;
  const found = pod && podOf(herd, node, pod);
  if (pod) return found ? ofPod(app, herd, found)
    : [head("Pod", pod), el("p", {}, "There is no such pod at this moment.")];
  if (node) {
    const tile = herd.nodes.get(node);
    return tile ? ofNode(app, herd, tile)
      : [head("Node", node), el("p", {}, "There is no such node at this moment.")];
  }
  if (!app.selector.terms.length) return null;
  const nodes = [...herd.nodes.values()].filter((tile) => app.fits(tile)).map((tile) => tile.name);
  if (!nodes.length) return null;
  return [el("h2", {}, `${nodes.length} node${nodes.length === 1 ? "" : "s"} that match`),
    el("p", { class: "buttons" }, app.actions.ofNodes(nodes))];
}

function podOf(herd, node, pod) {
  const is = (one) => `${one.namespace}/${one.name}` === pod;
  const there = (herd.nodes.get(node)?.pods ?? []).find(is) ?? herd.unbound.find(is);
  if (there) return there;
  for (const tile of herd.nodes.values()) {
    const elsewhere = tile.pods.find(is);
    if (elsewhere) return elsewhere;
  }
  return null;
}

const head = (kind, name, ...more) => el("header", {}, el("h2", {}, el("small", {}, kind), ` ${name}`), ...more,
  button("close", "", "×", { "aria-label": "Close details", class: "quiet", "data-testid": "close" }));

const facts = (rows) => el("dl", { class: "facts" }, rows.filter(([, value]) => value)
  .map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));

function object(app, resource, namespace, name) {
  const query = new URLSearchParams({ resource, namespace, name });
  if (app.view.t !== null) query.set("t", String(app.view.t));
  const changes = app.view.t === null && app.session?.live && !app.live?.note;
  return app.load(`/api/object?${query}`, changes ? AGAIN : Infinity);
}

function ofNode(app, herd, tile) {
  const found = object(app, "nodes", "", tile.name), words = wordsOf(tile);
  const pods = tile.pods, colours = coloursOf(herd.rollouts.values());
  const labels = Object.entries(tile.labels);
  return [head("Node", tile.name),
    el("p", { class: `state ${tile.health === "ready" && !tile.process ? "good" : "bad"}`,
      "data-testid": "node-state" }, words.join(", ")),
    el("p", { class: "buttons places" }, app.actions.ofNode(tile),
      button("of", `process=${tile.name}`, "Log", { "data-testid": "node-log" })),
    facts([["zone", tile.zone],
      ["heartbeat", tile.beat ? `${duration(app.now() - tile.beat)} ago (${clock(tile.beat)})` : "never"],
      ["process", tile.process], ["faults", tile.faults.join(", ")],
      ["taints", tile.taints.length && tile.taints.map((one) => el("div", {}, `${one.key}:${one.effect}`))]]),
    conditions(found.value),
    el("h3", {}, `Pods (${pods.length})`),
    el("ul", { class: "pods" }, pods.slice(0, MOST_PODS).map((pod) => podLine(pod, colours)),
      pods.length > MOST_PODS && el("li", { class: "faint" }, `… and ${pods.length - MOST_PODS} more`)),
    labels.length > 0 && el("details", { key: "labels" }, el("summary", {}, `Labels (${labels.length})`),
      el("ul", { class: "labels" }, labels.map(([key, value]) => el("li", {}, `${key}=${value}`)))),
    source(found)];
}

function podLine(pod, colours) {
  return el("li", { key: pod.uid, "data-testid": "pod", "data-name": pod.name },
    button("pod", JSON.stringify({ node: pod.node, pod: `${pod.namespace}/${pod.name}` }),
      [swatch(cellColour(colours, pod), pod.look), el("span", {}, pod.name)], { class: "link" }),
    el("small", { class: pod.look === "failed" || pod.why ? "bad" : "faint" }, pod.why || pod.look,
      pod.restarts ? `, ${pod.restarts} restart${pod.restarts === 1 ? "" : "s"}` : ""));
}

function conditions(node) {
  const all = node?.status?.conditions ?? [];
  if (!all.length) return null;
  return el("table", { class: "conditions" }, el("tbody", {}, all.map((one) =>
    el("tr", { key: one.type, title: one.message ?? "" }, el("th", { scope: "row" }, one.type),
      el("td", { class: (one.type === "Ready") === (one.status === "True") ? "" : "bad" }, one.status),
      el("td", { class: "faint" }, one.reason ?? "")))));
}

function ofPod(app, herd, pod) {
  const rollout = [...herd.rollouts.values()].find((one) => ownersOf(one).has(pod.owner) && one.kind !== "ReplicaSet")
    ?? [...herd.rollouts.values()].find((one) => ownersOf(one).has(pod.owner));
  const revision = rollout?.revisions.find((one) => one.hash === pod.revision);
  const found = object(app, "pods", pod.namespace, pod.name);
  const colours = coloursOf(herd.rollouts.values());
  return [head("Pod", `${pod.namespace}/${pod.name}`),
    el("p", { class: `state ${pod.look === "ready" ? "good" : "bad"}`, "data-testid": "pod-state" },
      swatch(cellColour(colours, pod), pod.look), pod.look, pod.why ? `: ${pod.why}` : ""),
    el("p", { class: "buttons" }, button("of", `pod=${pod.namespace}/${pod.name}`, "Log",
      { "data-testid": "pod-log" })),
    facts([["node", pod.node ? button("node", pod.node, pod.node, { class: "link" }) : "none yet"],
      ["owner", rollout ? button("workload", rollout.key, rollout.key, { class: "link" }) : pod.owner],
      ["revision", revision ? `r${revision.number} ${(revision.images ?? []).join(" ")}` : pod.revision],
      ["cause", revision?.cause], ["restarts", String(pod.restarts ?? 0)]]),
    conditions(found.value), source(found)];
}

function source(found) {
  return el("details", { key: "yaml", class: "yaml" }, el("summary", {}, "YAML"),
    el("pre", { tabindex: 0, "aria-label": "YAML", "data-testid": "yaml" }, found.value ? yaml(found.value) : found.error || "…"));
}

/** The faults in force; null if there are none. */
export function faults(app, herd) {
  if (!herd.faults.length) return null;
  return [el("h2", {}, `Faults (${herd.faults.length})`), el("ul", {}, herd.faults.map((one) =>
    el("li", { key: one.id, "data-testid": "fault", "data-name": one.id }, el("span", {}, one.text || one.kind,
      one.since ? el("small", { class: "faint" }, ` for ${duration(app.now() - one.since)}`) : ""),
    app.actions.heal(one))))];
}

/** Pods that are on no node; null if there are none. */
export function unbound(app, herd) {
  const pods = herd.unbound, colours = coloursOf(herd.rollouts.values());
  if (!pods.length) return null;
  return [el("h2", {}, `Pods without a node (${pods.length})`), el("ul", { class: "pods" },
    pods.slice(0, MOST_UNBOUND).map((pod) => podLine(pod, colours)),
    pods.length > MOST_UNBOUND && el("li", { class: "faint" }, `… and ${pods.length - MOST_UNBOUND} more`))];
}

/** What is under the pointer. */
export function hovered(app, tile, pod) {
  if (pod) {
    const restarts = pod.restarts ? `, ${pod.restarts} restarts` : "";
    return [el("b", {}, pod.name), el("div", {}, `${pod.why || pod.look}${restarts}`), el("div", {}, pod.owner)];
  }
  const unwell = tile.pods.filter((one) => one.look !== "ready");
  return [el("b", {}, tile.name), el("div", {}, wordsOf(tile).join(", ")),
    el("div", {}, tile.beat ? `heartbeat ${duration(app.now() - tile.beat)} ago` : "no heartbeat yet"),
    el("div", {}, `${tile.pods.length} pods${tile.zone ? `, ${tile.zone}` : ""}`),
    unwell.slice(0, 4).map((one) => el("div", {}, `${one.name}: ${one.why || one.look}`))];
}
