// Workloads: how far they are, what holds them up, and their revisions.
import { revisionColour, topLevel } from "./colours.js";
import { button, el, swatch } from "./dom.js";
import { podsByOwner, podsOf, stateOf } from "./summary.js";

const MOST = 40; // cards

/** A card for each workload; the one looked at shows its whole history. */
export function workloads(app, herd) {
  const all = topLevel(herd.rollouts.values())
    .sort((a, b) => Number(a.done) - Number(b.done) || (a.key < b.key ? -1 : 1));
  if (!all.length) return [el("h2", {}, "Workloads"),
    el("p", { class: "faint" }, "No workloads yet. kubectl apply -f a DaemonSet, and it appears here.")];
  const first = all.findIndex((one) => one.key === app.view.workload);
  if (first > 0) all.unshift(...all.splice(first, 1));
  const left = all.length - MOST, counted = podsByOwner(herd);
  return [el("h2", {}, "Workloads"), ...all.slice(0, MOST).map((one) => card(app, counted, one)),
    left > 0 && el("p", { class: "faint" }, `… and ${left} more`)];
}

function card(app, counted, rollout) {
  const open = app.view.workload === rollout.key, state = stateOf(rollout);
  const pods = podsOf(counted, rollout);
  return el("article", { class: `load ${open ? "open" : ""}`, key: rollout.key, "data-testid": "workload",
    "data-name": rollout.key },
    el("header", {},
      button("workload", rollout.key, [el("small", {}, rollout.kind), ` ${rollout.namespace}/${rollout.name}`],
        { class: "name", "aria-expanded": String(open),
          title: open ? "Show all workloads alike" : "Show only its pods in the herd, and its history" }),
      el("span", { class: `pill ${state.replaceAll(" ", "-")}`, "data-testid": "workload-state" }, state)),
    progress(rollout, pods), available(rollout),
    rollout.holds_up.length > 0 && el("ul", { class: "why", "data-testid": "holds-up" },
      rollout.holds_up.map((one) => el("li", {}, one))),
    revisions(app, rollout, pods, open),
    open && actions(app, rollout), open && difference(app, rollout));
}

const share = (part, whole) => `${whole ? Math.min(part / whole, 1) * 100 : 0}%`;

function progress(rollout, pods) {
  const newest = [...rollout.revisions].reverse(), desired = rollout.desired;
  let all = 0;
  for (const { ready, other } of pods.values()) all += ready + other;
  const whole = Math.max(desired, all), parts = [];
  for (const one of newest) {
    const { ready, other } = pods.get(one.hash) ?? { ready: 0, other: 0 }, tint = revisionColour(rollout, one);
    if (ready) parts.push(el("i", { class: "ready", style: { width: share(ready, whole), "--tint": tint },
      title: `r${one.number}: ${ready} ready` }));
    if (other) parts.push(el("i", { class: "other", style: { width: share(other, whole), "--tint": tint },
      title: `r${one.number}: ${other} not ready` }));
  }
  const updated = rollout.updated;
  return [el("div", { class: "bar", role: "progressbar", "aria-label": `${rollout.key}: updated`, "aria-valuemin": 0,
    "aria-valuemax": desired, "aria-valuenow": Math.min(updated, desired) }, parts),
  el("p", { class: "numbers" }, number("updated", updated), el("span", { class: "faint" }, " of "),
    number("desired", desired), " updated")];
}

const number = (name, value) => el("b", { "data-testid": name }, String(value));

function available(rollout) {
  const desired = rollout.desired, got = rollout.available, budget = rollout.budget;
  const down = rollout.unavailable, spent = budget > 0 && down >= budget;
  const said = [number("available", got), " available, ", number("unavailable", down), " unavailable"];
  if (budget) said.push(el("span", { class: spent ? "warn" : "faint" }, " of at most ", number("budget", budget),
    spent ? ": budget spent" : ""));
  if (rollout.surge) said.push(el("span", { class: "faint" }, `, +${rollout.surge} surge`));
  return [el("div", { class: "bar thin", "aria-hidden": "true" },
    el("i", { class: "good", style: { width: share(got, desired) } }), down > 0 && el("i", { class: "missing" }),
    budget > 0 && budget < desired && el("s",
      { style: { left: share(desired - budget, desired) },
      title: `at least ${desired - budget} have to be available` })),
  el("p", { class: "numbers" }, said)];
}

function revisions(app, rollout, pods, open) {
  const all = [...rollout.revisions].reverse();
  const shown = open ? all : all.filter((one, index) => index === 0 || pods.has(one.hash));
  return el("ol", { class: "revisions" }, shown.map((one) => {
    const { ready, other } = pods.get(one.hash) ?? { ready: 0, other: 0 }, wanted = one === all[0];
    return el("li", { key: one.hash || one.object, "data-testid": "revision", "data-revision": String(one.number),
      "data-hash": one.hash, "data-colour": revisionColour(rollout, one) },
      swatch(revisionColour(rollout, one)), el("b", {}, `r${one.number}`), " ",
      one.images.map(short).join(" "), wanted && el("em", {}, " wanted"),
      el("span", { class: "faint" }, ` ${ready + other} pod${ready + other === 1 ? "" : "s"}`),
      one.cause && el("q", { title: "change cause" }, one.cause),
      open && !wanted && el("span", { class: "buttons" },
        button("diff", String(one.number), "diff to wanted",
          { "aria-pressed": String(app.view.from === String(one.number)) }),
        ["DaemonSet", "Deployment", "StatefulSet"].includes(rollout.kind) &&
          app.actions.button("roll-back", { workload: rollout.key, revision: one.number }, { label: "roll back to this" })));
  }));
}

/** web:1.2 of registry.example/team/web:1.2 */
const short = (image) => image.split("/").pop();

function actions(app, rollout) {
  return el("p", { class: "buttons" }, app.actions.ofWorkload(rollout));
}

function difference(app, rollout) {
  const wanted = rollout.revisions.at(-1);
  if (!app.view.from || !wanted) return null;
  const query = new URLSearchParams({ workload: rollout.key, from: app.view.from, to: String(wanted.number) });
  if (app.view.t !== null) query.set("t", String(app.view.t));
  const found = app.load(`/api/diff?${query}`, 30);
  const lines = found.value?.lines ?? [];
  return [el("h3", {}, `From r${app.view.from} to r${wanted.number}`),
    el("pre", { class: "diff", "data-testid": "diff", tabindex: 0, "aria-label": "Difference",
      "aria-busy": String(!found.value) },
      found.error || (found.value && !lines.length ? "The templates are the same." : lines.map(([sign, text]) =>
        el("span", { class: { "+": "added", "-": "removed" }[sign] ?? "" }, `${sign} ${text}\n`))))];
}
