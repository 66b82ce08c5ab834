// The herd on a canvas: lays out, draws what has changed, zooms, and knows what is under the pointer.
import { cellColour, coloursOf, lookOf, ownersOf } from "./colours.js";
import { cellSize, detail, layout, neighbour, spaceOf, tileAt, zonesOf } from "./layout.js";
import { paintTile, podPlaces, themeOf, write } from "./paint.js";
import { matches } from "./selector.js";

const FILLED = 0.9; // of the map, by one tile at most
const MOST_FRAMES = 6000;
const FLASH = 700; // milliseconds that a changed tile is marked
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class HerdView {
  /** `tell` has: hover(name, pod, x, y), pick(name, pod), moved({zoom, x, y}). */
  constructor(canvas, overlay, tell) {
    Object.assign(this, { canvas, overlay, tell });
    this.pen = canvas.getContext("2d", { alpha: false });
    this.over = overlay.getContext("2d");
    this.view = { zoom: 1, x: 0, y: 0 };
    this.wanted = this.view; // what the view is as far as there is room for it
    this.herd = null;
    this.plan = null;
    this.terms = [];
    this.workload = "";
    this.selected = "";
    this.hovered = "";
    this.all = true; // everything has to be drawn
    this.dirty = new Set();
    this.flashes = new Map(); // name -> when
    this.spent = []; // milliseconds of each frame
    this.clock = () => 0;
    this.theme = themeOf(document.documentElement);
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.listen();
  }

  // --- what is shown ---

  /** Another herd, or the same with tiles that came or went. */
  show(herd) {
    this.herd = herd;
    this.rezone();
  }

  rezone() {
    if (!this.herd || !this.width) return;
    this.plan = layout(zonesOf(this.herd.nodes.values()), this.width - 16, this.height - 16);
    this.go(this.wanted, false);
    this.recolour();
  }

  recolour() {
    this.colours = coloursOf(this.herd.rollouts.values());
    const rollout = this.herd.rollouts.get(this.workload);
    this.owners = rollout ? ownersOf(rollout) : null;
    const counts = [...this.herd.nodes.values()].map((tile) => tile.pods?.length ?? 0).sort((a, b) => a - b);
    this.usual = counts[Math.floor(counts.length * 0.9)] ?? 0;
    this.redraw();
  }

  /** Tiles that have changed. */
  changed(names, { rollouts = false, moved = false } = {}) {
    if (moved) { this.rezone(); return; }
    if (rollouts) { this.colours = coloursOf(this.herd.rollouts.values()); }
    const now = performance.now();
    for (const name of names) {
      this.dirty.add(name);
      if (!still.matches && names.size < 200 && ["tile", "card"].includes(this.level)) this.flashes.set(name, now);
    }
    this.schedule();
  }

  /** Filter (terms of a selector), workload looked at, selected node. */
  look({ terms, workload, selected }) {
    if (workload !== this.workload || terms !== this.terms) {
      Object.assign(this, { terms, workload });
      if (this.herd) this.recolour();
    }
    if (selected !== this.selected) {
      this.selected = selected;
      this.schedule();
    }
  }

  /** Heartbeats age: once a second. */
  tick() {
    if (!this.herd || document.hidden) return;
    this.redraw();
  }

  retheme() {
    this.theme = themeOf(document.documentElement);
    this.redraw();
  }

  // --- drawing ---

  redraw() { this.all = true; this.schedule(); }

  schedule() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
  }

  resize() {
    const box = this.canvas.parentElement.getBoundingClientRect(), scale = devicePixelRatio || 1;
    if (!box.width || !box.height) return;
    [this.width, this.height] = [box.width, box.height];
    for (const [canvas, pen] of [[this.canvas, this.pen], [this.overlay, this.over]]) {
      canvas.width = Math.round(box.width * scale);
      canvas.height = Math.round(box.height * scale);
      pen.setTransform(scale, 0, 0, scale, 0, 0);
    }
    this.rezone();
    this.draw(); // at once: a canvas that was given a size is empty
  }

  /** A tile's place on the screen; null if there is no such tile. */
  box(name) {
    const at = this.plan?.places.get(name);
    if (!at) return null;
    const { zoom, x, y } = this.view;
    return { x: 8 + x + at.x * zoom, y: 8 + y + at.y * zoom,
      w: this.plan.tile.w * zoom, h: this.plan.tile.h * zoom };
  }

  draw() {
    if (!this.herd || !this.plan) return;
    const began = performance.now();
    const level = this.level = detail(this.plan.tile.w * this.view.zoom);
    const to = { colours: this.colours, theme: this.theme, now: this.clock(), speed: this.herd.speed,
      side: this.side(level), space: spaceOf(this.plan.tile.w) * this.view.zoom,
        fades: (pod) => Boolean(this.owners) && !this.owners.has(pod.owner) };
    if (this.all) {
      this.pen.fillStyle = this.theme.ground;
      this.pen.fillRect(0, 0, this.width, this.height);
      this.titles();
      if (!this.herd.nodes.size) write(this.pen, "No nodes yet.", 16, 30, this.width, "15px system-ui, sans-serif",
        this.theme.faint);
      for (const tile of this.herd.nodes.values()) this.tile(tile, level, to);
    } else {
      for (const name of this.dirty) {
        const tile = this.herd.nodes.get(name);
        if (tile) this.tile(tile, level, to);
      }
    }
    this.all = false;
    this.dirty.clear();
    this.marks();
    this.canvas.dataset.sequence = this.herd.sequence;
    this.spent.push(performance.now() - began);
    if (this.spent.length > MOST_FRAMES) this.spent.shift();
  }

  /** The frames drawn since this was asked last, and the milliseconds that drawing them took. */
  frames() {
    const spent = this.spent.splice(0);
    return { count: spent.length, worst_ms: Math.max(0, ...spent), total_ms: spent.reduce((a, b) => a + b, 0) };
  }

  side(level) {
    const { w, h } = { w: this.plan.tile.w * this.view.zoom, h: this.plan.tile.h * this.view.zoom };
    if (level === "small") return cellSize(this.usual, w - 6, h - 6, 18);
    return level === "tile" ? cellSize(this.usual, w - 12, h - (h > 56 ? 43 : 29)) : 22;
  }

  tile(tile, level, to) {
    const box = this.box(tile.name);
    if (!box || box.x > this.width || box.y > this.height || box.x + box.w < 0 || box.y + box.h < 0) return;
    if (!this.all) {
      const out = level === "dot" ? to.space / 2 : 0;
      this.pen.fillStyle = this.theme.ground;
      this.pen.fillRect(box.x - out, box.y - out, box.w + out * 2, box.h + out * 2);
    }
    const fits = !this.terms.length || matches(this.terms, tile.labels, tile.name);
    if (fits) { paintTile(this.pen, tile, box, level, to); return; }
    this.pen.globalAlpha = 0.5;
    this.pen.strokeStyle = this.theme.line;
    this.pen.strokeRect(box.x + 0.5, box.y + 0.5, Math.max(box.w - 1, 1), Math.max(box.h - 1, 1));
    this.pen.globalAlpha = 1;
  }

  titles() {
    if (!this.plan.titled) return;
    for (const zone of this.plan.zones) {
      const { zoom, x, y } = this.view;
      const ready = zone.names.filter((name) => this.herd.nodes.get(name)?.health === "ready").length;
      write(this.pen, `${zone.zone || "no zone"}  ${ready}/${zone.names.length} Ready`,
        Math.max(8 + x + zone.x * zoom, 8),
        8 + y + zone.y * zoom + 13, zone.w * zoom, "600 12px system-ui, sans-serif", this.theme.faint);
    }
  }

  /** What lies over the tiles: flashes of changes, the pointer, the selection. */
  marks() {
    const pen = this.over, now = performance.now();
    pen.clearRect(0, 0, this.width, this.height);
    const frame = (name, tint, width) => {
      const box = this.box(name);
      if (!box) return;
      pen.strokeStyle = tint;
      pen.lineWidth = width;
      pen.strokeRect(box.x - 1, box.y - 1, box.w + 2, box.h + 2);
    };
    for (const [name, since] of this.flashes) {
      const left = 1 - (now - since) / FLASH, tile = this.herd.nodes.get(name);
      if (left <= 0 || !tile || !matches(this.terms, tile.labels, name)) { this.flashes.delete(name); continue; }
      pen.globalAlpha = left;
      frame(name, this.theme.accent, 2);
    }
    pen.globalAlpha = 1;
    if (this.hovered) frame(this.hovered, this.theme.faint, 2);
    if (this.selected) frame(this.selected, this.theme.accent, 3);
    if (this.flashes.size) this.schedule();
  }

  // --- moving about ---

  go(view, told = true) {
    this.wanted = view;
    if (!this.plan) return;
    const zoom = this.zoomed(view.zoom);
    const least = (size, taken) => Math.min(size - 16 - taken * zoom, 0);
    const x = Math.max(Math.min(view.x, 0), least(this.width, this.plan.width));
    const y = Math.max(Math.min(view.y, 0), least(this.height, this.plan.height));
    if (told) this.wanted = { zoom, x, y };
    if (zoom === this.view.zoom && x === this.view.x && y === this.view.y) return;
    this.view = { zoom, x, y };
    this.canvas.classList.toggle("zoomed", zoom > 1);
    this.redraw();
    if (told) this.tell.moved(this.view);
  }

  /** A zoom that there can be: from all tiles to one that fills the map. */
  zoomed(wanted) {
    const { w, h } = this.plan?.tile ?? { w: 1, h: 1 };
    return Math.max(Math.min(wanted, this.width * FILLED / w, this.height * FILLED / h), 1);
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const zoom = this.zoomed(this.view.zoom * factor), by = zoom / this.view.zoom;
    this.go({ zoom, x: (x - 8) - (x - 8 - this.view.x) * by, y: (y - 8) - (y - 8 - this.view.y) * by });
  }

  /** Move a tile into sight. */
  reveal(name) {
    const box = this.box(name);
    if (!box) return;
    const dx = Math.max(8 - box.x, 0) || Math.min(this.width - 8 - box.x - box.w, 0);
    const dy = Math.max(8 - box.y, 0) || Math.min(this.height - 8 - box.y - box.h, 0);
    if (dx || dy) this.go({ zoom: this.view.zoom, x: this.view.x + dx, y: this.view.y + dy });
  }

  neighbour(key) { return this.plan ? neighbour(this.plan, this.selected, key) : ""; }

  /** All nodes, as they follow each other on the map. */
  names() { return [...this.plan?.places.keys() ?? []].filter((name) => this.herd.nodes.has(name)); }

  /** What is at a place of the canvas: {name, pod (its cell) or null}. */
  at(x, y) {
    if (!this.plan) return { name: "", pod: null };
    const { zoom } = this.view;
    const name = tileAt(this.plan, (x - 8 - this.view.x) / zoom, (y - 8 - this.view.y) / zoom);
    const box = name && this.box(name), level = detail(this.plan.tile.w * zoom);
    if (!box || level === "dot" || level === "small") return { name, pod: null }; // too small to aim at
    const { places } = podPlaces(this.herd.nodes.get(name), box, level, this.side(level));
    const found = places.find(([, left, top, w, h]) => x >= left && x < left + w && y >= top && y < top + h);
    return { name, pod: found ? found[0] : null };
  }

  /** Where a tile is on the page, and what it looks like; null if there is none. */
  tileSeen(name) {
    const tile = this.herd?.nodes.get(name), box = this.box(name);
    if (!tile || !box) return null;
    const { left, top } = this.canvas.getBoundingClientRect();
    return { ...box, x: box.x + left, y: box.y + top, look: lookOf(tile) };
  }

  /** The pods of a node as they are drawn: [{name, colour, look}]. */
  cellsSeen(name) {
    return (this.herd?.nodes.get(name)?.pods ?? []).map((pod) =>
      ({ name: pod.name, colour: cellColour(this.colours, pod), look: pod.look }));
  }

  listen() {
    const pointers = new Map();
    let travelled = 0;
    const on = (what, does, options) => this.canvas.addEventListener(what, does, options);
    on("wheel", (event) => {
      if (this.view.zoom === 1 && event.deltaY > 0) return; // nothing to zoom out of: the page scrolls
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), event.offsetX, event.offsetY);
    }, { passive: false });
    on("pointerdown", (event) => {
      if (event.button) return;
      this.canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
      if (pointers.size === 1) travelled = 0;
    });
    on("pointermove", (event) => {
      const from = pointers.get(event.pointerId);
      if (!from) { this.point(event); return; }
      travelled += Math.abs(event.offsetX - from[0]) + Math.abs(event.offsetY - from[1]);
      if (pointers.size === 2) this.pinch(pointers, event);
      else if (travelled > 5) {
        this.go({ ...this.view, x: this.view.x + event.offsetX - from[0], y: this.view.y + event.offsetY - from[1] });
      }
      pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    });
    on("pointerup", (event) => {
      if (pointers.delete(event.pointerId) && travelled <= 5 && !pointers.size) {
        const { name, pod } = this.at(event.offsetX, event.offsetY);
        this.tell.pick(name, pod);
      }
    });
    on("pointercancel", (event) => pointers.delete(event.pointerId));
    on("pointerleave", () => this.point(null));
    on("dblclick", (event) => this.zoom(2.5, event.offsetX, event.offsetY));
  }

  pinch(pointers, event) {
    const [id] = [...pointers.keys()].filter((one) => one !== event.pointerId), other = pointers.get(id);
    const before = pointers.get(event.pointerId);
    const far = (point) => Math.max(Math.hypot(point[0] - other[0], point[1] - other[1]), 1);
    this.zoom(far([event.offsetX, event.offsetY]) / far(before),
      (event.offsetX + other[0]) / 2, (event.offsetY + other[1]) / 2);
  }

  point(event) {
    const { name, pod } = event ? this.at(event.offsetX, event.offsetY) : { name: "", pod: null };
    if (name !== this.hovered) { this.hovered = name; this.schedule(); }
    this.tell.hover(name, pod, event?.offsetX ?? 0, event?.offsetY ?? 0);
  }
}
