// What keys and signs there are.
import { button, el, render } from "./dom.js";

const KEYS = [["← ↑ → ↓", "from node to node (when the map has the focus)"], ["Enter", "to the details of the node"],
  ["e", "to the next node with which something is wrong"], ["/", "filter by label"],
  ["+  −  0", "zoom in, out, show all"], ["wheel, pinch, drag", "zoom and move the map"],
  ["m  t  n", "map, table, nodes by time"], ["l  p", "back to live; play what happened"],
  ["Esc", "close, clear, deselect"], ["?", "this"]];
const FILTERS = [["zone=a, disk!=hdd", "labels with and without a value"],
  ["zone in (a, b)", "one of several; notin for none of them"],
  ["gpu", "has the label, or the name contains it"], ["!spot", "does not have the label"]];

const list = (rows) => el("dl", {}, rows.map(([key, said]) => [el("dt", {}, el("kbd", {}, key)),
  el("dd", {}, said)]));

/** Show it in the dialog. */
export function help(dialog) {
  dialog.setAttribute("aria-label", "Help");
  render(dialog, el("h2", {}, "Help"),
    el("p", {}, "Each box is a node; in it, each square is a pod in the colour of its revision. Click a node, a pod "
      + "or a workload for more. Drag in the timeline to see an earlier moment. The address of the page keeps what "
      + "you look at: share or bookmark it."),
    el("h3", {}, "Keys"), list(KEYS), el("h3", {}, "Filters"), list(FILTERS),
    el("div", { class: "buttons" }, button("dismiss", "", "Close", { class: "main" })));
  dialog.showModal();
}
