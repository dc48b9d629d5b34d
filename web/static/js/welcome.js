// The first run's page: asking a model whether it answers.

import { find, prose } from "./dom.js";
import { wordsOf } from "./errors.js";
import { showWaiting } from "./frame.js";
import { post } from "./http.js";
import { keepUp } from "./live.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-test]");
  if (!button || button.disabled) return;
  const said = find("[role=status]", button.closest("li"));
  const texts = button.closest("ul").dataset;
  button.disabled = true;
  said.textContent = texts.working;
  const answer = await post(`/api/models/${encodeURIComponent(button.dataset.test)}/test`, {});
  button.disabled = false;
  if (answer.data.ok) said.textContent = `${texts.good} (${Math.round(answer.data.first_ms)} ms)`;
  else said.replaceChildren(...prose([wordsOf(answer.data.error), answer.data.error?.hint].filter(Boolean).join(" ")));
});

showWaiting(Number(document.body.dataset.waiting));
keepUp();
