// What a running tool wants to know: its form sends one answer, or that there is none.

import { find, findAll } from "./dom.js";
import { wordsOf } from "./errors.js";
import { post } from "./http.js";

const controls = (form) => findAll("button", form);

async function send(form, answer) {
  if (form.dataset.sent) return;
  form.dataset.sent = "yes";
  for (const control of controls(form)) control.disabled = true;
  const reply = await post(`/api/inquiries/${form.dataset.inquiry}`, { answer });
  document.dispatchEvent(new CustomEvent("toolhost:answered", { detail: { card: form.closest(".card"), reply } }));
  if (reply.ok || !form.isConnected) return;
  delete form.dataset.sent;
  for (const control of controls(form)) control.disabled = false;
  const problem = find("[data-inquiry-problem]", form);
  problem.textContent = wordsOf(reply.data.error);
  problem.hidden = false;
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-inquiry]");
  if (!form) return;
  event.preventDefault();
  send(form, new FormData(form).get("answer"));
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-decline]")) send(event.target.closest("[data-inquiry]"), null);
});
