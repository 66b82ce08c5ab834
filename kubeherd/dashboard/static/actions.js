// What can be done to the cluster: buttons, and a dialog that shows the command before it runs.
import { button, el, render, ask } from "./dom.js";

/** What an action is called; `hurts`: what it breaks, which the dialog says and asks about; `says`: what else it says. */
const ACTIONS = {
  kill: { label: "Kill",
    hurts: "The node's process gets SIGKILL, as if the power were cut. It stays dead until it is started." },
  freeze: { label: "Freeze", hurts: "The node's process hangs (SIGSTOP) until it is thawed." },
  thaw: { label: "Thaw" },
  stop: { label: "Stop", hurts: "The node's process ends gracefully and stays away until it is started." },
  start: { label: "Start" },
  cordon: { label: "Cordon" },
  uncordon: { label: "Uncordon" },
  drain: { label: "Drain", hurts: "The node is cordoned and its pods (but those of DaemonSets) are evicted." },
  partition: { label: "Partition",
    hurts: "The node and the API server no longer hear each other until the fault is healed." },
  heal: { label: "Heal" },
  "remove-node": { label: "Remove", hurts: "The node's process is stopped and its Node is deleted." },
  "add-nodes": { label: "Add nodes", fields: [["count", "How many", "number", "1"]] },
  speed: { label: "Speed", fields: [["speed", "How many times faster than real time", "number", "10"]],
    says: "The cluster's processes are started again, in order: nothing moves for a second or two. Pods live on." },
  "set-image": { label: "Set image", fields: [["container", "Container (none: all of them)", "text", ""],
    ["image", "Image", "text", ""]] },
  "roll-back": { label: "Roll back", hurts: "The workload's pods are replaced by pods of the earlier revision." },
  restart: { label: "Restart", hurts: "All pods of the workload are replaced, as its strategy allows." },
  pause: { label: "Pause" },
  resume: { label: "Resume" },
};
/** Those that kubectl can do, so that they work on any cluster. */
const KUBECTL = new Set(["cordon", "uncordon", "drain", "set-image", "roll-back", "restart", "remove-node", "pause",
  "resume"]);

