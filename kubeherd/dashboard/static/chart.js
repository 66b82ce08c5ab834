// Nodes by time, above the strip and on its axis: pods' lives in the colours of their revisions, what
// the Node said, heartbeats, faults, leaders. Drawn from the same picture as `kubeherd timeline`.
import { clock, duration, el } from "./dom.js";
import { themeOf, write } from "./paint.js";
import { NONE } from "./colours.js";

const MOST_NODES = 60; // rows
const AGAIN = 3, LATER = 15; // seconds after which a live picture is asked for again; of a large herd
const LANE = 9, PAD = 4, BEAT = 4;
const GROUNDS = { good: "good", bad: "bad", unknown: "warn" };
const SAID = {
  node: { good: "Ready", bad: "not Ready", unknown: "Unknown" },
  process: { good: "serves", bad: "down", unknown: "starts or hangs" },
};
const ALPHAS = { waiting: 0.3, running: 0.6, ended: 0.3 };

const tall = (row) => PAD * 2 + BEAT + Math.max(row.lanes, 1) * LANE;

export class Chart {
  constructor(section, app, strip) {
    Object.assign(this, { section, app, strip });
    this.theme = themeOf(document.documentElement);
    this.canvas = el("canvas", { role: "img", "aria-label": "Nodes by time; the table and the events say the same",
      "data-testid": "chart" });
    this.about = el("div", { id: "chart-about", class: "about", "aria-hidden": "true", hidden: true });
    this.said = el("p", { class: "faint" });
    section.append(this.said, this.canvas, this.about);
    this.pen = this.canvas.getContext("2d");
    this.hits = [];
    this.canvas.addEventListener("pointermove", (event) => this.tell(event));
    this.canvas.addEventListener("pointerleave", () => { this.about.hidden = true; });
    this.canvas.addEventListener("click", (event) => this.pick(event));
  }

  retheme() { this.theme = themeOf(document.documentElement); }

  /** Draw what is known, in the strip's range. */
  draw(colours) {
    const { session, view } = this.app, goes = session?.live && view.t === null;
    const again = !goes ? Number.MAX_VALUE : this.app.shown().nodes.size > MOST_NODES ? LATER : AGAIN;
    const found = this.app.load(`/api/timeline?nodes=${MOST_NODES}`, again);
    const picture = this.picture = found.value && this.filtered(found.value);
    const nodes = this.app.shown()?.nodes.size ?? 0;
    this.said.textContent = found.error || (!picture ? "…" : nodes > MOST_NODES
      ? `The first ${MOST_NODES} of ${nodes} nodes` : "");
    if (!picture || !this.strip.shown) return;
    this.tints = picture.revisions.map((name) => tintOf(name, colours));
    const wide = this.wide = this.section.clientWidth,
      high = picture.rows.reduce((sum, row) => sum + tall(row) + 1, 0);
    const scale = devicePixelRatio || 1, { pen } = this;
    this.canvas.style.height = `${high}px`;
    Object.assign(this.canvas, { width: Math.round(wide * scale), height: Math.round(high * scale) });
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.hits = [];
    let y = 0;
    for (const row of picture.rows) { this.row(row, y); y += tall(row) + 1; }
    this.lines(high);
  }

  /** Without the nodes that the filter leaves out. */
  filtered(picture) {
    const { app } = this, nodes = app.shown()?.nodes;
    if (!app.selector.terms.length || !nodes) return picture;
    const fits = (row) => row.kind !== "node" || !nodes.has(row.name) || app.fits(nodes.get(row.name));
    return { ...picture, rows: picture.rows.filter(fits) };
  }

  /** When something ended: what had not ended when the picture was made goes on until now. */
  ended(end) {
    const { picture, strip, app } = this;
    return app.session?.live && end >= picture.duration - 0.001 ? strip.end - picture.zero : end;
  }

  /** Pixels from one moment to another (seconds of the picture): [x, width], or null outside. */
  across(begin, end) {
    const { zero } = this.picture, { left, right } = this.strip.edges();
    const from = Math.max(this.strip.x(zero + begin), left),
      to = Math.min(this.strip.x(zero + this.ended(end)), right);
    return to < left || from > right || to < from ? null : [from, Math.max(to - from, 1)];
  }

  fill(begin, end, y, high, tint, alpha = 1) {
    const place = this.across(begin, end);
    if (!place) return null;
    this.pen.globalAlpha = alpha;
    this.pen.fillStyle = tint;
    this.pen.fillRect(place[0], y, place[1], high);
    this.pen.globalAlpha = 1;
    return [place[0], y, Math.max(place[1], 3), high];
  }

