"use strict";
// Draws the picture in #data: rows of bars, faults as shades, marks as lines. No library.
const picture = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("picture");
const axis = document.getElementById("axis"); // stays in sight while the rows scroll
const about = document.getElementById("about");
const pen = canvas.getContext("2d"), top_ = axis.getContext("2d");
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a5fb5",
  "#8c9a2b", "#b0413e", "#3b8686"];
const DENSE = picture.rows.length > 60;
const NAMES = 170, TOP = 46, PAD = DENSE ? 2 : 5, BEAT = DENSE ? 2 : 4, LEADER = 16;
let LANE = 9; // as high as there is room, up to 18
let from = 0, to = picture.duration, hits = [], marked = [], hover = null;

const SAID = {
  node: { good: "Ready", bad: "not Ready", unknown: "Unknown" },
  process: { good: "serves", bad: "down", unknown: "starts or hangs" },
};

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (number) => COLOURS[number % COLOURS.length];
const lane = (row) => row.kind === "leader" ? LEADER : LANE;
const height = (row) => PAD * 2 + BEAT + Math.max(1, row.lanes) * lane(row);
const x = (seconds) => NAMES + (seconds - from) / (to - from) * (canvas.clientWidth - NAMES - 12);
const seconds = (pixel) => from + (pixel - NAMES) / (canvas.clientWidth - NAMES - 12) * (to - from);
const nominal = (time) => `${(time * picture.speed).toFixed(1)} s`;

function stripes(look, tint) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const ink = tile.getContext("2d");
  ink.strokeStyle = tint;
  ink.lineWidth = look === "terminating" ? 2 : 1;
  ink.beginPath();
  ink.moveTo(0, 6); ink.lineTo(6, 0);
  ink.moveTo(-1, 1); ink.lineTo(1, -1);
  ink.moveTo(5, 7); ink.lineTo(7, 5);
  ink.stroke();
  return pen.createPattern(tile, "repeat");
}

function rect(begin, end, y, tall, fill, alpha = 1) {
  const left = Math.max(x(begin), NAMES), right = Math.min(x(end), canvas.clientWidth - 12);
  if (right < NAMES || left > canvas.clientWidth || right < left) return null;
  pen.globalAlpha = alpha;
  pen.fillStyle = fill;
  pen.fillRect(left, y, Math.max(right - left, 1), tall);
  pen.globalAlpha = 1;
  return [left, y, Math.max(right - left, 3), tall];
}

function ticks() {
  const wanted = (to - from) * picture.speed / 8;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= wanted) / picture.speed;
  const all = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) all.push(at);
  return all;
}

function drawBar(row, bar, y) {
  const leads = row.kind === "leader", tall = lane(row) - 2;
  const tint = leads ? css("--good") : colour(bar.colour ?? 0);
  for (const [begin, end, look] of bar.pieces) {
    const fill = look === "terminating" ? stripes(look, tint) : tint;
    const alpha = { waiting: .28, running: .55, ended: .28 }[look] ?? 1;
    rect(begin, end, y, tall, fill, alpha);
  }
  const place = rect(bar.begin, bar.end, y, tall, "transparent");
  if (place) {
    const states = bar.pieces.map(([begin, end, look]) => `${look} ${nominal(begin)} – ${nominal(end)}`);
    const shown = states.length > 8 ? [...states.slice(0, 7), "…"] : states;
    const what = leads ? bar.label : picture.revisions[bar.colour ?? 0];
    hits.push([place, [bar.about || bar.label, what, ...shown].filter(Boolean).join("\n")]);
    if (leads) {
      pen.fillStyle = css("--ground");
      pen.fillRect(place[0], y, 2, tall); // one leader follows the other without a gap
    }
    if (leads && place[2] > 40) {
      pen.font = "11px system-ui, sans-serif";
      pen.fillText(bar.label.slice(0, place[2] / 7), place[0] + 4, y + tall - 3);
    }
  }
}

