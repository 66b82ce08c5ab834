// The timeline at the bottom: how many nodes were Ready, how rollouts went, faults and what else
// happened, and the moment that is shown. Drag in it to rewind.
import { ask, clock, duration, el } from "./dom.js";
import { themeOf } from "./paint.js";
import { sampleOf } from "./summary.js";

const CLOSEST = 0.2; // seconds between samples
const MOST_SAMPLES = 1500, MOST_MARKS = 500;
const RIGHT = 12, AXIS = 16; // pixels
const LANES = [["nodes", 26], ["updated", 22], ["faults", 12], ["events", 16]];
const HEIGHT = LANES.reduce((sum, [, tall]) => sum + tall + 4, AXIS);
const MARKED = new Set(["fault", "leader", "violation", "step"]);
const SPANS = [10, 20, 30, 60, 120, 300, 600, 1800, 3600];

export class Strip {
  constructor(section, app) {
    this.app = app;
    this.samples = [];
    this.marks = [];
    this.end = 0; // the newest moment that is known
    this.theme = themeOf(document.documentElement);
    this.canvas = el("canvas", { tabindex: 0, role: "slider", "aria-label": "Moment that is shown",
      "data-testid": "timeline" });
    this.canvas.style.height = `${HEIGHT}px`;
    this.about = el("div", { id: "strip-about", class: "about", "aria-hidden": "true", hidden: true });
    section.append(this.canvas, this.about);
    this.pen = this.canvas.getContext("2d");
    new ResizeObserver(() => this.draw()).observe(section);
    this.listen();
  }

  // --- what is known ---

  /** A whole state: what was before it has to be asked for. */
  async whole(herd) {
    this.sample(herd);
    try {
      const { samples, marks } = await ask("/api/lanes");
      const since = samples.at(-1)?.[0] ?? 0;
      this.samples = [...samples, ...this.samples.filter(([at]) => at > since)];
      this.marks = marks;
    } catch { /* the strip then begins where the page did */ }
    this.mark(this.app.live?.news ?? herd.news);
    this.draw();
  }

  changed(herd, change) {
    this.sample(herd);
    this.mark(change.news ?? []);
  }

  /** Keep what is marked of news, once. */
  mark(news) {
    const known = new Set(this.marks.map(String));
    for (const { at, what, about, text } of news) {
      const mark = [at, what, about, text];
      if (MARKED.has(what) && !known.has(String(mark))) this.marks.push(mark);
    }
    if (this.marks.length > MOST_MARKS) this.marks = this.marks.slice(-MOST_MARKS);
  }

  /** Keep the herd's numbers if they are others than before. */
  sample(herd, at = herd.at) {
    const last = this.samples.at(-1), next = sampleOf(herd, at);
    this.end = Math.max(this.end, at);
    if (last && (at - last[0] < CLOSEST || last.every((number, n) => n === 0 || number === next[n]))) return;
    this.samples.push(next);
    if (this.samples.length > MOST_SAMPLES) this.samples = this.samples.filter((_, n) => n % 2
      || n > MOST_SAMPLES / 2);
  }

  tick() {
    const live = this.app.live;
    if (live && this.app.session?.live && !live.note && this.app.stream.source) {
      this.sample(live, Math.max(live.at, Date.now() / 1000 + this.app.skew));
    }
    this.draw();
  }

  retheme() { this.theme = themeOf(document.documentElement); this.draw(); }

  // --- drawing ---

  range() {
    if (this.window) return { ...this.window, oldest: this.samples[0]?.[0] ?? this.window.from };
    const to = this.end, from = this.samples[0]?.[0] ?? to;
    const span = this.app.session?.live === false ? Math.max(to - from, 1)
      : SPANS.find((one) => one >= to - from) ?? Math.max(to - from, 1);
    return { from: to - span, to, oldest: from };
  }

  /** Where the axis of time begins and ends, in pixels. */
  edges() { return { left: this.left, right: this.wide - RIGHT }; }

