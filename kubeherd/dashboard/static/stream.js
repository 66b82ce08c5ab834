// The server's stream: a whole state first, then changes; when it is lost, again after a while.
import { apply, herdOf } from "./changes.js";
import { ask } from "./dom.js";

const FIRST_WAIT = 0.5, LONGEST_WAIT = 10; // seconds
const SILENCE = 40; // seconds without anything, though the server says something every 15

/**
 * Follow the stream for ever. `tell` has: whole(herd), changed(herd, {nodes, moved}, change),
 * lost(seconds until the next try), refused() when the session is not valid any more.
 */
export class Stream {
  constructor(tell) {
    this.tell = tell;
    this.herd = null;
    this.wait = FIRST_WAIT;
    this.open();
  }

  open() {
    const source = this.source = new EventSource("/api/stream");
    const heard = (take) => (event) => {
      if (source !== this.source) return;
      this.watch();
      take(JSON.parse(event.data));
    };
    source.addEventListener("state", heard((state) => this.whole(state)));
    source.addEventListener("change", heard((change) => this.change(change)));
    source.addEventListener("error", () => { if (source === this.source) this.again(); });
    this.watch();
  }

  whole(state) {
    this.wait = FIRST_WAIT;
    this.herd = herdOf(state);
    this.tell.whole(this.herd);
  }

  change(change) {
    if (!this.herd) return;
    const seen = apply(this.herd, change);
    if (seen.ok) this.tell.changed(this.herd, seen, change);
    else this.again();
  }

  watch() {
    clearTimeout(this.silent);
    this.silent = setTimeout(() => this.again(), SILENCE * 1000);
  }

  /** Ask no more. */
  close() {
    clearTimeout(this.silent);
    this.source?.close();
    this.source = null;
    this.closed = true;
  }

  again() {
    if (this.closed) return;
    clearTimeout(this.silent);
    this.source?.close();
    this.source = null;
    const wait = this.wait * (0.5 + Math.random());
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
    this.tell.lost(wait);
    setTimeout(() => this.reopen(), wait * 1000);
  }

  async reopen() {
    if (this.closed) return;
    try {
      await ask("/api/session"); // an EventSource does not say why it failed
    } catch (error) {
      if (error.status === 401 || error.status === 403) { this.tell.refused(); return; }
      this.tell.lost(this.wait);
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
      setTimeout(() => this.reopen(), this.wait * (0.5 + Math.random()) * 1000);
      return;
    }
    this.open();
  }
}
