// What shapes and colours mean.
import { el } from "./dom.js";
import { cell, sign } from "./paint.js";

const LOOKS = [["ready", "Ready", "good"], ["not-ready", "NotReady", "bad"], ["unreachable", "Unreachable", "warn"],
  ["killed", "killed", "bad"], ["frozen", "frozen", "cold"], ["partitioned", "partitioned", "hurt"],
  ["cordoned", "cordoned", "faint"]];
const PODS = ["ready", "running", "waiting", "terminating", "failed"];
const SAID = { ready: "ready", running: "not ready", waiting: "waiting", terminating: "terminating",
  failed: "failed" };

function drawn(draw) {
  const canvas = el("canvas", { "aria-hidden": "true" }), scale = devicePixelRatio || 1;
  canvas.width = canvas.height = 16 * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  draw(pen);
  return canvas;
}

/** The legend, in the colours of a theme. */
export function legend(theme) {
  const nodes = LOOKS.map(([look, said, tint]) =>
    el("span", { key: `${look} ${theme.ground}` }, drawn((pen) => sign(pen, look, 8, 8, 5.5, theme[tint])), said));
  const pods = PODS.map((look) => el("span", { key: `pod ${look} ${theme.ground}` },
    drawn((pen) => cell(pen, { look }, 2, 2, 12, theme.faint, theme)), SAID[look]));
  return [el("b", {}, "node"), nodes, el("b", {}, "pod"), pods,
    el("span", { class: "faint" }, "a pod's colour: its revision · ring: age of the heartbeat, amber: late")];
}
