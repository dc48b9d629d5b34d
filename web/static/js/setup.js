// The first run.

import { find } from "./dom.js";
import { complain, send } from "./door.js";
import { wordsOf } from "./errors.js";
import { token } from "./token.js";

const form = find("#setup");

if (!token) complain(form, form.dataset.noToken);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  complain(form, "");
  const username = form.elements.username.value;
  const password = form.elements.password.value;
  if (password !== form.elements.repeat.value) {
    complain(form, form.dataset.mismatch);
    form.elements.repeat.focus();
    return;
  }
  const answer = await send(form, "/api/setup", { token, username, password });
  if (answer === null) return;
  if (answer.status !== 201) {
    complain(form, wordsOf(answer.data.error));
    return;
  }
  const login = await send(form, "/api/auth/login", { username, password });
  location.replace(login && login.status === 200 ? "/welcome" : "/login");
});