  row(row, y) {
    const { pen, theme } = this, high = tall(row), { left, right } = this.strip.edges();
    if (row.kind === "node" && row.name === this.app.view.node) {
      pen.fillStyle = theme.tile;
      pen.fillRect(0, y, this.wide, high);
    }
    write(pen, row.name, 6, y + Math.min(high / 2 + 4, 16), left - 12, "11px system-ui, sans-serif", theme.ink, true);
    this.hits.push([[0, y, left, high], row.name, row]);
    for (const [begin, end, look] of row.background) {
      if (look !== "good") this.fill(begin, end, y, high, theme[GROUNDS[look]], 0.14);
    }
    pen.fillStyle = theme.faint;
    for (const beat of row.beats) {
      const x = this.strip.x(this.picture.zero + beat);
      if (x >= left && x <= right) pen.fillRect(x, y + PAD + 1, 1, BEAT - 1);
    }
    for (const bar of row.bars) this.bar(row, bar, y + PAD + BEAT + (bar.lane ?? 0) * LANE + 1);
    for (const [begin, end, label] of row.faults) {
      const place = this.fill(begin, Math.max(end, begin), y, high, theme.hurt, 0.22);
      if (!place) continue;
      pen.fillStyle = theme.hurt;
      pen.fillRect(place[0], y, 2, high);
      this.hits.unshift([place, `${label}\n${this.span(begin, end)}`, row]);
    }
    for (const [begin, end, look] of row.background) {
      const place = this.fill(begin, end, y + 1, 3, theme[GROUNDS[look]]);
      if (place) this.hits.push([[place[0], y, place[2], PAD + 2],
        `${row.name}: ${SAID[row.kind]?.[look] ?? look}, ${this.span(begin, end)}`, row]);
    }
    pen.fillStyle = theme.line;
    pen.fillRect(0, y + high, this.wide, 1);
  }

  bar(row, bar, y) {
    const leads = row.kind === "leader", tint = leads ? this.theme.cold : this.tints[bar.colour ?? 0] ?? NONE;
    let shown = null;
    for (const [begin, end, look] of bar.pieces) {
      const place = this.fill(begin, end, y, LANE - 2, tint, ALPHAS[look] ?? 1);
      shown ??= place;
      if (place && look === "terminating") { // every third pixel only
        this.pen.fillStyle = this.theme.ground;
        for (let x = place[0] + 2; x < place[0] + place[2]; x += 4) this.pen.fillRect(x, y, 2, LANE - 2);
      }
    }
    const place = this.across(bar.begin, bar.end);
    if (!shown || !place) return;
    this.pen.fillStyle = this.theme.ground;
    this.pen.fillRect(place[0], y, 1, LANE - 2); // where one follows the other
    const states = bar.pieces.slice(-6).map(([begin, end, look]) => `${look} ${this.span(begin, end)}`);
    const what = leads ? bar.label : this.picture.revisions[bar.colour ?? 0];
    const said = [bar.about || bar.label, what, ...states].filter(Boolean).join("\n");
    this.hits.push([[place[0], y, Math.max(place[1], 3), LANE], said, row, leads ? "" : bar.about]);
  }

  span(begin, end) {
    const { zero } = this.picture;
    return `${clock(zero + begin)} – ${clock(zero + end)} (${duration(end - begin)})`;
  }

  lines(high) {
    const { pen, theme, app } = this;
    for (const [at, what, text] of this.picture.marks) {
      const place = this.across(at, at), bad = what === "violation";
      if (!place || what === "did") continue;
      pen.fillStyle = bad ? theme.bad : theme.faint;
      pen.fillRect(place[0], 0, bad ? 2 : 1, high);
      this.hits.push([[place[0] - 4, 0, 8, high], `${clock(this.picture.zero + at)} ${bad ? "violated: " : ""}${text}`]);
    }
    if (app.view.t === null) return;
    pen.fillStyle = theme.warn;
    pen.fillRect(this.strip.x(app.view.t) - 1, 0, 2, high);
  }

  under(event) {
    return this.hits.findLast(([[x, y, w, h]]) => event.offsetX >= x && event.offsetX <= x + w && event.offsetY >= y
      && event.offsetY < y + h);
  }

  tell(event) {
    const found = this.under(event);
    this.about.hidden = !found;
    if (!found) return;
    this.about.textContent = found[1];
    this.about.style.left = `${Math.min(event.offsetX + 12, this.wide - this.about.offsetWidth - 8)}px`;
    this.about.style.top = `${this.canvas.offsetTop + event.offsetY + 14}px`;
  }

  /** A click selects the row's node, and its pod; on the axis of time it rewinds to there. */
  pick(event) {
    const found = this.under(event), { left } = this.strip.edges();
    const row = found?.[2] ?? this.rowAt(event.offsetY), change = {};
    if (row?.kind === "node") Object.assign(change, { node: row.name, pod: found?.[3] ?? "", of: "" });
    if (event.offsetX > left) change.t = this.strip.moment(event.offsetX);
    this.app.go(change);
  }

  rowAt(y) {
    let top = 0;
    for (const row of this.picture?.rows ?? []) {
      top += tall(row) + 1;
      if (y < top) return row;
    }
    return null;
  }
}

/** The colour that the rest of the page gives a revision, of which a picture knows "OWNER: HASH (IMAGE)". */
function tintOf(name, colours) {
  const hash = /: (\S+) \(/.exec(name)?.[1];
  if (!hash) return NONE;
  const owner = name.split(" ")[0], suffix = `\0${hash}`;
  for (const [key, tint] of colours) if (key.endsWith(suffix) && key.startsWith(owner)) return tint;
  return NONE;
}
