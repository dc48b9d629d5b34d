// The button of a block of code.

import { announce, find, strings } from "./dom.js";

const texts = strings("cardStrings");

document.addEventListener("click", async (event) => {
  const button = event.target.closest('[data-code="copy"]');
  if (!button) return;
  await navigator.clipboard.writeText(find("code", button.closest(".code-block")).textContent);
  button.textContent = texts.copied;
  announce(texts.copied);
  setTimeout(() => (button.textContent = texts.copy), 1500);
});