function drawRow(row, y) {
  const tall = height(row);
  pen.fillStyle = css("--ink");
  pen.font = `${DENSE ? 9 : 12}px system-ui, sans-serif`;
  pen.fillText(row.name, 12, y + Math.min(tall / 2 + (DENSE ? 3 : 4), 18), NAMES - 22);
  for (const [begin, end, look] of row.background) {
    const place = rect(begin, end, y + PAD - 2, 2, css(`--${look}`));
    if (place) hits.push([[place[0], y, place[2], PAD + 2],
      `${row.name}: ${SAID[row.kind]?.[look] ?? look} ${nominal(begin)} – ${nominal(end)}`]);
    if (look !== "good") rect(begin, end, y, tall, css("--shade"));
  }
  pen.fillStyle = css("--faint");
  for (const beat of row.beats) if (beat >= from && beat <= to) pen.fillRect(x(beat), y + PAD + 1, 1, BEAT - 1);
  for (const bar of row.bars) {
    if (bar.end < from || bar.begin > to) continue;
    drawBar(row, bar, y + PAD + BEAT + (bar.lane ?? 0) * lane(row) + 1);
  }
  for (const [begin, end, label] of row.faults) {
    const place = rect(begin, Math.max(end, begin), y + 1, tall - 2, css("--fault"));
    if (!place) continue;
    pen.fillStyle = css("--fault-edge");
    pen.fillRect(place[0], y + 1, 2, tall - 2);
    hits.unshift([place, `${label}\n${nominal(begin)} – ${nominal(end)}`]);
  }
  pen.fillStyle = css("--line");
  pen.fillRect(0, y + tall, canvas.clientWidth, 1);
}

function drawMarks(total) {
  const shown = picture.marks.filter(([at]) => at >= from && at <= to);
  const steps = shown.filter(([, what]) => what !== "did").map(([at]) => x(at));
  let free = NAMES; // the names of steps cover neither each other nor their dots
  for (const [at, what, text] of shown) {
    const bad = what === "violation", name = bad ? "violated" : text.split(":")[0];
    const tint = css(bad ? "--bad" : "--faint");
    top_.fillStyle = pen.fillStyle = tint;
    marked.push([[x(at) - 6, 16, 12, 28], `${nominal(at)}\n${text}`]);
    if (what === "did") { top_.fillRect(x(at), 36, 2, 6); continue; }
    for (const [one, y, tall] of [[top_, 24, TOP], [pen, 0, total]]) {
      one.globalAlpha = bad ? 1 : .55;
      one.fillRect(x(at), y, bad ? 2 : 1, tall);
      one.globalAlpha = 1;
    }
    top_.beginPath(); top_.arc(x(at), 25, bad ? 6 : 4, 0, 7); top_.fill();
    const wide = top_.measureText(name).width + 8;
    const left = x(at) + wide > canvas.clientWidth ? x(at) - wide : x(at) + 8;
    const clear = !steps.some((dot) => Math.abs(dot - x(at)) > 1 && dot > left - 6 && dot - 6 < left + wide);
    if (left >= free && clear) { top_.fillText(name, left, 29); free = left + wide; }
  }
}

function fit() {
  const lanes = picture.rows.reduce((sum, row) => sum + Math.max(1, row.lanes), 0);
  const room = innerHeight - canvas.getBoundingClientRect().top - scrollY - TOP - 110;
  const each = (room - picture.rows.length * (PAD * 2 + BEAT + 1)) / Math.max(lanes, 1);
  LANE = Math.min(Math.max(Math.floor(each), DENSE ? 5 : 8), 18);
}

function sized(one, ink, tall) {
  const scale = devicePixelRatio || 1;
  one.style.height = `${tall}px`;
  one.width = one.clientWidth * scale;
  one.height = tall * scale;
  ink.setTransform(scale, 0, 0, scale, 0, 0);
  ink.font = "11px system-ui, sans-serif";
}

