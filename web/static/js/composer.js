// The composer: a text that grows, the `/` menu, a tool's form, and Send or Stop.

import { find } from "./dom.js";
import { ToolForm } from "./form.js";
import { ToolMenu } from "./menu.js";

const touch = matchMedia("(pointer: coarse)").matches;

export class Composer {
  /** `send({type, ...})` answers nothing; `accepted(ref)` and `refused(ref, text)` tell how it went. */
  constructor(send, stop) {
    this.send = send;
    this.input = find("#message");
    this.problem = find("#composer-problem");
    this.sendButton = find("#send");
    this.stopButton = find("#stop");
    this.pending = new Map();
    this.count = 0;
    this.menu = new ToolMenu(this.input, (name, option) => this.chosen(name, option));
    this.form = new ToolForm(
      (tool, values) => this.submit({ type: "call", tool, arguments: values }, true),
      () => this.input.focus(),
      (text) => this.complain(text),
    );
    this.input.addEventListener("input", () => this.changed());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("blur", () => this.menu.close());
    find("#composer-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submitText();
    });
    find("#show-tools").addEventListener("click", () => {
      this.form.close();
      if (!this.input.value.startsWith("/")) this.input.value = "/";
      this.input.focus();
      this.changed();
    });
    this.stopButton.addEventListener("click", stop);
    document.addEventListener("click", (event) => {
      const starter = event.target.closest(".starter");
      if (starter) this.fill(starter.dataset.line);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.stopButton.hidden && !this.menu.shown && !this.form.shown) stop();
      const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        this.fill("/");
      }
    });
    this.changed(false);
  }

  fill(text) {
    this.form.close();
    this.input.value = text;
    this.input.focus();
    this.input.setSelectionRange(text.length, text.length);
    this.changed();
  }

  changed(menu = true) {
    const text = this.input.value;
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight}px`;
    this.input.classList.toggle("command", text.startsWith("/"));
    this.sendButton.disabled = text.trim() === "";
    if (!menu) return;
    const name = /^\/([^\s]*)$/.exec(text);
    if (name) this.menu.open(name[1]);
    else this.menu.close();
  }

  key(event) {
    if (event.isComposing) return;
    if (this.menu.shown) {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        this.menu.select(this.menu.at + (event.key === "ArrowDown" ? 1 : -1));
        return;
      }
      if (event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        this.menu.close();
        return;
      }
      const option = this.menu.current;
      if (event.key === "Tab" && !event.shiftKey && option) {
        event.preventDefault();
        this.fill(`/${option.dataset.tool} `);
        return;
      }
      if (event.key === "Enter" && !event.shiftKey && option) {
        event.preventDefault();
        const exact = this.menu.named(this.input.value.slice(1).trim());
        if (exact && exact.dataset.required === "0") this.submitText();
        else this.chosen((exact || option).dataset.tool, exact || option);
        return;
      }
    }
    // On a touch keyboard Enter makes a new line, as people expect there; the button sends.
    if (event.key === "Enter" && !event.shiftKey && !touch) {
      event.preventDefault();
      this.submitText();
    }
  }

  chosen(name) {
    this.menu.close();
    this.input.value = "";
    this.changed(false);
    this.form.open(name);
  }

  /** Bring a text back to be changed; `done(text)` takes it instead of the next message. */
  rework(text, done) {
    this.reworking = done;
    this.fill(text);
  }

  submitText() {
    const text = this.input.value;
    if (!text.trim()) return;
    this.menu.close();
    if (this.reworking) {
      this.reworking(text);
      this.reworking = null;
      this.input.value = "";
      this.changed(false);
      return;
    }
    this.submit({ type: "message", text }, false);
  }

  submit(message, fromForm, fromThread = false) {
    this.complain("");
    const ref = `m${++this.count}`;
    this.pending.set(ref, { text: message.text, fromForm, fromThread });
    if (!fromForm && !fromThread) {
      this.input.value = "";
      this.changed(false);
    }
    this.send({ ...message, ref });
  }

  accepted(ref) {
    const sent = this.pending.get(ref);
    this.pending.delete(ref);
    if (sent?.fromForm) this.form.close();
  }

  /** What was refused comes back into the composer, with the reason. */
  refused(ref, error) {
    const sent = this.pending.get(ref);
    this.pending.delete(ref);
    if (sent?.text && !sent.fromForm && !this.input.value) {
      this.input.value = sent.text;
      this.changed(false);
    }
    this.complain(error.hint ? `${error.message} ${error.hint}` : error.message);
    if (sent && !sent.fromForm) this.input.focus();
    return Boolean(sent?.fromThread);
  }

  complain(text) {
    this.problem.textContent = text;
    this.problem.hidden = !text;
  }

  running(yes) {
    this.stopButton.hidden = !yes;
  }
}

