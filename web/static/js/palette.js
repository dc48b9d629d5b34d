// The palette: every command and every conversation, by a few letters; and the sheet of keys.

import { find, findAll, nodes } from "./dom.js";
import { wordsOf } from "./errors.js";
import { get } from "./http.js";
import { chooseTheme } from "./preferences.js";

const palette = find("#palette");
const input = find("#palette-input");
const list = find("#palette-list");
const sheet = find("#keys");
let at = 0;
let asked = 0;
let shown = null; // the words whose finds are listed

function openPalette() {
  if (palette.open) return palette.close();
  input.value = "";
  palette.showModal();
  input.focus();
  look();
}

async function look() {
  const mine = ++asked;
  const words = input.value;
  const answer = await get(`/ui/search?q=${encodeURIComponent(words)}`);
  if (mine !== asked) return; // another letter was typed meanwhile
  if (!answer.ok) {
    const none = Object.assign(document.createElement("li"), { className: "found-none", textContent: wordsOf(answer.data.error) });
    none.setAttribute("role", "presentation");
    list.replaceChildren(none);
    return select(0);
  }
  shown = words;
  list.replaceChildren(nodes(answer.data));
  select(0);
}

function select(index) {
  const options = findAll("[role=option]", list);
  for (const option of options) option.setAttribute("aria-selected", "false");
  if (!options.length) return input.removeAttribute("aria-activedescendant");
  at = (index + options.length) % options.length;
  options[at].setAttribute("aria-selected", "true");
  options[at].scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", options[at].id);
}

function choose(option) {
  if (!option) return;
  palette.close();
  const { command, path } = option.dataset;
  if (path) location.assign(path);
  else if (command === "keys") sheet.showModal();
  else if (command === "light" || command === "dark" || command === "system") chooseTheme(command);
  else if (command === "sign_out") find("#sign-out").click();
  else document.dispatchEvent(new CustomEvent("toolhost:command", { detail: command }));
}

let typing = 0;
input.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(look, 100);
});
input.addEventListener("keydown", async (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    select(at + (event.key === "ArrowDown" ? 1 : -1));
  } else if (event.key === "Escape") {
    event.preventDefault(); // a search field would only be emptied by it
    palette.close();
  } else if (event.key === "Enter") {
    event.preventDefault();
    clearTimeout(typing);
    if (input.value !== shown) await look(); // whoever types fast means what they typed
    choose(findAll("[role=option]", list)[at]);
  }
});
list.addEventListener("click", (event) => choose(event.target.closest("[role=option]")));

find("#open-palette")?.addEventListener("click", openPalette);

for (const dialog of findAll("dialog")) {
  dialog.addEventListener("click", (event) => {
    // A click on the backdrop has the dialog itself as its target.
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
}

document.addEventListener("keydown", (event) => {
  const typingText = event.target.closest?.("input, textarea, select, [contenteditable]");
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && key === "k") {
    event.preventDefault();
    openPalette();
  } else if (event.key === "?" && !typingText && !event.ctrlKey && !event.metaKey && !sheet.open) {
    event.preventDefault();
    sheet.showModal();
  } else if (event.ctrlKey && !event.shiftKey && !event.altKey && key === "b") {
    event.preventDefault();
    document.dispatchEvent(new Event("toolhost:sidebar"));
  } else if (event.altKey && !event.ctrlKey && key === "a") {
    event.preventDefault();
    document.dispatchEvent(new CustomEvent("toolhost:command", { detail: "waiting" }));
  }
});