function draw() {
  fit();
  const total = picture.rows.reduce((sum, row) => sum + height(row) + 1, 0) + 8;
  sized(canvas, pen, total);
  sized(axis, top_, TOP);
  hits = [];
  marked = [];
  let y = 0;
  picture.rows.forEach((row, index) => {
    if (index % 2) { pen.fillStyle = css("--band"); pen.fillRect(0, y, canvas.clientWidth, height(row)); }
    y += height(row) + 1;
  });
  for (const at of ticks()) {
    top_.fillStyle = pen.fillStyle = css("--line");
    top_.fillRect(x(at), 16, 1, TOP); pen.fillRect(x(at), 0, 1, total);
    top_.fillStyle = css("--faint"); top_.fillText(`${+(at * picture.speed).toFixed(3)} s`, x(at) + 3, 12);
  }
  y = 0;
  for (const row of picture.rows) { drawRow(row, y); y += height(row) + 1; }
  drawMarks(total);
}

function zoom(factor, centre) {
  const wide = Math.min(Math.max((to - from) * factor, picture.duration / 5000), picture.duration);
  const share = (centre - from) / (to - from);
  from = Math.min(Math.max(centre - wide * share, 0), picture.duration - wide);
  to = from + wide;
  draw();
}

function move(by) {
  const wide = to - from;
  from = Math.min(Math.max(from + by, 0), picture.duration - wide);
  to = from + wide;
  draw();
}

canvas.addEventListener("wheel", (event) => {
  const scrolls = document.documentElement.scrollHeight > innerHeight;
  if (scrolls && !event.ctrlKey && !event.metaKey) return; // the page is longer than the window
  event.preventDefault();
  if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) move(event.deltaX / 800 * (to - from));
  else zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, seconds(event.offsetX));
}, { passive: false });
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  canvas.classList.add("dragged");
  hover = event.offsetX;
});
canvas.addEventListener("pointerup", () => { hover = null; canvas.classList.remove("dragged"); });
function tell(event, places) {
  const found = places.find(([[left, top, wide, tall]]) => event.offsetX >= left &&
    event.offsetX <= left + wide && event.offsetY >= top && event.offsetY <= top + tall);
  about.style.display = found ? "block" : "none";
  if (!found) return;
  about.textContent = found[1];
  about.style.left = `${Math.min(event.offsetX + 14, canvas.clientWidth - about.offsetWidth - 8)}px`;
  about.style.top = `${event.target.offsetTop + event.offsetY + 16}px`;
}

canvas.addEventListener("pointermove", (event) => {
  if (hover !== null) { move(seconds(hover) - seconds(event.offsetX)); hover = event.offsetX; return; }
  tell(event, hits);
});
axis.addEventListener("pointermove", (event) => tell(event, marked));
for (const one of [canvas, axis]) {
  one.addEventListener("pointerleave", () => { about.style.display = "none"; });
}
canvas.addEventListener("keydown", (event) => {
  const middle = (from + to) / 2, tenth = (to - from) / 10;
  const act = { "+": () => zoom(1 / 1.4, middle), "-": () => zoom(1.4, middle), "0": () => zoom(1e9, middle),
    ArrowLeft: () => move(-tenth), ArrowRight: () => move(tenth) }[event.key];
  if (act) { event.preventDefault(); act(); }
});
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

const legend = document.getElementById("legend");
function explain(look, text) {
  const entry = document.createElement("span"), swatch = document.createElement("i");
  if (look.startsWith("#")) swatch.style.background = look; else swatch.className = look;
  entry.append(swatch, text);
  legend.append(entry);
}
explain("waiting", "pod waits, or has ended");
explain("running", "runs, not Ready");
explain("pod", "Ready");
explain("terminating", "is being deleted");
explain("hurt", "a fault");
explain("line up", "node Ready, process serves");
explain("line silent", "node Unknown, process starts or hangs");
explain("line down", "node not Ready, process down");
explain("beats", "heartbeats");
legend.append(document.createElement("b"));
picture.revisions.slice(0, 12).forEach((name, number) => explain(colour(number), name));
draw();
