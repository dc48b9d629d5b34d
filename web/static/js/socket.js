// The connection: it comes back by itself, says so, and goes on exactly where it was.

import { find } from "./dom.js";

const FIRST_MS = 400;
const LONGEST_MS = 15000;
const PING_MS = 25000; // keeps proxies from closing a quiet connection, and notices a dead one

/** Show how the connection stands, where the page has a place for it. */
export function showState(name) {
  const status = find("#connection");
  if (!status) return;
  status.dataset.state = name;
  find(".connection-text", status).textContent = status.dataset[name];
}

export class Connection {
  /** `handlers`: state(name, attempt), event(event), opened(), ended(). */
  constructor(handlers) {
    this.handlers = handlers;
    this.attempt = 0;
    this.queue = [];
    this.heard = Date.now();
    this.open();
    setInterval(() => this.beat(), PING_MS);
    // It may have outlived that: then nothing opens anew, and nobody else says that it is there.
    window.addEventListener("online", () => (this.ready ? this.handlers.state("online", 0) : this.hurry()));
    window.addEventListener("offline", () => this.handlers.state("offline", this.attempt));
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.hurry());
    document.addEventListener("toolhost:leaving", () => this.stop());
    document.addEventListener("toolhost:staying", () => {
      this.stopped = false;
      this.hurry();
    });
  }

  open() {
    clearTimeout(this.timer);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/ws/chat?view=html`);
    this.socket.addEventListener("open", () => {
      this.attempt = 0;
      this.heard = Date.now();
      this.handlers.state("online", 0);
      this.handlers.opened();
      for (const message of this.queue.splice(0)) this.socket.send(message);
    });
    this.socket.addEventListener("message", (event) => {
      this.heard = Date.now();
      this.handlers.event(JSON.parse(event.data));
    });
    this.socket.addEventListener("close", (event) => this.closed(event.code));
  }

  /** Close for good, unless whoever leaves stays. */
  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.socket.close();
  }

  async closed(code) {
    if (this.stopped) return;
    this.attempt += 1;
    this.handlers.state(navigator.onLine ? "connecting" : "offline", this.attempt);
    // A refused handshake looks like any other failure from here: ask whether the session still stands.
    if (code === 4401 || this.attempt % 3 === 0) await this.handlers.ended();
    if (this.stopped || this.socket.readyState !== WebSocket.CLOSED) return; // hurried meanwhile
    clearTimeout(this.timer);
    const wait = Math.min(LONGEST_MS, FIRST_MS * 2 ** (this.attempt - 1)) * (0.75 + Math.random() / 2);
    this.timer = setTimeout(() => this.open(), wait);
  }

  beat() {
    if (!this.ready) return;
    if (Date.now() - this.heard > 3 * PING_MS) this.socket.close();
    else this.sendNow({ type: "ping" });
  }

  hurry() {
    if (!this.stopped && this.socket.readyState === WebSocket.CLOSED) this.open();
  }

  get ready() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** Send now, or as soon as there is a connection. */
  send(message) {
    const text = JSON.stringify(message);
    if (this.ready) this.socket.send(text);
    else this.queue.push(text);
  }

  /** Send now or not at all: what says where we were makes no sense later. Returns whether it was sent. */
  sendNow(message) {
    if (this.ready) this.socket.send(JSON.stringify(message));
    return this.ready;
  }
}
