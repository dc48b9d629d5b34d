// Three and more calls in a row that went well take one line; what failed or asks is never folded away.

import { fill, find, findAll, strings } from "./dom.js";

const texts = strings("cardStrings");
const LEAST = 3;

const done = (node) => node?.matches?.('.card[data-state="done"]');

/** Fold what can be folded. Whatever the focus is in stays where it is. */
export function foldDone(thread) {
  for (const fold of findAll(":scope > .fold", thread)) {
    while (done(fold.nextElementSibling) && !fold.nextElementSibling.contains(document.activeElement)) find(".fold-body", fold).append(fold.nextElementSibling);
    const inside = find(".fold-body", fold).children;
    if ([...inside].some((card) => !done(card))) fold.replaceWith(...inside); // one of them is called again
    else label(fold);
  }
  let row = [];
  for (const node of [...thread.children, null]) {
    if (done(node) && !node.contains(document.activeElement)) {
      row.push(node);
      continue;
    }
    if (row.length >= LEAST) {
      const fold = document.createElement("details");
      fold.className = "fold";
      const summary = document.createElement("summary");
      const body = document.createElement("div");
      body.className = "fold-body thread";
      fold.append(summary, body);
      row[0].before(fold);
      body.append(...row);
      label(fold);
    }
    row = [];
  }
}

function label(fold) {
  const cards = findAll(".card", fold);
  const names = [...new Set(cards.map((card) => card.dataset.tool))].join(", ");
  find("summary", fold).textContent = `${fill(texts.folded, { n: cards.length })} (${names})`;
}
