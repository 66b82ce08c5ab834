// The page: what is shown, from where, and what a click or a key does.
import { Actions } from "./actions.js";
import { herdOf } from "./changes.js";
import { Chart } from "./chart.js";
import { lookOf, wordsOf } from "./colours.js";
import { hovered } from "./details.js";
import { ask, clock, duration, el, render } from "./dom.js";
import { help } from "./help.js";
import { HerdView } from "./herd.js";
import { key } from "./keys.js";
import { legend } from "./legend.js";
import { Screen } from "./screen.js";
import { matches, parse as parseSelector, suggestions } from "./selector.js";
import { Stream } from "./stream.js";
import { Strip } from "./strip.js";
import { nextTheme } from "./theme.js";
import * as url from "./url.js";

const PANELS_EVERY = 150; // milliseconds between renderings of what is not the canvas
const REST = 0.4; // seconds after which a moment that was dragged is at rest
const STEP = 0.25; // seconds between the moments that are played
const RATES = [1, 2, 5, 10, 0.2];
const MOST_KEPT = 30; // answers of the server
const narrow = matchMedia("(max-width: 800px)"); // all in one column
const $ = (id) => document.getElementById(id);

class App {
  constructor() {
    this.session = null;
    this.live = null; // the herd as the stream tells it
    this.past = null; // the herd at view.t
    this.view = url.parse(location.hash);
    this.answers = new Map();
    this.lost = false; // whether the server does not answer
    this.moving = false; // whether view.t is being dragged or played
    this.playing = false;
    this.rate = 1; // of playing
    this.skew = 0; // server's clock minus ours, seconds
    this.selector = parseSelector(this.view.filter);
    this.actions = new Actions(this, $("dialog"));
    this.herd = new HerdView($("canvas"), $("overlay"), {
      hover: (name, pod, x, y) => this.hover(name, pod, x, y),
      pick: (name, pod) => this.pick(name, pod),
      moved: (view) => this.keep(view),
    });
    this.herd.clock = () => this.now();
    this.strip = new Strip($("strip"), this);
    this.chart = new Chart($("chart"), this, this.strip);
    this.screen = new Screen(this);
    this.commands = this.makeCommands();
  }

  async start() {
    this.listen();
    render($("legend"), legend(this.herd.theme));
    const session = ask("/api/session");
    this.stream = new Stream({
      whole: (herd) => this.whole(herd),
      changed: (herd, seen, change) => this.changed(herd, seen, change),
      lost: (wait) => this.lose(`The dashboard's server does not answer; next try in ${duration(wait)}. `
        + `What you see is from ${clock(this.live?.at ?? this.now())}.`),
      refused: () => this.refused(),
    });
    try {
      this.session = await session;
      $("title").textContent = $("title").title = this.session.title;
      document.title = `${this.session.title} · kubeherd`;
    } catch (error) {
      if (error.status === 401 || error.status === 403) this.refused();
      else this.banner(error.message);
    }
    this.sync(null);
    setInterval(() => this.tick(), 1000);
  }

  // --- what is known ---

  /** The herd that is shown: of now or of the moment in the address. */
  shown() { return this.view.t === null ? this.live : this.past ?? this.live; }

  /** The time at the server of what is shown. */
  now() {
    if (this.view.t !== null) return this.past?.at ?? this.view.t;
    if (this.session && !this.session.live) return this.live?.at ?? 0;
    return Date.now() / 1000 + this.skew;
  }

  whole(herd) {
    this.live = herd;
    this.skew = herd.at - Date.now() / 1000;
    this.lost = false;
    this.note(herd);
    this.strip.whole(herd);
    if (this.view.t === null) { this.herd.show(herd); this.frame(); }
    this.later();
  }

  changed(herd, seen, change) {
    if (this.session?.live) this.skew = herd.at - Date.now() / 1000;
    this.note(herd);
    this.strip.changed(herd, change);
    if (this.view.t === null) {
      this.herd.changed(seen.nodes, { rollouts: Boolean(change.rollouts), moved: seen.moved });
    }
    this.later();
  }

  /**
   * The answer of a route: {value, error}, at once with what is known; it is asked for when it is
   * older than so many seconds, and the page is rendered when it comes.
   */
  load(path, seconds) {
    const kept = this.answers.get(path) ?? { value: null, error: "", at: -Infinity, asked: false };
    this.answers.delete(path);
    this.answers.set(path, kept); // the newest last
    if (this.answers.size > MOST_KEPT) this.answers.delete(this.answers.keys().next().value);
    const now = performance.now() / 1000;
    if (!this.lost && !this.moving && !kept.asked && now - kept.at > seconds) {
      kept.asked = true;
      ask(path).then((value) => Object.assign(kept, { value, error: "" }), (error) => { kept.error = error.message; })
        .finally(() => { Object.assign(kept, { asked: false, at: performance.now() / 1000 }); this.later(); });
    }
    return kept;
  }

