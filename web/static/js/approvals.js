// The page of everything that waits: each answer replaces its card with what came of it.

import { answer, answerable, follow } from "./cards.js";
import { find, findAll } from "./dom.js";
import { refreshSidebar, showWaiting } from "./frame.js";

document.addEventListener("toolhost:answered", async ({ detail }) => {
  const instead = detail.reply.data.call_id; // another call, where it was changed
  for (const call of new Set([detail.card.dataset.call, instead || detail.card.dataset.call])) await follow(call, find("#thread"));
  refreshSidebar(null);
});

// The answer to a call that was approved comes when it has ended: until then, it is shown how far it has come.
const SOON_MS = 1500;
setInterval(() => {
  for (const form of findAll("[data-approval][data-sent]")) follow(form.closest(".card").dataset.call, find("#thread"));
}, SOON_MS);

// All that is shown can be refused at once. Nothing approves more than one call: each is looked at.
const every = find("#refuse-all");
every?.addEventListener("click", async () => {
  every.disabled = true;
  for (const form of findAll("[data-approval]")) await answer(form, "refuse");
  every.disabled = false;
});
document.addEventListener("toolhost:waiting", () => {
  if (every) every.hidden = !find("[data-approval]");
});
if (every) answerable(() => (every.disabled = false));

showWaiting(Number(document.body.dataset.waiting));
