// Asking a model whether it answers, on the first run's page and on that of the models.

import { find } from "./dom.js";
import { inFull } from "./errors.js";
import { post } from "./http.js";

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
  else said.replaceChildren(...inFull(answer.data.error ?? {}));
});
