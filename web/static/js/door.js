// What the login and the setup form share: sending without leaving the page, and saying what is wrong.

import { find } from "./dom.js";
import { wordsOf } from "./errors.js";
import "./preferences.js";

export function complain(form, text) {
  const place = find("#problem", form);
  place.textContent = text;
  place.hidden = !text;
}

/** Send a JSON body; answers {status, data}, or null where the server cannot be reached. */
export async function send(form, path, body) {
  const button = find("button.button-primary", form);
  const label = button.textContent;
  button.disabled = true;
  button.textContent = form.dataset.working;
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: response.status, data: await response.json() };
  } catch {
    complain(form, wordsOf());
    return null;
  } finally {
    button.disabled = false;
    button.textContent = label;
  }
}
