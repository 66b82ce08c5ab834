// Draws one tile of the herd. It knows a pen, a tile and a place; nothing of the page.
import { beatOf, cellColour, lookOf, wordsOf } from "./colours.js";
import { cellSize } from "./layout.js";

const FONT = "system-ui, sans-serif";
const ROW = 17; // height of a pod's line on a card

const TINTED = ["ground", "tile", "ink", "faint", "line", "edge", "good", "bad", "warn", "cold", "hurt", "accent"];

/** Colours of the page's theme, read from its style once. */
export function themeOf(element) {
  const style = getComputedStyle(element), theme = {};
  for (const name of TINTED) theme[name] = style.getPropertyValue(`--${name}`).trim();
  return theme;
}

const TINTS = { ready: "good", "not-ready": "bad", unreachable: "warn", gone: "faint", killed: "bad",
  frozen: "cold", partitioned: "hurt", cordoned: "faint" };
const tints = new Map();

/** A hatching for a look that is not Ready: each look has its own. */
function hatch(pen, look, tint) {
  const key = `${look} ${tint}`;
  if (tints.has(key)) return tints.get(key);
  const made = document.createElement("canvas"), ink = made.getContext("2d");
  made.width = made.height = 8;
  ink.strokeStyle = ink.fillStyle = tint;
  ink.lineWidth = 1.2;
  ink.beginPath();
  const line = (...at) => { ink.moveTo(at[0], at[1]); ink.lineTo(at[2], at[3]); };
  const up = () => { line(0, 8, 8, 0); line(-1, 1, 1, -1); line(7, 9, 9, 7); };
  const down = () => { line(0, 0, 8, 8); line(-1, 7, 1, 9); line(7, -1, 9, 1); };
  if (look === "killed") { up(); down(); }
  if (look === "frozen") up();
  if (look === "not-ready") down();
  if (look === "partitioned") { line(2, 0, 2, 8); line(6, 0, 6, 8); }
  if (look === "cordoned") line(0, 4, 8, 4);
  if (look === "unreachable" || look === "gone") ink.fillRect(1, 1, 2, 2);
  ink.stroke();
  tints.set(key, pen.createPattern(made, "repeat"));
  return tints.get(key);
}

/** The sign of a look, its centre at x, y, in a circle of radius r. */
export function sign(pen, look, x, y, r, tint) {
  pen.strokeStyle = pen.fillStyle = tint;
  pen.lineWidth = Math.max(r / 3, 1.2);
  pen.lineCap = "round";
  pen.beginPath();
  const line = (a, b, c, d) => { pen.moveTo(x + a * r, y + b * r); pen.lineTo(x + c * r, y + d * r); };
  if (look === "ready") { pen.arc(x, y, r * 0.75, 0, 7); pen.fill(); return; }
  if (look === "killed") { line(-0.7, -0.7, 0.7, 0.7); line(-0.7, 0.7, 0.7, -0.7); }
  if (look === "frozen") { line(0, -0.9, 0, 0.9); line(-0.8, -0.45, 0.8, 0.45); line(-0.8, 0.45, 0.8, -0.45); }
  if (look === "not-ready") { line(0, -0.8, 0, 0.15); line(0, 0.75, 0, 0.78); }
  if (look === "partitioned") {
    for (const side of [-1, 1]) { line(side * 0.3, -0.8, side * 0.3, 0.8); line(side * 0.3, 0, side * 0.9, 0); }
  }
  if (look === "cordoned") line(-0.75, 0, 0.75, 0);
  if (look === "unreachable") {
    pen.arc(x, y - r * 0.3, r * 0.45, Math.PI, Math.PI * 2.4);
    line(0, 0.25, 0, 0.3);
    line(0, 0.8, 0, 0.82);
  }
  if (look === "gone") pen.arc(x, y, r * 0.6, 0, 7);
  pen.stroke();
}

/** A pod: its colour is the revision's, its shape the state. */
export function cell(pen, pod, x, y, side, tint, theme) {
  const gap = side > 5 ? 1 : side > 2.5 ? 0.5 : 0, s = Math.max(side - gap, 1);
  pen.fillStyle = pen.strokeStyle = tint;
  pen.lineWidth = Math.max(s / 8, 1);
  const look = s < 3.5 && pod.look !== "failed" ? "ready" : pod.look;
  if (look === "ready") {
    pen.fillRect(x, y, s, s);
    if (s < 6) return;
    pen.strokeStyle = theme.edge; // light colours need one
    pen.lineWidth = 1;
    pen.strokeRect(x + 0.5, y + 0.5, s - 1, s - 1);
    return;
  }
  if (look === "failed") {
    pen.strokeStyle = theme.bad;
    pen.strokeRect(x + 0.5, y + 0.5, s - 1, s - 1);
    pen.beginPath();
    pen.moveTo(x + s * 0.25, y + s * 0.25); pen.lineTo(x + s * 0.75, y + s * 0.75);
    pen.moveTo(x + s * 0.75, y + s * 0.25); pen.lineTo(x + s * 0.25, y + s * 0.75);
    pen.stroke();
    return;
  }
  if (look === "terminating") {
    for (let at = 0; at < s; at += 3) pen.fillRect(x + at, y, 1.5, s);
    return;
  }
  if (look === "succeeded") { pen.beginPath(); pen.arc(x + s / 2, y + s / 2, s / 3, 0, 7); pen.stroke(); return; }
  pen.strokeRect(x + 0.5, y + 0.5, s - 1, s - 1);
  if (look === "running") pen.fillRect(x, y + s / 2, s, s / 2);
}

