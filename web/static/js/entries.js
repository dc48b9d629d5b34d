// What one does with a message: copy it, edit it, have it answered again, go between branches, say whether it helped.

import { announce, element, find, strings } from "./dom.js";
import { put } from "./http.js";
import { worked } from "./toast.js";

const texts = strings("entryStrings");
const raw = (message) => find("[data-raw]", message).content.textContent;

/** `handlers`: conversation(), send(message), reload(). */
export function entries(thread, handlers) {
  thread.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-entry-do]");
    const message = button?.closest("[data-entry]");
    if (!message) return;
    const id = Number(message.dataset.entry);
    const place = `/api/conversations/${handlers.conversation()}`;
    const what = button.dataset.entryDo;
    if (what === "copy") {
      await navigator.clipboard.writeText(raw(message));
      announce(texts.copied);
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1200);
    } else if (what === "edit") {
      edit(message, (text) => {
        cut(message);
        handlers.send({ type: "message", text, edit_of: id });
      });
    } else if (what === "retry") {
      cut(message);
      handlers.send({ type: "retry", entry_id: id });
    } else if (what === "branch") {
      button.disabled = true;
      const answer = await put(`${place}/branch`, { entry_id: Number(button.dataset.to) });
      if (worked(answer)) await handlers.reload();
      button.disabled = false;
    } else if (what === "up" || what === "down") {
      const on = button.getAttribute("aria-pressed") === "true";
      const answer = await put(`${place}/entries/${id}/feedback`, { rating: on ? null : what });
      if (!worked(answer)) return;
      for (const other of message.querySelectorAll("[aria-pressed]")) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", String(!on));
      announce(on ? texts.unrated : texts.rated);
    }
  });
}

/** Take a message, and what follows it, out of sight: another branch begins there. */
function cut(message) {
  while (message.nextSibling) message.nextSibling.remove();
  message.remove();
}

function edit(message, send) {
  const bubble = find(".bubble", message);
  const form = element(`<form class="entry-edit"><textarea rows="3"></textarea><div class="dialog-foot"><button class="button button-primary button-small"></button><button type="button" class="button button-small"></button></div></form>`);
  const input = find("textarea", form);
  const [save, cancel] = form.querySelectorAll("button");
  input.value = raw(message);
  input.setAttribute("aria-label", texts.edit);
  save.textContent = texts.save;
  cancel.textContent = texts.cancel;
  const close = () => {
    form.remove();
    bubble.hidden = false;
    find('[data-entry-do="edit"]', message).focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) send(input.value);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  cancel.addEventListener("click", close);
  bubble.hidden = true;
  bubble.after(form);
  input.focus();
}
