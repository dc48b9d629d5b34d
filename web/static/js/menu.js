// The `/` menu: every granted tool, filtered as one types, chosen with the arrow keys.

import { find, findAll, nodes } from "./dom.js";
import { get } from "./http.js";

export class ToolMenu {
  /** `choose(name)` is called when a tool is chosen for its form. */
  constructor(input, choose) {
    this.input = input;
    this.box = find("#tool-menu");
    this.options = findAll("[role=option]", this.box);
    this.choose = choose;
    this.at = -1;
    this.box.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays in the text
    this.box.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.choose(option.dataset.tool);
    });
  }

  /** Other tools may be called than before: take the list as it is now. */
  async renew() {
    const answer = await get("/ui/tools");
    if (!answer.ok) return;
    find("#tool-list").replaceChildren(nodes(answer.data));
    this.options = findAll("[role=option]", this.box);
    const name = /^\/([^\s]*)$/.exec(this.input.value);
    if (this.shown && name) this.open(name[1]);
  }

  get shown() {
    return !this.box.hidden;
  }

  get current() {
    return this.visible()[this.at] || null;
  }

  /** The option whose name this is. */
  named(name) {
    return this.options.find((option) => option.dataset.tool === name) || null;
  }

  visible() {
    return this.options.filter((option) => !option.hidden);
  }

  /** Show what matches: names that begin so first in mind, then those that have it anywhere. */
  open(query) {
    const wanted = query.toLowerCase();
    for (const option of this.options) {
      const text = `${option.dataset.tool} ${option.textContent}`.toLowerCase();
      option.hidden = !(wanted === "" || text.includes(wanted));
    }
    for (const group of findAll(".tool-group", this.box)) {
      group.hidden = !this.options.some((option) => !option.hidden && option.dataset.tool.startsWith(`${group.dataset.plugin}.`));
    }
    const matching = this.visible();
    find("#tool-none").hidden = matching.length > 0;
    this.box.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    const best = matching.findIndex((option) => option.dataset.tool.startsWith(wanted));
    this.select(Math.max(0, best));
  }

  close() {
    this.box.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.at = -1;
  }

  select(index) {
    const matching = this.visible();
    for (const option of this.options) option.setAttribute("aria-selected", "false");
    if (!matching.length) {
      this.at = -1;
      this.input.removeAttribute("aria-activedescendant");
      return;
    }
    this.at = (index + matching.length) % matching.length;
    const option = matching[this.at];
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", option.id);
  }
}
