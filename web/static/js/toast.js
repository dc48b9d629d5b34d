// The line at the foot of a page: what did not work, or what can still be taken back.

import { announce, find } from "./dom.js";
import { wordsOf } from "./errors.js";

const TOLD_MS = 6000;
const toast = find("#toast");
const button = find("#toast button");
let timer = 0;
let undo = null;

/** Say something for a while; where `takeBack` is given, with a button that does it. */
export function tell(text, takeBack = null, ms = TOLD_MS) {
  clearTimeout(timer);
  undo = takeBack;
  button.hidden = !takeBack;
  find("span", toast).textContent = text;
  toast.hidden = false;
  announce(text);
  timer = setTimeout(silence, ms);
}

/** Say that something did not work. Returns whether it did. */
export function worked(answer) {
  if (!answer.ok) tell(wordsOf(answer.data.error));
  return answer.ok;
}

function silence() {
  clearTimeout(timer);
  toast.hidden = true;
}

button?.addEventListener("click", () => {
  silence();
  undo();
});
