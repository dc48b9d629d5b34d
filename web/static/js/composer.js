// The composer: a text that grows, the `/` menu, a tool's form, and Send or Stop.

import { find } from "./dom.js";
import { inFull } from "./errors.js";
import { ToolForm } from "./form.js";
import { ToolMenu } from "./menu.js";

const touch = matchMedia("(pointer: coarse)").matches;

export class Composer {
  /** `send({type, ...})` answers nothing; `accepted(ref)` and `refused(ref, error)` tell how it went. */
  constructor(send, stop) {
    this.send = send;
    this.input = find("#message");
    this.problem = find("#composer-problem");
    this.sendButton = find("#send");
    this.stopButton = find("#stop");
    this.pending = new Map();
    this.count = 0;
    this.aside = []; // what was being written when something else came between
    this.menu = new ToolMenu(this.input, (name) => this.chosen(name));
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
      if (this.input.value.startsWith("/")) this.input.focus();
      else this.fill("/");
      this.changed();
    });
    this.stopButton.addEventListener("click", stop);
    document.addEventListener("click", (event) => {
      const starter = event.target.closest(".starter");
      if (starter) this.fill(starter.dataset.line);
    });
    document.addEventListener("keydown", (event) => {
      const elsewhere = event.target.closest?.("input, select, dialog"); // which Escape empties or closes
      const free = !event.defaultPrevented && !elsewhere && !this.menu.shown && !this.form.shown;
      if (event.key === "Escape" && free && !this.stopButton.hidden) stop();
      const typing = event.target.closest?.("input, textarea, select, dialog, [contenteditable]");
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        this.fill("/");
      }
    });
    this.keepDraft();
    this.changed(false);
  }

  /** What is written and not sent is there again when this page is, unless its person signs out. */
  keepDraft() {
    const place = () => `toolhost-draft ${document.body.dataset.user} ${location.pathname}`;
    this.input.value = sessionStorage.getItem(place()) ?? "";
    let kept = true;
    document.addEventListener("toolhost:leaving", () => (kept = false));
    document.addEventListener("toolhost:staying", () => (kept = true));
    addEventListener("pagehide", () => {
      if (this.input.value && kept) sessionStorage.setItem(place(), this.input.value);
      else sessionStorage.removeItem(place());
    });
  }

  /** Write a text. What stood there comes back when the text is sent or taken out. */
  fill(text) {
    this.form.close();
    if (this.input.value) this.aside.push([this.input.value, this.reworking]);
    this.reworking = null;
    this.input.value = text;
    this.input.focus();
    this.input.setSelectionRange(text.length, text.length);
    this.changed();
  }

  changed(menu = true) {
    if (!this.input.value) [this.input.value, this.reworking] = this.aside.pop() ?? ["", null];
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
        if (this.input.value === "/") this.clear();
        return;
      }
      const option = this.menu.current;
      if (event.key === "Tab" && !event.shiftKey && option) {
        event.preventDefault();
        this.input.value = `/${option.dataset.tool} `;
        this.changed();
        return;
      }
      if (event.key === "Enter" && !event.shiftKey && option) {
        event.preventDefault();
        const exact = this.menu.named(this.input.value.slice(1).trim());
        if (exact && exact.dataset.required === "0") this.submitText();
        else this.chosen((exact || option).dataset.tool);
        return;
      }
    }
    // On a touch keyboard Enter makes a new line, as people expect there; the button sends.
    if (event.key === "Enter" && !event.shiftKey && !touch) {
      event.preventDefault();
      this.submitText();
    }
  }

  clear() {
    this.input.value = "";
    this.changed(false);
  }

  chosen(name) {
    this.menu.close();
    this.clear();
    this.form.open(name);
  }

  /** Bring the text of a message that waits for its turn back to be changed. */
  rework(run, text) {
    this.fill(text);
    this.reworking = run;
  }

  submitText() {
    const text = this.input.value;
    if (!text.trim()) return;
    this.menu.close();
    this.submit(this.reworking ? { type: "edit", run_id: this.reworking, text } : { type: "message", text }, false);
  }

  submit(message, fromForm, fromThread = false) {
    this.complain("");
    const ref = `m${++this.count}`;
    this.pending.set(ref, { text: message.text, fromForm, fromThread });
    if (fromForm) this.form.sent = ref;
    else if (!fromThread) this.clear();
    this.send({ ...message, ref });
  }

  accepted(ref) {
    const sent = this.pending.get(ref);
    this.pending.delete(ref);
    if (sent?.fromForm && this.form.sent === ref) this.form.close();
  }

  /** What was refused comes back into the composer, with the reason. */
  refused(ref, error) {
    const sent = this.pending.get(ref);
    this.pending.delete(ref);
    if (this.form.sent === ref) this.form.sent = null;
    if (sent?.text && !sent.fromForm) {
      this.fill(sent.text);
      this.menu.close();
    }
    this.complain(inFull(error));
    if (sent && !sent.fromForm) this.input.focus();
    return Boolean(sent?.fromThread);
  }

  /** Say a text, or nodes, above what is written; nothing for an empty text. */
  complain(said) {
    const whole = document.createElement("span"); // one sentence, however many nodes it is
    whole.append(...[said].flat());
    this.problem.replaceChildren(whole);
    this.problem.hidden = !said;
  }

  running(yes) {
    this.stopButton.hidden = !yes;
  }
}
