// Looking for words in a long output, without touching it: the browser draws what was found over the text.

import { fill, find } from "./dom.js";

const able = typeof Highlight === "function" && "highlights" in CSS;

function ranges(output, words) {
  const found = [];
  const walker = document.createTreeWalker(output, NodeFilter.SHOW_TEXT);
  while (words && walker.nextNode() && found.length < 5000) {
    const text = walker.currentNode.data.toLowerCase();
    for (let at = text.indexOf(words); at >= 0 && found.length < 5000; at = text.indexOf(words, at + words.length)) {
      const range = document.createRange();
      range.setStart(walker.currentNode, at);
      range.setEnd(walker.currentNode, at + words.length);
      found.push(range);
    }
  }
  return found;
}

function look(input, step) {
  const pane = input.closest(".pane-output");
  const output = find(".output", pane);
  const count = find("[data-found]", pane);
  const words = input.value.toLowerCase();
  const all = ranges(output, words);
  const at = all.length ? ((Number(input.dataset.at || -1) + step) % all.length + all.length) % all.length : -1;
  input.dataset.at = String(at);
  count.textContent = words ? fill(count.dataset.text, { at: at + 1, n: all.length }) : "";
  if (!able) return;
  CSS.highlights.set("found", new Highlight(...all));
  CSS.highlights.set("found-here", all.length ? new Highlight(all[at]) : new Highlight());
  if (all.length) {
    const box = all[at].getBoundingClientRect();
    const view = output.getBoundingClientRect();
    if (box.top < view.top || box.bottom > view.bottom) output.scrollTop += box.top - view.top - view.height / 2;
  }
}

document.addEventListener("input", (event) => {
  if (event.target.dataset?.find === undefined) return;
  event.target.dataset.at = "-1";
  look(event.target, 1);
});
document.addEventListener("keydown", (event) => {
  if (event.target.dataset?.find === undefined || event.key !== "Enter") return;
  event.preventDefault();
  look(event.target, event.shiftKey ? -1 : 1);
});
