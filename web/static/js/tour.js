// The guided first chat: one call that is allowed, one that asks, one that is denied.

import { announce, find } from "./dom.js";

const tour = find("#tour");

/** `send(line)` says it as if it had been typed. */
export function guide(send) {
  if (!tour) return;
  let step = find("li:not([hidden])", tour);
  tour.addEventListener("click", (event) => {
    const what = event.target.closest("[data-tour]")?.dataset.tour;
    if (what === "do") {
      find('[data-tour="do"]', step).disabled = true;
      send(step.dataset.line);
    } else if (what === "next" && step.nextElementSibling) {
      step.hidden = true;
      step = step.nextElementSibling;
      step.hidden = false;
      find("button", step).focus();
    } else if (what) {
      tour.remove();
      find("#message").focus();
    }
  });
  document.addEventListener("toolhost:card", ({ detail: card }) => {
    if (!step.dataset.line.startsWith(`/${card.dataset.tool}`) || !step.dataset.wanted.split(" ").includes(card.dataset.state)) return;
    const after = find("[data-after]", step);
    find("[data-before]", step).hidden = true;
    find('[data-tour="do"]', step).hidden = true;
    after.hidden = false;
    find('[data-tour="next"]', step).hidden = false;
    announce(after.textContent);
  });
}
