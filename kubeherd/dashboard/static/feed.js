// Below: events, the log of a process or pod, who asks the API server for what, and the processes.
import { button, clock, duration, el } from "./dom.js";

const TABS = [["events", "Events"], ["log", "Log"], ["requests", "Requests"], ["processes", "Processes"]];
const MOST = 150; // events

/** The tabs and the one that is chosen. */
export function feed(app, herd) {
  const { panel } = app.view;
  const body = { events, log, requests, processes }[panel](app, herd);
  return [el("div", { role: "tablist", class: "tabs" }, TABS.map(([id, name]) =>
    button("panel", id, name, { role: "tab", id: `tab-${id}`, "aria-selected": String(panel === id),
      "aria-controls": "body", "data-testid": `tab-${id}` }))),
  el("div", { id: "body", role: "tabpanel", "aria-labelledby": `tab-${panel}`, tabindex: 0, key: `body ${panel}`,
    "data-testid": `panel-${panel}` }, body)];
}

/** Whether a line of news is about what is selected. */
function concerns(app, herd, news) {
  const { node, pod, workload } = app.view, about = news.about ?? "";
  if (pod) return about === `Pod ${pod}`;
  if (node) {
    const pods = herd.nodes.get(node)?.pods ?? [];
    return about === `Node ${node}` || about === node
      || pods.some((one) => about === `Pod ${one.namespace}/${one.name}`)
      || news.text.split(/[^-\w.]+/).includes(node);
  }
  if (workload) return about.includes(workload.split(" ")[1]);
  return true;
}

function events(app, herd) {
  const chosen = app.view.pod || app.view.node || app.view.workload;
  const all = herd.news.filter((one) => concerns(app, herd, one)).slice(-MOST).reverse();
  const title = chosen && el("p", { class: "faint" }, `About ${chosen}`);
  if (!all.length) return [title, el("p", { class: "faint" },
    "Nothing has happened yet that the cluster still tells of.")];
  return [title, el("ol", { class: "news", "data-testid": "news" }, all.map((one) =>
    el("li", { class: one.what, key: `${one.at} ${one.about} ${one.text}`, "data-testid": "event" },
      el("time", {}, clock(one.at)),
      el("span", { class: "what" }, one.what),
      el("span", {}, one.about && el("b", {}, `${one.about} `), one.text))))];
}

function log(app, herd) {
  const of = app.view.of || (app.view.pod ? `pod=${app.view.pod}` : app.view.node ? `process=${app.view.node}` : "");
  const names = herd.processes.map((one) => one.name);
  const chooser = el("p", { class: "buttons" }, names.slice(0, 12).map((name) =>
    button("of", `process=${name}`, name, { "aria-pressed": String(of === `process=${name}`) })));
  if (!of) return [chooser, el("p", { class: "faint" }, "Choose a process, or select a node or a pod.")];
  const [kind, name] = of.split(/=(.*)/s);
  const found = app.load(`/api/log?${new URLSearchParams({ [kind]: name, lines: "500" })}`, 2);
  return [chooser, el("p", { class: "faint" },
    `Log of ${kind} ${name}${found.value?.truncated ? ", its end" : ""}, the newest first`
      + `${app.view.t === null ? "" : ", as it is now"}`),
    el("pre", { class: "log", "data-testid": "log", key: of },
      found.error || (found.value ? found.value.lines.slice().reverse().join("\n") || "It has said nothing." : "…"))];
}

function requests(app) {
  const found = app.load("/api/requests", 2), said = found.value;
  if (!said) return el("p", { class: "faint" }, found.error || "…");
  if (!said.rows.length) return el("p", {}, said.hint || "No requests in this time.");
  const head = ["Who", "Verb", "Resource", "Requests", "4xx", "5xx", "p50", "p99", "Last"];
  const ms = (value) => value === null || value === undefined ? ""
    : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  return [el("p", { class: "faint" }, `Requests to the API server in the last ${duration(said.window_s)}`),
    el("table", { class: "requests", "data-testid": "requests" },
      el("thead", {}, el("tr", {}, head.map((one) => el("th", { scope: "col" }, one)))),
      el("tbody", {}, said.rows.map((row) => el("tr", { key: `${row.who} ${row.verb} ${row.resource}` },
        el("th", { scope: "row" }, row.who), el("td", {}, row.verb), el("td", {}, row.resource),
        el("td", {}, String(row.count)),
        el("td", { class: row.errors_4xx ? "warn" : "faint" }, String(row.errors_4xx ?? 0)),
        el("td", { class: row.errors_5xx ? "bad" : "faint" }, String(row.errors_5xx ?? 0)),
        el("td", {}, ms(row.p50_ms)), el("td", {}, ms(row.p99_ms)),
        el("td", {}, row.last ? clock(row.last) : "")))))];
}

function processes(app, herd) {
  if (!herd.processes.length) return el("p", { class: "faint" },
    "Nothing is known of processes: this is not a cluster that kubeherd runs, or a moment before it said so.");
  const leads = new Map();
  for (const [lease, holder] of Object.entries(herd.leaders)) {
    leads.set(holder, [...(leads.get(holder) ?? []), lease.split("/").pop()]);
  }
  return el("table", { "data-testid": "processes" },
    el("thead", {}, el("tr", {}, ["Process", "State", "Leads", ""].map((one) => el("th", { scope: "col" }, one)))),
    el("tbody", {}, herd.processes.map((one) => el("tr", { key: one.name }, el("th", { scope: "row" }, one.name),
      el("td", { class: one.running && one.ready ? "good" : "bad" },
        one.running ? (one.ready ? "serves" : one.why || "starts or hangs") : `down${one.why ? `: ${one.why}` : ""}`),
      el("td", {}, (leads.get(one.name) ?? []).join(", ")),
      el("td", {}, button("of", `process=${one.name}`, "log", { "aria-label": `Log of ${one.name}` }))))));
}
