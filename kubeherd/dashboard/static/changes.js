// The herd as the page keeps it, and what a change makes of it. Pure.

const MOST_NEWS = 300;

/** From the whole state that the server sends: lists become maps; times are the server's. */
export function herdOf(state) {
  return {
    ...state,
    speed: state.speed || 1,
    note: state.note ?? "",
    nodes: new Map((state.nodes ?? []).map((tile) => [tile.name, known(tile)])),
    unbound: state.unbound ?? [],
    rollouts: new Map((state.rollouts ?? []).map((one) => [one.key, followed(one)])),
    faults: state.faults ?? [],
    processes: state.processes ?? [],
    leaders: state.leaders ?? {},
    news: state.news ?? [],
  };
}

/** A workload, likewise. */
function followed(rollout) {
  return { desired: 0, updated: 0, available: 0, unavailable: 0, budget: 0, surge: 0, revisions: [], holds_up: [],
    paused: false, observed: true, done: false, ...rollout };
}

/** A tile with what was left out, since it is as usual. */
function known(tile) {
  return { health: "gone", zone: "", pods: [], faults: [], taints: [], labels: {}, process: "", beat: 0, ...tile };
}

/**
 * Apply a change to a herd, in place. Gives {ok, nodes, moved}: `ok` is false if the change does not
 * follow the herd's sequence (a whole state is needed then), `nodes` is the Set of names of those of
 * which more than the heartbeat changed, `moved` is true if tiles came, went or changed zones.
 */
export function apply(herd, change) {
  const seen = { ok: change.since === herd.sequence, nodes: new Set(), moved: false };
  if (!seen.ok) return seen;
  for (const tile of change.nodes ?? []) {
    const before = herd.nodes.get(tile.name);
    if (!before || before.zone !== tile.zone) seen.moved = true;
    herd.nodes.set(tile.name, known(tile));
    seen.nodes.add(tile.name);
  }
  for (const name of change.gone ?? []) seen.moved = herd.nodes.delete(name) || seen.moved;
  for (const [name, beat] of Object.entries(change.beats ?? {})) {
    const tile = herd.nodes.get(name);
    if (tile) tile.beat = beat; // drawn with the next second's ageing
  }
  for (const one of change.rollouts ?? []) herd.rollouts.set(one.key, followed(one));
  for (const key of change.rollouts_gone ?? []) herd.rollouts.delete(key);
  for (const name of ["unbound", "faults", "processes", "leaders", "note"]) {
    if (change[name] !== undefined) herd[name] = change[name];
  }
  if (change.news?.length) herd.news = [...herd.news, ...change.news].slice(-MOST_NEWS);
  for (const name of ["sequence", "at", "revision"]) {
    if (change[name] !== undefined) herd[name] = change[name];
  }
  return seen;
}
