// What states are called and which colour and shape they have. Pure.
// Colours tell revisions apart; states have shapes and words as well, for whoever sees no colours.

/** Okabe and Ito's colours first: those that the colour-blind can tell apart. */
export const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a5fb5",
  "#b0413e", "#3b8686", "#8c9a2b"];
export const NONE = "#8a94a3"; // of a pod whose revision is not known

const colour = (number) => PALETTE[((number - 1) % PALETTE.length + PALETTE.length) % PALETTE.length];

/** The colour of each revision: Map("OWNER\0HASH" -> colour), OWNER as in a cell. */
export function coloursOf(rollouts) {
  const found = new Map();
  for (const rollout of rollouts) {
    rollout.revisions.forEach((one, index) => {
      const tint = colour(one.number || index + 1);
      found.set(`${rollout.key}\0${one.hash}`, tint);
      if (rollout.kind === "Deployment") {
        found.set(`ReplicaSet ${rollout.namespace}/${one.object}\0${one.hash}`, tint);
      }
    });
  }
  return found;
}

/** The colour of a pod. */
export const cellColour = (colours, cell) => colours.get(`${cell.owner}\0${cell.revision}`) ?? NONE;

/** The colour of a revision of a rollout. */
export const revisionColour = (rollout, revision) =>
  colour(revision.number || rollout.revisions.indexOf(revision) + 1);

/** Who owns the pods of a rollout, as in a cell: of a Deployment its ReplicaSets. */
export function ownersOf(rollout) {
  if (rollout.owners) return new Set(rollout.owners);
  if (rollout.kind !== "Deployment") return new Set([rollout.key]);
  return new Set(rollout.revisions.map((one) => `ReplicaSet ${rollout.namespace}/${one.object}`));
}

/** Rollouts that nobody else's are: no ReplicaSets of Deployments. */
export function topLevel(rollouts) {
  const all = [...rollouts], owned = new Set();
  for (const one of all) for (const of of ownersOf(one)) if (of !== one.key) owned.add(of);
  return all.filter((one) => !owned.has(one.key));
}

const WORDS = { ready: "Ready", "not-ready": "NotReady", unreachable: "Unreachable", gone: "no such Node" };

/** The one word that matters most of a node: what its tile looks like. */
export function lookOf(tile) {
  const faults = tile.faults;
  if (tile.process === "frozen") return "frozen";
  if (tile.process) return "killed"; // stopped, or has ended, is the same for the herd
  if (faults.includes("partition")) return "partitioned";
  if (tile.health && tile.health !== "ready") return tile.health;
  return tile.cordoned ? "cordoned" : tile.health;
}

/** All that is to be said of a node, the most important first: ["killed", "Unreachable"]. */
export function wordsOf(tile) {
  const faults = tile.faults, words = [];
  if (tile.process) words.push(tile.process === "down" ? "killed" : tile.process);
  for (const one of faults) {
    const said = { partition: "partitioned", crash: "killed", freeze: "frozen", stop: "stopped" }[one] ?? one;
    if (!words.includes(said) && !(tile.process && ["killed", "stopped"].includes(said))) words.push(said);
  }
  if (tile.cordoned && tile.health === "ready") words.push("cordoned");
  if (tile.health !== "ready" || !words.length || tile.cordoned) words.push(WORDS[tile.health] ?? tile.health);
  if (tile.cordoned && tile.health !== "ready") words.push("cordoned");
  return words;
}

/** How fresh a heartbeat is: {share (0 fresh ... 1 the grace period is over), late, age (seconds)}. */
export function beatOf(tile, now, speed) {
  if (!tile.beat) return { share: 1, late: false, age: null };
  const age = Math.max(now - tile.beat, 0), nominal = age * speed;
  return { share: Math.min(nominal / 50, 1), late: nominal > 20, age };
}
