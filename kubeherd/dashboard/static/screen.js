// What is around the map, made of the herd that is shown and of the address.
import { coloursOf } from "./colours.js";
import { details, faults, unbound } from "./details.js";
import { button, clock, duration, el, render } from "./dom.js";
import { feed } from "./feed.js";
import { countsOf, sentence } from "./summary.js";
import { table } from "./table.js";
import { workloads } from "./workloads.js";

const SPEAK_EVERY = 10; // seconds between what is said to those who hear the page
const VIEWS = [["herd", "Map", "Nodes by zone (m)"], ["table", "Table", "The same as a table (t)"],
  ["timeline", "Timeline", "Nodes by time (n)"]];
const $ = (id) => document.getElementById(id);

export class Screen {
  constructor(app) {
    this.app = app;
    this.spoken = 0;
  }

  draw() {
    const { app } = this, herd = app.shown();
    render($("tools"), this.tools());
    if (!herd) return;
    render($("summary"), this.summary(herd));
    render($("moment"), this.when());
    document.body.classList.toggle("past", this.app.view.t !== null);
    this.place(herd);
    this.shows("details", details(this.app, herd));
    this.shows("faults", faults(this.app, herd));
    this.shows("unbound", unbound(this.app, herd));
    render($("workloads"), workloads(this.app, herd));
    $("workloads").dataset.sequence = herd.sequence;
    render($("panel"), feed(this.app, herd));
    this.filtered(herd);
    this.speak(herd);
  }

  /** The large place: map, table or nodes by time; and the strip below. */
  place(herd) {
    const { view } = this.app.view;
    $("field").hidden = $("below").hidden = view !== "herd";
    $("table").hidden = view !== "table";
    $("chart").hidden = view !== "timeline";
    if (view === "table") render($("table"), table(this.app, herd));
    this.app.strip.draw();
    if (view === "timeline") this.app.chart.draw(coloursOf((this.app.live ?? herd).rollouts.values()));
  }

  shows(id, parts) {
    $(id).hidden = !parts;
    render($(id), parts ?? []);
  }

  summary(herd) {
    const count = countsOf(herd), sick = count.nodes - count.ready;
    const chip = (name, text, mood) => el("span",
      { class: `chip ${mood}`, key: name, "data-testid": `count-${name}` }, text);
    const nodes = [el("b", {}, `${count.ready}/${count.nodes}`), " nodes Ready"];
    return [el("span", { class: `chip ${sick ? "bad" : "good"}`, key: "nodes", "data-testid": "count-nodes" },
      button("trouble", "", nodes, { class: "quiet", title: "To the next node with which something is wrong (e)" })),
      chip("pods", [el("b", {}, `${count.podsReady}/${count.pods}`), " pods ready"],
        count.podsReady < count.pods ? "warn" : "good"),
      count.waiting > 0 && chip("waiting", [el("b", {}, String(count.waiting)), " without a node"], "warn"),
      count.violations > 0 && chip("violations", [el("b", {}, String(count.violations)),
        count.violations === 1 ? " violation" : " violations"], "bad"),
      count.faults > 0 && chip("faults", [el("b", {}, String(count.faults)),
        count.faults === 1 ? " fault" : " faults"], "hurt")];
  }

  when() {
    if (this.app.view.t !== null) {
      const back = Math.max(this.app.strip.end - this.app.view.t, 0);
      return [el("span", { class: "pill past", "data-testid": "past" }, `PAST ${clock(this.app.view.t)}`,
        el("small", {}, ` ${duration(back)} ago`)),
        this.play(), button("live", "", this.app.session?.live ? "Back to live" : "To the end",
          { class: "main", "data-testid": "live" })];
    }
    const live = this.app.session?.live ?? true;
    const cut = this.app.lost || this.app.live?.note, said = cut ? "CUT OFF" : live ? "LIVE" : "RECORDED";
    return [!live && this.play(), el("span", { class: `pill ${cut ? "cut" : live ? "live" : ""}`, "data-testid": "now" },
      said, el("small", {}, ` ${clock(this.app.now())}`))];
  }

  /** To see what happened go by. */
  play() {
    const { playing, rate } = this.app;
    return el("span", { class: "views" }, button("play", "", playing ? "❚❚ Pause" : "▶ Play",
      { "data-testid": "play", "aria-pressed": String(playing) }),
      button("rate", "", `×${rate}`, { "aria-label": `Played ${rate} times as fast`,
        title: "How fast it is played" }));
  }

  tools() {
    const dark = document.documentElement.dataset.theme;
    const speed = this.app.live?.speed ?? 1;
    return [this.app.actions.button("add-nodes", {}, { label: "+ nodes" }),
      this.app.actions.button("speed", { speed }, { label: `speed ×${speed}` }),
      el("span", { class: "views", role: "group", "aria-label": "View" }, VIEWS.map(([view, name, title]) =>
        button("view", view, name, { "aria-pressed": String(this.app.view.view === view),
          "data-testid": `view-${view}`, title }))),
      button("theme", "", { dark: "Dark", light: "Light" }[dark] ?? "Auto",
        { title: "Light, dark, or as the system is", "aria-label": `Colours: ${dark || "as the system"}` }),
      button("help", "", "?", { "aria-label": "Help", "data-testid": "help" })];
  }

  filtered(herd) {
    let said = this.app.selector.error;
    if (!said && this.app.selector.terms.length) {
      said = `${[...herd.nodes.values()].filter((tile) => this.app.fits(tile)).length} of ${herd.nodes.size}`;
    }
    $("filter-said").textContent = said;
    $("filter").setAttribute("aria-invalid", String(Boolean(this.app.selector.error)));
  }

  speak(herd) {
    if (performance.now() / 1000 - this.spoken < SPEAK_EVERY) return;
    this.say(`${this.app.view.t === null ? "" : `At ${clock(this.app.view.t)}: `}${sentence(herd)}`);
  }

  /** To those who hear the page. */
  say(text) {
    this.spoken = performance.now() / 1000;
    if ($("said").textContent !== text) $("said").textContent = text;
  }
}