  // --- the address ---

  /** Change what is shown; `quiet` leaves no step to go back to. */
  go(change, quiet = false) {
    const before = this.view;
    this.view = { ...before, ...change };
    const hash = url.format(this.view);
    if (hash === url.format(before)) return;
    if (this.view.t !== null && this.view.t !== before.t) this.move();
    history[quiet ? "replaceState" : "pushState"](null, "", hash);
    this.sync(before);
  }

  /** The moment moves: what takes a question of its own waits until it has come to rest. */
  move() {
    this.moving = true;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => { this.moving = false; this.later(); }, REST * 1000);
  }

  keep(view) {
    clearTimeout(this.keeping);
    this.keeping = setTimeout(() => this.go(view, true), 300);
  }

  /** Make the page what the address says. */
  sync(before) {
    const { view } = this;
    if (before?.filter !== view.filter) {
      this.selector = parseSelector(view.filter);
      if (document.activeElement !== $("filter")) $("filter").value = view.filter;
    }
    if (before?.t !== view.t) this.moment();
    if (before && ["zoom", "x", "y"].some((one) => before[one] !== view[one])) this.frame();
    this.herd.look({ terms: this.selector.terms, workload: view.workload, selected: view.node });
    this.panels();
  }

  frame() {
    const { zoom, x, y } = this.view;
    this.herd.go({ zoom, x, y }, false);
  }

  /** Fetch the herd of view.t; of several wishes the last counts. */
  async moment() {
    const { t } = this.view;
    if (t === null) {
      this.past = null;
      if (this.live) this.herd.show(this.live);
      return;
    }
    if (this.fetching) return; // it looks again when it is done
    this.fetching = true;
    try {
      const past = herdOf(await ask(`/api/at?t=${t}`));
      if (this.view.t !== null) { this.past = past; this.herd.show(past); }
    } catch (error) {
      if (this.view.t === t) {
        this.toast(error.message, "bad");
        const oldest = error.said?.oldest; // as far back as it is known
        this.go({ t: oldest > t ? oldest : null }, true);
      }
    }
    this.fetching = false;
    if (this.view.t !== null && this.view.t !== t) this.moment();
    this.later();
  }

  /** Let the time go by from the moment that is shown, or from the beginning. */
  play(on) {
    clearInterval(this.player);
    this.playing = on;
    if (on) {
      if (this.view.t === null) this.go({ t: this.strip.range().oldest });
      this.player = setInterval(() => this.step(), STEP * 1000);
    }
    this.panels();
  }

  step() {
    const t = (this.view.t ?? Infinity) + STEP * this.rate;
    if (this.fetching) return;
    if (t < this.strip.range().to) { this.go({ t }, true); return; }
    this.play(false);
    this.go({ t: null }, true);
  }

  // --- rendering ---

  later() {
    this.rendering ??= setTimeout(() => { this.rendering = null; this.panels(); }, PANELS_EVERY);
  }

  panels() { this.screen.draw(); }

  retheme() {
    for (const one of [this.herd, this.strip, this.chart]) one.retheme();
    render($("legend"), legend(this.herd.theme));
    this.panels();
  }

  /** Whether a node passes the filter. */
  fits(tile) { return matches(this.selector.terms, tile.labels, tile.name); }

  tick() {
    if (this.view.t === null && this.session?.live) this.herd.tick();
    this.strip.tick();
    this.later();
  }

  /** Whether the cluster answers the server. */
  note(herd) {
    this.banner(herd.note && `The cluster does not answer (${herd.note}). What you see is what was seen last.`);
  }

  /** The server does not answer. */
  lose(text) {
    this.lost = true;
    this.banner(text);
    this.later();
  }

  banner(text) {
    $("banner").hidden = !text;
    if ($("banner").textContent !== text) $("banner").textContent = text;
  }

  refused() {
    this.lost = true; // nothing more is asked
    this.stream.close();
    this.banner("This address is not valid any more: its token was used, or the dashboard was started again. "
      + "For a new address: kubeherd dashboard --url, or start the dashboard again.");
  }

  toast(text, mood) {
    const one = el("div", { class: `toast ${mood}`, "data-testid": "toast" }, text);
    $("toasts").append(one);
    while ($("toasts").children.length > 4) $("toasts").firstChild.remove();
    setTimeout(() => one.remove(), mood === "bad" ? 10000 : 5000);
  }

  // --- pointer and keys ---

  hover(name, pod, x, y) {
    const tile = this.shown()?.nodes.get(name), box = $("hover");
    box.hidden = !tile;
    $("canvas").classList.toggle("over", Boolean(tile));
    if (!tile) return;
    render(box, hovered(this, tile, pod));
    const right = x + box.offsetWidth + 20 > $("field").clientWidth;
    box.style.left = `${Math.max(right ? x - box.offsetWidth - 12 : x + 14, 0)}px`;
    box.style.top = `${Math.max(Math.min(y + 14, $("field").clientHeight - box.offsetHeight - 4), 0)}px`;
  }

  pick(name, pod) {
    this.go({ node: name, pod: pod ? `${pod.namespace}/${pod.name}` : "", of: "" });
    if (name) this.name(name);
    if (name) this.herd.reveal(name);
    if (name && narrow.matches) $("details").scrollIntoView({ block: "nearest" });
  }

  /** Select the next node with which something is wrong. */
  trouble() {
    const herd = this.shown(), all = this.herd.names().filter((name) => lookOf(herd.nodes.get(name)) !== "ready");
    if (all.length) this.pick(all[(all.indexOf(this.view.node) + 1) % all.length], null);
  }

  name(name) {
    const tile = this.shown()?.nodes.get(name);
    if (tile) this.screen.say(`${name}: ${wordsOf(tile).join(", ")}, ${tile.pods.length} pods`);
  }

  makeCommands() {
    return {
      node: (name) => this.pick(name, null),
      pod: (given) => { const { node, pod } = JSON.parse(given); this.go({ node, pod, of: "" }); },
      trouble: () => this.trouble(),
      close: () => { this.go({ node: "", pod: "" }); $("canvas").focus(); },
      workload: (key) => this.go({ workload: this.view.workload === key ? "" : key, from: "" }),
      diff: (number) => this.go({ from: this.view.from === number ? "" : number }),
      panel: (panel) => this.go({ panel }),
      of: (of) => this.go({ of, panel: "log" }),
      live: () => { this.play(false); this.go({ t: null }); },
      play: () => this.play(!this.playing),
      rate: () => { this.rate = RATES[(RATES.indexOf(this.rate) + 1) % RATES.length]; this.panels(); },
      view: (view) => this.go({ view }),
      zoom: (how) => how === "all" ? this.herd.go({ zoom: 1, x: 0, y: 0 })
        : this.herd.zoom(how === "in" ? 1.5 : 1 / 1.5),
      theme: () => { nextTheme(); this.retheme(); },
      help: () => { help($("dialog")); },
      act: (given) => this.actions.open(JSON.parse(given)),
      run: () => this.actions.run(),
      copy: () => this.actions.copy(),
      dismiss: () => $("dialog").close(),
    };
  }

  listen() {
    document.addEventListener("click", (event) => {
      const found = event.target.closest("[data-do]");
      if (found && !found.disabled) this.commands[found.dataset.do](found.dataset.arg ?? "");
    });
    for (const what of ["popstate", "hashchange"]) {
      addEventListener(what, () => {
        const before = this.view;
        this.view = url.parse(location.hash);
        if (url.format(before) !== url.format(this.view)) this.sync(before);
      });
    }
    $("filter").addEventListener("focus", () => {
      const found = suggestions(this.shown()?.nodes.values() ?? []);
      render($("suggestions"), found.map((term) => el("option", { key: term, value: term })));
    });
    $("filter").addEventListener("input", () => this.go({ filter: $("filter").value.trim() }, true));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.retheme());
    document.addEventListener("keydown", (event) => key(this, event));
  }
}

const app = new App();
/** For tests: what is shown, to read only. */
window.kubeherd = Object.freeze({
  frames: () => app.herd.frames(),
  tile: (name) => app.herd.tileSeen(name),
  cells: (name) => app.herd.cellsSeen(name),
  get live() { return app.view.t === null; },
  get revision() { return app.shown()?.revision ?? 0; },
  get sequence() { return app.shown()?.sequence ?? 0; },
  get at() { return app.now(); },
  get state() {
    const herd = app.shown();
    return herd && structuredClone({ ...herd, nodes: [...herd.nodes.values()],
      rollouts: [...herd.rollouts.values()] });
  },
});
app.start();
