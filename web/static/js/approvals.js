// The page of everything that waits: what is asked appears, and each answer replaces its card with what came of it.

import { answer, answerable, arm, follow } from "./cards.js";
import { announce, fill, find, findAll, nodes, strings } from "./dom.js";
import { refreshSidebar, showWaiting } from "./frame.js";
import { get } from "./http.js";
import { keepUp } from "./live.js";

const texts = strings();
const thread = find("#thread");

document.addEventListener("toolhost:answered", async ({ detail }) => {
  const instead = detail.reply.data.call_id; // another call, where it was changed
  for (const call of new Set([detail.card.dataset.call, instead || detail.card.dataset.call])) await follow(call, thread);
  refreshSidebar(null);
});

/** Show what else waits now, and what became of what waits no longer. Nothing is taken from whoever answers. */
async function look() {
  const reply = await get("/ui/approvals");
  if (!reply.ok) return;
  const now = nodes(reply.data);
  const open = new Set(findAll("[data-approval]", now).map((form) => form.dataset.approval));
  for (const form of findAll("[data-approval]", thread)) {
    if (!form.dataset.sent && !open.has(form.dataset.approval)) follow(form.closest(".card").dataset.call, thread);
  }
  for (const item of findAll(".approval-item", now)) {
    const card = find(".card", item);
    if (find(`[data-approval="${find("[data-approval]", card)?.dataset.approval}"]`, thread)) continue;
    if (document.getElementById(card.id)) {
      follow(card.dataset.call, thread);
    } else {
      thread.append(item);
      arm(item);
    }
    announce(fill(texts.call_waiting, { tool: card.dataset.tool }));
  }
  offer();
  find("#asked").replaceChildren(...find("#asked", now).childNodes);
  find("#asked").hidden = find("#asked", now).hidden;
  find("#lead").hidden = thread.hidden = !thread.children.length;
  find("#nothing").hidden = !thread.hidden || !find("#asked").hidden;
}

// The answer to a call that was approved comes when it has ended: until then, it is shown how far it has come.
const SOON_MS = 1500;
setInterval(() => {
  for (const card of findAll(".card", thread)) {
    if (find("[data-sent]", card) || ["preparing", "running"].includes(card.dataset.state)) follow(card.dataset.call, thread);
  }
}, SOON_MS);

// All that is shown can be refused at once. Nothing approves more than one call: each is looked at.
const every = find("#refuse-all");
every.addEventListener("click", async () => {
  every.disabled = true;
  for (const form of findAll("[data-approval]", thread)) await answer(form, "refuse");
  every.disabled = false;
});
const offer = () => (every.hidden = !find("[data-approval]", thread));
document.addEventListener("toolhost:waiting", offer);
answerable(() => (every.disabled = false));

showWaiting(Number(document.body.dataset.waiting));
keepUp(look);
