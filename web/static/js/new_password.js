// A new password: by an invitation, by a reset link (both with a token), or in place of one that somebody else chose.

import { find } from "./dom.js";
import { complain, send } from "./door.js";
import { wordsOf } from "./errors.js";
import { token } from "./token.js";

const form = find("#new-password");
const kind = form.dataset.kind;

if (kind !== "change" && !token) complain(form, form.dataset.noToken);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  complain(form, "");
  const field = (name) => form.elements[name]?.value;
  const password = field("password");
  if (password !== field("repeat")) {
    complain(form, form.dataset.mismatch);
    form.elements.repeat.focus();
    return;
  }
  const requests = {
    invite: ["/api/invitations/accept", { token, username: field("username"), password }],
    reset: ["/api/passwords/reset", { token, password }],
    change: ["/api/auth/password", { current: field("current"), password }],
  };
  const answer = await send(form, ...requests[kind]);
  if (answer === null) return;
  if (answer.status >= 400) {
    complain(form, wordsOf(answer.data.error));
  } else if (kind === "invite") {
    const login = await send(form, "/api/auth/login", { username: field("username"), password });
    location.replace(login && login.status === 200 ? "/" : "/login");
  } else {
    location.replace(kind === "change" ? "/" : "/login");
  }
});
