// The settings pages and the first run's: what they share, and the two that need no script of their own.

import { find, findAll } from "./dom.js";
import { wordsOf } from "./errors.js";
import { showWaiting } from "./frame.js";
import { keepUp } from "./live.js";
import { post, removeWith } from "./http.js";
import { chooseLanguage, chooseTheme } from "./preferences.js";

for (const input of findAll('input[name="page-language"]')) {
  input.addEventListener("change", () => chooseLanguage(input.value));
}
for (const input of findAll('input[name="page-theme"]')) {
  input.addEventListener("change", () => chooseTheme(input.value));
}

// Where the list of pages is a row, the present one is in sight.
find(".settings-nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// Who has the page of what happened in front of them has seen it.
const seen = find("[data-through]");
if (seen) {
  post("/api/reviews/events", { through: Number(seen.dataset.through) })
    .then((reply) => reply.ok && findAll("[data-unseen]").forEach((badge) => badge.remove()));
}

// What cannot be undone needs its name typed; the server asks for it too.
const erase = find("[data-erase]");
if (erase) {
  const typed = erase.elements.confirm;
  const button = find("button", erase);
  typed.addEventListener("input", () => (button.disabled = typed.value !== erase.dataset.erase));
  erase.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    const reply = await removeWith("/api/me/data", { confirm: typed.value });
    if (reply.ok) {
      const said = document.createElement("p");
      said.className = "note";
      said.setAttribute("role", "status");
      said.textContent = erase.dataset.done;
      erase.replaceWith(said);
      find("#conversations").replaceChildren();
      return;
    }
    const problem = find("#erase-problem");
    problem.textContent = wordsOf(reply.data.error);
    problem.hidden = false;
    button.disabled = false;
  });
}

showWaiting(Number(document.body.dataset.waiting));
keepUp();