/** How much of a tile's top its name and state take. */
function headOf(box, level) {
  if (level === "card") return 48;
  return level === "tile" ? (box.h > 56 ? 36 : 22) : 0;
}

/** Where a tile's pods are: {rows: whether each has a line with its name, side, places: [[pod, x, y, w, h]], more}. */
export function podPlaces(tile, box, level, most) {
  const pods = tile.pods, pad = level === "card" ? 10 : level === "tile" ? 6 : level === "small" ? 3 : 0;
  const left = box.x + pad, top = box.y + Math.max(headOf(box, level), pad) + (level === "card" ? 4 : 1);
  const width = box.w - pad * 2, height = box.y + box.h - pad - top;
  const rows = level === "card" && pods.length * ROW <= height && width > 125;
  if (rows) {
    return { rows, side: 12, places: pods.map((pod, n) => [pod, left, top + n * ROW, width, ROW]) };
  }
  const side = Math.min(most, cellSize(pods.length, width, height));
  const per = Math.max(Math.floor(width / side), 1);
  return { rows, side, places: pods.map((pod, n) =>
    [pod, left + (n % per) * side, top + Math.floor(n / per) * side, side, side]) };
}

/**
 * Draw a tile in `box` {x, y, w, h} at a level of detail. `to` has: colours, theme, now, speed,
 * side (of the cells at most), space (between tiles), fades(pod): whether another workload than the
 * pod's is looked at.
 */
export function paintTile(pen, tile, box, level, to) {
  const look = lookOf(tile), tint = to.theme[TINTS[look]], well = look === "ready";
  if (level === "dot") { dot(pen, tile, box, look, tint, to); return; }
  pen.fillStyle = to.theme.tile;
  pen.fillRect(box.x, box.y, box.w, box.h);
  if (!well) {
    const clear = headOf(box, level); // where there is text
    pen.globalAlpha = 0.12;
    pen.fillStyle = tint;
    pen.fillRect(box.x, box.y, box.w, box.h);
    pen.globalAlpha = level === "card" ? 0.3 : 0.7;
    pen.fillStyle = hatch(pen, look, tint);
    pen.fillRect(box.x, box.y + clear, box.w, box.h - clear);
    pen.globalAlpha = 1;
  }
  edge(pen, box, well ? to.theme.line : tint, well ? 1 : level === "small" ? 1.5 : 2, look);
  if (level === "small") border(pen, tile, box, to); else title(pen, tile, box, level, look, tint, to);
  pods(pen, tile, box, level, to);
  if (level === "small" && !well) badge(pen, look, box, tint, to);
}

function dot(pen, tile, box, look, tint, to) {
  const all = tile.pods;
  if (look !== "ready") {
    const out = to.space / 2; // it stands out, over its neighbours' edges
    pen.fillStyle = to.theme.ink;
    pen.fillRect(box.x - out, box.y - out, box.w + out * 2, box.h + out * 2);
    pen.fillStyle = tint;
    pen.fillRect(box.x - out + 1, box.y - out + 1, box.w + out * 2 - 2, box.h + out * 2 - 2);
    if (box.w >= 6) sign(pen, look, box.x + box.w / 2, box.y + box.h / 2, box.w * 0.32, to.theme.tile);
    return;
  }
  const shown = all.filter((pod) => !to.fades(pod)).slice(0, 4), wide = box.w / shown.length;
  pen.fillStyle = to.theme.line;
  pen.fillRect(box.x, box.y, box.w, box.h);
  shown.forEach((pod, n) => {
    const down = pod.look === "ready" ? 0 : pod.look === "running" ? 0.5 : 0.75; // filled from below
    pen.fillStyle = pod.look === "failed" ? to.theme.bad : cellColour(to.colours, pod);
    pen.fillRect(box.x + n * wide, box.y + box.h * down, wide, box.h * (1 - down));
  });
  if (beatOf(tile, to.now, to.speed).late) edge(pen, box, to.theme.warn, Math.max(box.w / 8, 1.5), look);
}

