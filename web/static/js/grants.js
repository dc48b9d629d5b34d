// The page of what counts again: each can be taken back, and then the next such call asks.

import { find } from "./dom.js";
import { wordsOf } from "./errors.js";
import { remove } from "./http.js";
import "./moments.js";
import { tell } from "./toast.js";

const list = find("#grants");

list?.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-revoke]");
  if (!button || button.disabled) return;
  button.disabled = true;
  const reply = await remove(button.dataset.revoke);
  if (reply.ok || reply.status === 404) {
    // What had ended already is as gone as what this ended.
    button.closest("[data-grant]").remove();
    tell(list.dataset.revoked);
    find("#main").focus();
    if (!list.children.length) location.reload();
    return;
  }
  const problem = find("#grant-problem");
  problem.textContent = wordsOf(reply.data.error);
  problem.hidden = false;
  button.disabled = false;
});
