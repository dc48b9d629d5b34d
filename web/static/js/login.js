// The login page.

import { find } from "./dom.js";
import { complain, send } from "./door.js";
import { wordsOf } from "./errors.js";
import { renew } from "./http.js";

const form = find("#login");

if (form.dataset.renew === "yes") {
  const waiting = find("#renewing");
  form.hidden = true;
  waiting.hidden = false;
  renew()
    .catch(() => false)
    .then((done) => {
      if (done) {
        location.replace(form.dataset.next);
      } else {
        form.hidden = false;
        waiting.hidden = true;
        form.elements.username.focus();
      }
    });
}

const second = find("#second-factor");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  complain(form, "");
  const answer = await send(form, "/api/auth/login", {
    username: form.elements.username.value,
    password: form.elements.password.value,
    totp: form.elements.totp.value || null,
  });
  if (answer === null) return;
  if (answer.status === 200) {
    location.replace(form.dataset.next);
    return;
  }
  const code = answer.data.error.code;
  if (code === "totp_required" && second.hidden) {
    second.hidden = false;
    form.elements.totp.focus();
    return;
  }
  complain(form, wordsOf(answer.data.error));
  form.elements[second.hidden ? "password" : "totp"].select();
});
