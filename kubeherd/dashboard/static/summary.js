// The herd in numbers and in a sentence. Pure.
import { ownersOf, topLevel } from "./colours.js";

/** {nodes, ready, pods, podsReady, waiting (pods without a node), faults, violations (of promises)} */
export function countsOf(herd) {
  const found = { nodes: 0, ready: 0, pods: 0, podsReady: 0,
    waiting: herd.unbound.length,
    faults: herd.faults.length, violations: herd.news.filter((one) => one.what === "violation").length };
  for (const tile of herd.nodes.values()) {
    if (tile.health !== "gone") found.nodes += 1;
    if (tile.health === "ready") found.ready += 1;
    for (const pod of tile.pods) {
      found.pods += 1;
      if (pod.look === "ready") found.podsReady += 1;
    }
  }
  found.pods += found.waiting;
  return found;
}

/** What matters, in a sentence or two: for those who hear the page. */
export function sentence(herd) {
  const count = countsOf(herd);
  const parts = [`${count.ready} of ${count.nodes} nodes Ready`, `${count.podsReady} of ${count.pods} pods ready`];
  if (count.violations) parts.push(`${count.violations} violation${count.violations === 1 ? "" : "s"} of a promise`);
  if (count.faults) parts.push(`${count.faults} fault${count.faults === 1 ? "" : "s"} in force`);
  for (const one of topLevel(herd.rollouts.values())) {
    if (!one.done) parts.push(`${one.key} ${one.updated}/${one.desired} updated`);
  }
  return `${parts.slice(0, 6).join("; ")}.`;
}

/** All pods, counted: Map(owner -> Map(hash -> {ready, other})). */
export function podsByOwner(herd) {
  const found = new Map();
  const count = (pod) => {
    let owned = found.get(pod.owner);
    if (!owned) found.set(pod.owner, owned = new Map());
    let of = owned.get(pod.revision);
    if (!of) owned.set(pod.revision, of = { ready: 0, other: 0 });
    of[pod.look === "ready" ? "ready" : "other"] += 1;
  };
  for (const tile of herd.nodes.values()) tile.pods.forEach(count);
  herd.unbound.forEach(count);
  return found;
}

/** Those of a rollout, by revision: Map(hash -> {ready, other}). */
export function podsOf(counted, rollout) {
  const found = new Map();
  for (const owner of ownersOf(rollout)) {
    for (const [hash, { ready, other }] of counted.get(owner) ?? []) {
      const of = found.get(hash) ?? { ready: 0, other: 0 };
      found.set(hash, { ready: of.ready + ready, other: of.other + other });
    }
  }
  return found;
}

/** How a rollout is, in a word or two. */
export function stateOf(rollout) {
  if (rollout.paused && !rollout.done) return "paused";
  if (rollout.done) return "up to date";
  if ((rollout.updated) < (rollout.desired)) return rollout.holds_up.length ? "held up" : "rolling";
  return rollout.observed === false ? "not yet seen" : "not all available";
}

/** One sample of the strip: [at, nodes, ready, pods, podsReady, faults, desired, updated, unavailable]. */
export function sampleOf(herd, at) {
  const count = countsOf(herd);
  let desired = 0, updated = 0, unavailable = 0;
  for (const one of topLevel(herd.rollouts.values())) {
    desired += one.desired;
    updated += one.updated;
    unavailable += one.unavailable;
  }
  return [at, count.nodes, count.ready, count.pods, count.podsReady, count.faults, desired, updated, unavailable];
}