export class Actions {
  constructor(app, dialog) {
    Object.assign(this, { app, dialog });
    dialog.addEventListener("input", () => this.preview());
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.tagName === "INPUT") { event.preventDefault(); this.run(); }
    });
  }

  /** Why nothing can be done now; "" if it can. */
  forbidden() {
    const { session, view } = this.app;
    if (!session) return "not connected";
    if (!session.live) return "this is a recorded history";
    if (session.read_only) return "the dashboard was started with --read-only";
    if (view.t !== null) return "this is the past: go back to live first";
    return "";
  }

  /** A button for an action with its arguments, which `unfit` (a reason) disables; nothing where the cluster does not
   * know the action. */
  button(action, given, { label = ACTIONS[action].label, unfit = "" } = {}) {
    if (this.app.session && !this.app.session.ours && !KUBECTL.has(action)) return null;
    const why = this.forbidden() || unfit;
    return button("act", JSON.stringify({ action, ...given }), label, { disabled: Boolean(why), title: why || false,
      class: ACTIONS[action].hurts ? "hurts" : "", "data-testid": `act-${action}` });
  }

  /** Each in its place, whatever becomes of the node: a click meets what it was meant for. */
  ofNode(tile) {
    const node = tile.name, frozen = tile.process === "frozen", down = Boolean(tile.process) && !frozen;
    const on = (action, unfit) => this.button(action, { node }, { unfit });
    const away = down && "its process is down", cutOff = tile.faults.includes("partition");
    return [down ? on("start") : on("kill"), frozen ? on("thaw") : on("freeze", away),
      on("stop", frozen ? "its process is frozen" : away),
      tile.cordoned ? on("uncordon") : on("cordon"), on("drain"),
      on("partition", cutOff && "it is cut off already"), on("remove-node")].filter(Boolean);
  }

  /** The same for several nodes. */
  ofNodes(nodes) {
    return ["kill", "freeze", "thaw", "stop", "start", "cordon", "uncordon", "drain", "partition"]
      .map((action) => this.button(action, { nodes })).filter(Boolean);
  }

  ofWorkload(rollout) {
    const on = (action, more) => this.button(action, { workload: rollout.key, ...more });
    if (!["DaemonSet", "Deployment", "StatefulSet"].includes(rollout.kind)) return [];
    const image = rollout.revisions.at(-1)?.images?.[0] ?? "";
    return [on("set-image", { image }), on("restart"),
      rollout.kind === "Deployment" && on(rollout.paused ? "resume" : "pause")].filter(Boolean);
  }

  heal(fault) { return fault.undoable !== false ? this.button("heal", { fault: fault.id }) : null; }

  // --- the dialog ---

  open(request) {
    this.request = request;
    const { label, hurts, says, fields = [] } = ACTIONS[request.action];
    const several = request.nodes && `${request.nodes.length} nodes`;
    const about = request.node ?? several ?? request.workload ?? request.fault ?? "";
    render(this.dialog,
      el("h2", {}, `${label} ${about}`),
      hurts && el("p", { class: "hurt" }, hurts),
      says && el("p", {}, says),
      fields.map(([name, title, type, start]) => el("label", { key: name }, title,
        el("input", { name, type, min: type === "number" ? 1 : false, value: request[name] ?? start,
          "data-testid": `field-${name}`, autocomplete: "off" }))),
      el("p", { class: "faint" }, "The command that does the same:"),
      el("div", { class: "command" }, el("code", { id: "command", "data-testid": "command" }, "…"),
        button("copy", "", "Copy", { "data-testid": "copy" })),
      el("p", { id: "refused", class: "bad", role: "alert" }),
      el("div", { class: "buttons" }, button("run", "", hurts ? `${label}: do it` : label,
        { class: hurts ? "main hurts" : "main", "data-testid": "run" }),
        button("dismiss", "", "Cancel", { "data-testid": "cancel" })));
    this.dialog.setAttribute("aria-label", `${label} ${about}`);
    for (const input of this.dialog.querySelectorAll("input")) input.value = input.getAttribute("value");
    this.dialog.showModal();
    (this.dialog.querySelector("input:last-of-type") ?? this.dialog.querySelector("[data-do=run]")).focus();
    this.preview();
  }

  /** What is asked for; null while a field that is needed is empty. */
  body() {
    const body = { ...this.request };
    for (const { name, value, type } of this.dialog.querySelectorAll("input")) {
      const given = type === "number" ? Number(value) : value.trim();
      if (given) body[name] = given; else delete body[name];
      if (!given && name !== "container") return null;
    }
    return body;
  }

  async preview() {
    const turn = this.turn = (this.turn ?? 0) + 1;
    const said = { command: "", error: "" }, body = this.body();
    this.dialog.querySelector("[data-do=run]").disabled = !body;
    try {
      if (body) said.command = (await this.post({ ...body, dry_run: true })).command;
    } catch (error) { said.error = error.message; }
    if (turn !== this.turn || !this.dialog.open) return;
    this.dialog.querySelector("#command").textContent = said.command || "…";
    this.dialog.querySelector("#refused").textContent = said.error;
  }

  async run() {
    const go = this.dialog.querySelector("[data-do=run]");
    if (go.disabled) return;
    go.disabled = true;
    this.turn += 1;
    try {
      const { text, command } = await this.post(this.body());
      this.dialog.close();
      this.app.toast(text || command, "good");
    } catch (error) {
      this.dialog.querySelector("#refused").textContent = error.message;
      this.app.toast(error.message, "bad");
    }
    go.disabled = false;
  }

  async copy() {
    const text = this.dialog.querySelector("#command").textContent;
    try {
      await navigator.clipboard.writeText(text);
      this.app.toast("copied", "good");
    } catch {
      getSelection().selectAllChildren(this.dialog.querySelector("#command")); // for Ctrl-C
    }
  }

  post(body) {
    return ask("/api/action", { method: "POST", body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", "X-Kubeherd-Csrf": this.app.session?.csrf ?? "" } });
  }
}