  /** Show a part of the time: `factor` as much, with the moment at a pixel where it is. */
  zoom(factor, pixel) {
    this.window = null;
    const whole = this.range(), { from, to } = this.shown, at = this.moment(pixel);
    const span = Math.max((to - from) * factor, 2);
    if (span < whole.to - whole.from) {
      const share = (at - from) / (to - from);
      const begin = Math.min(Math.max(at - span * share, whole.from), whole.to - span);
      this.window = { from: begin, to: begin + span };
    }
    this.app.panels();
  }

  x(at) {
    const { from, to } = this.shown;
    return this.left + (at - from) / (to - from) * (this.wide - this.left - RIGHT);
  }

  /** The moment at a pixel, as far as moments are known. */
  moment(pixel) {
    const { from, to, oldest } = this.shown;
    const at = from + (pixel - this.left) / (this.wide - this.left - RIGHT) * (to - from);
    return Math.min(Math.max(at, oldest), this.end);
  }

  draw() {
    const scale = devicePixelRatio || 1, { pen, theme } = this;
    this.wide = this.canvas.clientWidth;
    this.left = this.wide > 600 ? 118 : 84; // of the axis: before it there are names
    if (!this.wide || !this.samples.length) return;
    const [width, height] = [Math.round(this.wide * scale), Math.round(HEIGHT * scale)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.fillStyle = theme.ground;
    pen.fillRect(0, 0, this.wide, HEIGHT);
    pen.font = "11px system-ui, sans-serif";
    this.shown = this.range();
    this.axis();
    let y = AXIS;
    for (const [lane, tall] of LANES) {
      pen.fillStyle = theme.faint;
      pen.fillText({ nodes: "nodes Ready", updated: "updated", faults: "faults", events: "happened" }[lane], 6,
        y + tall / 2 + 4);
      this[lane](y, tall);
      y += tall + 4;
    }
    this.cursor();
  }

  axis() {
    const { pen, theme } = this, { from, to } = this.shown;
    const wanted = (to - from) / Math.max((this.wide - this.left) / 110, 1);
    const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200].find((one) => one >= wanted) ?? 14400;
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      pen.fillStyle = theme.line;
      pen.fillRect(this.x(at), AXIS - 3, 1, HEIGHT - AXIS + 3);
      pen.fillStyle = theme.faint;
      pen.fillText(clock(at), Math.min(this.x(at) + 3, this.wide - 54), 11);
    }
  }

  /** Where a sample's column ends. */
  until(n) { return Math.min(Math.floor(this.x(this.samples[n + 1]?.[0] ?? this.end)), this.wide - RIGHT); }

  /** A curve of steps: the share that `part` is of `whole`, in columns of the samples. */
  steps(y, tall, part, whole, good, bad) {
    const { pen } = this;
    this.samples.forEach((sample, n) => {
      const left = Math.max(Math.floor(this.x(sample[0])), this.left), right = this.until(n);
      if (right <= this.left || left >= this.wide - RIGHT) return;
      const share = sample[whole] ? Math.min(sample[part] / sample[whole], 1) : 0;
      pen.fillStyle = good;
      pen.fillRect(left, y + tall * (1 - share), Math.max(right - left, 1), tall * share);
      if (bad && share < 1 && sample[whole]) {
        pen.fillStyle = bad;
        pen.fillRect(left, y, Math.max(right - left, 1), Math.max(tall * (1 - share), 2));
      }
    });
  }

  nodes(y, tall) { this.steps(y, tall, 2, 1, this.theme.good, this.theme.bad); }

  updated(y, tall) { this.steps(y, tall, 7, 6, this.theme.accent, ""); }

  faults(y, tall) {
    const { pen, theme } = this;
    this.samples.forEach((sample, n) => {
      const left = Math.max(Math.floor(this.x(sample[0])), this.left), right = this.until(n);
      if (right <= this.left || left >= this.wide - RIGHT || !sample[5]) return;
      pen.fillStyle = theme.hurt;
      pen.globalAlpha = Math.min(0.4 + sample[5] * 0.2, 1);
      pen.fillRect(left, y + 2, Math.max(right - left, 1), tall - 4);
      pen.globalAlpha = 1;
    });
  }

  events(y, tall) {
    const { pen, theme } = this, middle = y + tall / 2;
    for (const [at, what] of this.marks) {
      const x = this.x(at);
      if (x < this.left || x > this.wide - RIGHT) continue;
      pen.fillStyle = theme[{ violation: "bad", fault: "hurt", leader: "cold" }[what] ?? "faint"];
      pen.beginPath();
      if (what === "violation") { pen.moveTo(x, y); pen.lineTo(x + 6, y + tall); pen.lineTo(x - 6, y + tall); }
      else if (what === "leader") { pen.moveTo(x, middle - 5); pen.lineTo(x + 5, middle); pen.lineTo(x,
        middle + 5); pen.lineTo(x - 5, middle); }
      else if (what === "fault") pen.rect(x - 4, middle - 4, 8, 8);
      else pen.arc(x, middle, 3, 0, 7);
      pen.fill();
    }
  }

  cursor() {
    const { view, live } = this.app, { pen, theme } = this;
    const at = view.t ?? this.shown.to, x = Math.min(Math.max(this.x(at), this.left), this.wide - RIGHT);
    if (view.t !== null) {
      pen.globalAlpha = 0.6;
      pen.fillStyle = theme.ground;
      pen.fillRect(x, AXIS, this.wide - x, HEIGHT - AXIS);
      pen.globalAlpha = 1;
    }
    pen.fillStyle = view.t === null ? theme.good : theme.warn;
    pen.fillRect(x - 1, AXIS - 4, 2, HEIGHT - AXIS + 4);
    pen.beginPath(); pen.arc(x, AXIS - 5, 4, 0, 7); pen.fill();
    this.canvas.setAttribute("aria-valuemin", Math.round(this.shown.oldest));
    this.canvas.setAttribute("aria-valuemax", Math.round(this.shown.to));
    this.canvas.setAttribute("aria-valuenow", Math.round(at));
    this.canvas.setAttribute("aria-valuetext",
      view.t === null ? "live" : `${clock(at)}, ${duration((live?.at ?? at) - at)} ago`);
  }

  // --- pointer and keys ---

  listen() {
    let held = false;
    const on = (what, does) => this.canvas.addEventListener(what, does);
    on("pointerdown", (event) => {
      if (!this.shown) return;
      held = true;
      this.canvas.setPointerCapture(event.pointerId);
      this.rewind(event.offsetX, false);
    });
    on("pointermove", (event) => { if (held) this.rewind(event.offsetX, true); else this.tell(event); });
    for (const what of ["pointerup", "pointercancel"]) on(what, () => { held = false; });
    this.canvas.addEventListener("wheel", (event) => {
      if (!this.shown || (event.deltaY > 0 && !this.window)) return;
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.4 : 1 / 1.4, event.offsetX);
    }, { passive: false });
    on("dblclick", () => { this.window = null; this.app.panels(); });
    on("pointerleave", () => { this.about.hidden = true; });
    on("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity,
        End: Infinity }[event.key];
      if (by === undefined || !this.shown) return;
      event.preventDefault();
      const at = (this.app.view.t ?? this.shown.to) + by;
      this.app.go({ t: at >= this.shown.to ? null : Math.max(at, this.shown.oldest) }, true);
    });
  }

  rewind(pixel, quiet) {
    const t = this.moment(Math.min(pixel, this.wide - RIGHT));
    this.app.go({ t: !this.window && pixel >= this.wide - RIGHT - 3 ? null : t }, quiet);
    this.draw();
  }

  tell(event) {
    if (!this.shown) return;
    const at = this.moment(event.offsetX);
    const near = this.marks.filter((one) => Math.abs(this.x(one[0]) - event.offsetX) < 6).slice(-4);
    const sample = this.samples.findLast((one) => one[0] <= at);
    const lines = [clock(at)];
    if (sample) {
      const [, nodes, ready, , , faults, desired, updated] = sample;
      lines.push(`${ready}/${nodes} nodes Ready, ${updated}/${desired} updated${faults ? `, ${faults} faults` : ""}`);
    }
    this.about.textContent = [...lines, ...near.map(([, , about,
      text]) => `${about ? `${about}: ` : ""}${text}`)].join("\n");
    this.about.hidden = event.offsetX < this.left;
    this.about.style.left = `${Math.min(event.offsetX + 10, this.wide - this.about.offsetWidth - 4)}px`;
  }
}
