// The form of a tool: fetched from the server, read into arguments.

import { element, fill, find, findAll, strings } from "./dom.js";
import { wordsOf } from "./errors.js";
import { get } from "./http.js";

const texts = strings("formStrings");

export class ToolForm {
  /** `run(tool, arguments)` on submit, `closed()` when it goes away. */
  constructor(run, closed, complain) {
    this.box = find("#tool-form");
    this.run = run;
    this.closed = closed;
    this.complain = complain;
    this.sent = null; // what it was sent as, until that is accepted or refused
    this.box.addEventListener("click", (event) => {
      if (event.target.closest('[data-form="cancel"]')) this.close();
    });
    this.box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.close();
      } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        find("form", this.box).requestSubmit();
      }
    });
    this.box.addEventListener("submit", (event) => {
      event.preventDefault();
      const form = event.target;
      const values = this.sent === null && read(form, this.complain);
      if (values) this.run(form.dataset.tool, values);
    });
  }

  get shown() {
    return !this.box.hidden;
  }

  async open(tool) {
    const answer = await get(`/ui/form/${encodeURIComponent(tool)}`);
    if (!answer.ok) return this.complain(wordsOf(answer.data.error));
    this.sent = null;
    this.box.replaceChildren(element(answer.data));
    this.box.hidden = false;
    (find("input, textarea, select", this.box) || find("button.button-primary", this.box)).focus();
  }

  close() {
    if (!this.shown) return;
    this.sent = null;
    this.box.hidden = true;
    this.box.replaceChildren();
    this.complain("");
    this.closed();
  }
}

/** The arguments, or null after having said what is wrong. What is empty and not required is left out. */
export function read(form, complain) {
  const values = {};
  const wrong = (field, text) => {
    field.setAttribute("aria-invalid", "true");
    field.focus();
    complain(text);
    return null;
  };
  for (const field of findAll("[data-kind]", form)) {
    const { kind, items } = field.dataset;
    field.removeAttribute("aria-invalid");
    if (kind === "boolean") {
      if (field.checked || field.dataset.default) values[field.name] = field.checked;
      continue;
    }
    if (field.value === "" && !(field.dataset.empty && (kind === "text" || kind === "lines"))) {
      if (!field.required) continue;
      return wrong(field, fill(texts.missing, { name: field.name }));
    }
    if (field.value !== "" && field.validity && !field.validity.valid) return wrong(field, `${field.name}: ${field.validationMessage}`);
    if (kind === "number") values[field.name] = Number(field.value);
    else if (kind === "list") {
      const lines = field.value.split("\n").filter((line) => line !== "");
      values[field.name] = items === "string" ? lines : lines.map(Number);
    } else if (kind === "json") {
      try {
        values[field.name] = JSON.parse(field.value);
      } catch {
        return wrong(field, fill(texts.invalid_json, { name: field.name }));
      }
    } else values[field.name] = field.value;
  }
  complain("");
  return values;
}