function edge(pen, box, tint, width, look) {
  pen.strokeStyle = tint;
  pen.lineWidth = width;
  pen.setLineDash(look === "unreachable" || look === "gone" || look === "cordoned" ? [4, 3] : []);
  pen.strokeRect(box.x + width / 2, box.y + width / 2, box.w - width, box.h - width);
  pen.setLineDash([]);
}

/** On a small tile its border is the ring of the heartbeat's age. */
function border(pen, tile, box, to) {
  const beat = beatOf(tile, to.now, to.speed);
  if (beat.age === null || (!beat.late && box.w < 24)) return;
  const around = 2 * (box.w + box.h) - 4;
  pen.strokeStyle = beat.late ? to.theme.warn : to.theme.faint;
  pen.lineWidth = beat.late ? 2 : 1;
  pen.setLineDash([around * beat.share, around]);
  pen.strokeRect(box.x + 1, box.y + 1, box.w - 2, box.h - 2);
  pen.setLineDash([]);
}

function badge(pen, look, box, tint, to) {
  const r = Math.min(box.w * 0.3, 9);
  pen.fillStyle = to.theme.tile;
  pen.beginPath();
  pen.arc(box.x + box.w / 2, box.y + box.h / 2, r * 1.25, 0, 7);
  pen.fill();
  sign(pen, look, box.x + box.w / 2, box.y + box.h / 2, r * 0.85, tint);
}

function title(pen, tile, box, level, look, tint, to) {
  const card = level === "card", r = card ? 10 : 6.5, x = box.x + (card ? 20 : 12), y = box.y + (card ? 20 : 12);
  const beat = beatOf(tile, to.now, to.speed);
  pen.lineCap = "butt";
  pen.lineWidth = 2;
  pen.strokeStyle = to.theme.line;
  pen.beginPath(); pen.arc(x, y, r, 0, 7); pen.stroke();
  if (beat.age !== null) {
    pen.strokeStyle = beat.late ? to.theme.warn : to.theme.faint;
    pen.beginPath(); pen.arc(x, y, r, -Math.PI / 2, -Math.PI / 2 + Math.PI * 2 * beat.share); pen.stroke();
  }
  sign(pen, look, x, y, r * 0.6, tint);
  const left = x + r + (card ? 6 : 4), wide = box.x + box.w - left - 4;
  write(pen, tile.name, left, y + (card ? 1 : 4), wide, `600 ${card ? 15 : 11.5}px ${FONT}`, to.theme.ink, true);
  const words = wordsOf(tile), said = words.join(", ");
  if (card) {
    const age = beat.age === null ? "no heartbeat"
      : `♥ ${beat.age < 100 ? `${Math.round(beat.age)} s` : `${Math.round(beat.age / 60)} min`}`;
    write(pen, [said, age, ...tile.taints.map((one) => `taint ${one.key.split("/").pop()}:${one.effect}`)].join(" · "),
      left, y + 17, wide, `12px ${FONT}`, look === "ready" ? to.theme.faint : tint);
  } else if (box.h > 56) {
    write(pen, said, box.x + 6, y + 18, box.w - 14, `11px ${FONT}`, look === "ready" ? to.theme.faint : tint);
  }
}

function pods(pen, tile, box, level, to) {
  const { rows, side, places } = podPlaces(tile, box, level, to.side);
  for (const [pod, x, y, w] of places) {
    if (y + side > box.y + box.h + 1) break;
    const tint = cellColour(to.colours, pod);
    pen.globalAlpha = to.fades(pod) ? 0.18 : 1;
    cell(pen, pod, x, y + (rows ? 1 : 0), side, tint, to.theme);
    if (rows) {
      const why = pod.why || (pod.look === "ready" ? "" : pod.look), tone = pod.look === "failed" ? "bad" : "ink";
      const text = why ? `${pod.name} — ${why}` : pod.name;
      write(pen, text, x + 18, y + 12, w - 18, `12px ${FONT}`, to.theme[tone], !why);
    }
  }
  pen.globalAlpha = 1;
}

/** Text, cut where there is no room for more: at its end, or, as names differ there, at its start. */
export function write(pen, text, x, y, width, font, tint, cutStart = false) {
  pen.font = font;
  pen.fillStyle = tint;
  if (pen.measureText(text).width > width) {
    let low = 0, high = text.length;
    const cut = (length) => cutStart ? `…${text.slice(text.length - length)}` : `${text.slice(0, length)}…`;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pen.measureText(cut(middle)).width <= width) low = middle; else high = middle - 1;
    }
    if (low < 1) return;
    text = cut(low);
  }
  pen.fillText(text, x, y);
}
