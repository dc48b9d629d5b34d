// What is typed into the forms of a page outlives that the page loads itself anew. Passwords and codes are kept nowhere.

import { findAll } from "./dom.js";

const PLACE = "toolhost-typed";
const KEPT = ["text", "search", "number", "checkbox", "textarea", "select-one"];
const ticked = (field) => field.type === "checkbox";

/** Every field whose content may be kept, by what it is called on this page. */
function fields(done) {
  const named = findAll("form :is(input, textarea, select)[name]").map((field) => {
    const { approval, inquiry } = field.form.dataset;
    const form = field.form.getAttribute("id") ?? approval ?? inquiry;
    return [[form, field.name, ticked(field) && field.value].join(" "), field];
  });
  return named.filter(([, field]) => field.form !== done && KEPT.includes(field.type) && field.autocomplete !== "one-time-code");
}

/** Load this page again. Of `done`, a form that was carried out, nothing is kept. */
export function loadAgain(done = null) {
  const typed = fields(done).map(([name, field]) => [name, ticked(field) ? field.checked : field.value]);
  sessionStorage.setItem(PLACE, JSON.stringify({ path: location.pathname, typed }));
  location.reload();
}

// Once every script of the page listens: what a form makes of it is made of it again.
document.addEventListener("DOMContentLoaded", () => {
  const { path, typed } = JSON.parse(sessionStorage.getItem(PLACE) ?? "{}");
  sessionStorage.removeItem(PLACE);
  if (path !== location.pathname) return;
  const known = new Map(typed);
  for (const [name, field] of fields(null)) {
    const kept = known.get(name);
    if (kept === undefined || kept === (ticked(field) ? field.checked : field.value)) continue;
    if (ticked(field)) field.checked = kept;
    else field.value = kept;
    if (field.selectedIndex === -1) field.selectedIndex = 0; // what was chosen is not there any more
    for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
  }
});
