// What the keys do, where nothing else takes them.

const $ = (id) => document.getElementById(id);

/** A key was pressed anywhere on the page. */
export function key(app, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("dialog").open) return;
  const writes = ["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName);
  if (event.key === "Escape") { escape(app, writes); return; }
  if (writes) return;
  const { commands, view } = app;
  const does = {
    "/": () => $("filter").focus(), "?": () => commands.help(), "+": () => commands.zoom("in"),
    "=": () => commands.zoom("in"), "-": () => commands.zoom("out"), 0: () => commands.zoom("all"),
    l: () => commands.live(), p: () => commands.play(),
    e: () => commands.trouble(), m: () => commands.view("herd"), t: () => commands.view("table"),
    n: () => commands.view("timeline"),
  }[event.key];
  if (does) { event.preventDefault(); does(); return; }
  if (event.target !== $("canvas")) return;
  if (event.key.startsWith("Arrow")) {
    event.preventDefault();
    const name = app.herd.neighbour(event.key);
    app.go({ node: name, pod: "" }, true);
    app.name(name);
    app.herd.reveal(name);
  }
  if (event.key === "Enter" && view.node) {
    event.preventDefault(); // else it clicks what gets the focus
    $("details").focus();
  }
}

/** Back by one: the filter's text, the filter, the pod, everything that is selected. */
function escape(app, writes) {
  if (writes && $("filter").value) {
    $("filter").value = "";
    app.go({ filter: "" });
  } else if (writes) $("canvas").focus();
  else if (app.view.pod) app.go({ pod: "" });
  else app.go({ node: "", workload: "" });
}
