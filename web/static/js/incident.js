// The page of an incident: buttons over the API that there is for each thing.

import { handle } from "./account.js";
import { find, findAll } from "./dom.js";
import { download, patch, post, remove } from "./http.js";
import { loadAgain } from "./typed.js";

const problemOf = (form) => find("[data-problem]", form);

const panic = find("#panic");
if (panic) handle(panic, problemOf(panic), () => post("/api/panic", { reason: panic.elements.reason.value }), () => loadAgain(panic));
const resume = find("#resume");
if (resume) handle(resume, problemOf(resume), () => post("/api/resume", {}), () => loadAgain());

const out = find("#take-out");
const said = find("[data-said]", out);
const who = out.elements.username;
const buttons = findAll("[data-out]", out);
const ways = {
  disable: (path) => patch(path, { disabled: true }),
  sessions: (path) => remove(`${path}/sessions`),
  keys: (path) => remove(`${path}/keys`),
};
const offer = () => {
  for (const button of buttons) button.disabled = !who.value;
};
who.addEventListener("change", offer);
offer(); // a browser may have kept what was chosen
for (const button of buttons) {
  const act = () => ways[button.dataset.out](`/api/users/${encodeURIComponent(who.value)}`);
  handle(button, problemOf(out), act, () => {
    said.textContent = `${button.textContent}${out.dataset.colon} ${who.value}`;
    said.hidden = false;
  });
}

const block = find("#block");
const seconds = () => (block.elements.hours.value ? Number(block.elements.hours.value) * 3600 : null);
const add = () => post("/api/blocks", { address: block.elements.address.value, seconds: seconds() });
handle(block, problemOf(block), add, () => loadAgain(block));
for (const button of findAll("[data-unblock]")) {
  handle(button, problemOf(block), () => remove(`/api/blocks/${button.dataset.unblock}`), () => loadAgain());
}

const quarantine = find("#quarantine");
const takeOut = () => {
  const { plugin, reason } = quarantine.elements;
  return post(`/api/plugins/${encodeURIComponent(plugin.value)}/quarantine`, { reason: reason.value });
};
handle(quarantine, problemOf(quarantine), takeOut, () => loadAgain(quarantine));

const evidence = find("#evidence");
const since = () => {
  const hours = evidence.elements.hours.value;
  return hours ? Date.now() - hours * 3_600_000 : 0;
};
handle(evidence, problemOf(evidence), () => download(`/api/evidence?since=${since()}`), (headers) => {
  const told = find("[data-said]", evidence);
  const intact = headers.get("x-audit-intact") === "yes";
  find("[data-verdict]", told).textContent = intact ? evidence.dataset.intact : evidence.dataset.broken;
  find("code", told).textContent = headers.get("x-audit-last-hash");
  told.classList.toggle("note-error", !intact);
  told.hidden = false;
});
