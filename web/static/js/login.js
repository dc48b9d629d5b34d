// The login page.

import { find } from "./dom.js";
import { complain, send } from "./door.js";
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

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  complain(form, "");
  const answer = await send(form, "/api/auth/login", {
    username: form.elements.username.value,
    password: form.elements.password.value,
  });
  if (answer === null) return;
  if (answer.status === 200) {
    location.replace(form.dataset.next);
  } else {
    complain(form, answer.status === 401 ? form.dataset.wrong : answer.data.error.message);
    form.elements.password.select();
  }
});
