// The page of everything that waits: each answer replaces its card with what came of it.

import { place } from "./cards.js";
import { find } from "./dom.js";
import { refreshSidebar, showWaiting } from "./frame.js";
import { get } from "./http.js";

document.addEventListener("toolhost:answered", async ({ detail }) => {
  const answer = await get(`/ui/calls/${detail.card.dataset.call}`);
  if (answer.ok) place(find("#thread"), answer.data);
  refreshSidebar(null);
});

showWaiting(Number(document.body.dataset.waiting));
