// Language and theme: cookies, so that the server renders the page right the first time.

import { findAll } from "./dom.js";
import { loadAgain } from "./typed.js";

export function remember(name, value) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `toolhost-${name}=${value}; path=/; max-age=31536000; samesite=lax${secure}`;
}

export function chooseLanguage(code) {
  remember("language", code);
  document.dispatchEvent(new Event("toolhost:language"));
  loadAgain();
}

export function chooseTheme(name) {
  remember("theme", name);
  document.documentElement.dataset.theme = name;
  for (const input of findAll('input[name="theme"], input[name="page-theme"]')) input.checked = input.value === name;
}

for (const button of findAll("button[data-language]")) {
  button.addEventListener("click", () => chooseLanguage(button.dataset.language));
}
for (const input of findAll('input[name="language"]')) {
  input.addEventListener("change", () => chooseLanguage(input.value));
}
for (const input of findAll('input[name="theme"]')) {
  input.addEventListener("change", () => chooseTheme(input.value));
}

for (const button of findAll("button[data-reveal]")) {
  button.addEventListener("click", () => {
    const input = document.getElementById(button.dataset.reveal);
    const shown = input.type === "password";
    input.type = shown ? "text" : "password";
    button.textContent = shown ? button.dataset.hide : button.dataset.show;
    button.setAttribute("aria-pressed", String(shown));
  });
}
