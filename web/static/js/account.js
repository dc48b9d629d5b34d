// The pages of one's account, and of people. What weighs more asks for the password again, and then goes on.

import { find, findAll } from "./dom.js";
import { wordsOf } from "./errors.js";
import { patch, post, remove } from "./http.js";
import "./moments.js";
import { tell } from "./toast.js";

const account = find("#account");

function say(place, reply) {
  place.textContent = wordsOf(reply.data.error);
  place.hidden = false;
  place.scrollIntoView({ block: "nearest" });
}

/** Ask for the password; true once the server has taken it. */
function prove() {
  const dialog = find("#step-up");
  const form = find("form", dialog);
  const problem = find("[data-problem]", dialog);
  form.reset();
  problem.hidden = true;
  dialog.showModal();
  return new Promise((resolve) => {
    let proven = false;
    form.onsubmit = async (event) => {
      event.preventDefault();
      // Not by the common way: a wrong code is a 401 here and no reason to sign in anew.
      const response = await fetch("/api/auth/step-up", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ password: form.elements.password.value, totp: form.elements.totp?.value || null }),
      }).catch(() => null);
      if (response?.ok) {
        proven = true;
        dialog.close();
      } else {
        say(problem, { data: response ? await response.json() : {} });
        form.elements.password.select();
      }
    };
    find("[data-cancel]", dialog).onclick = () => dialog.close();
    dialog.onclose = () => {
      form.reset();
      resolve(proven);
    };
  });
}

/** Do something; where it asks for the password, ask for it and do it again. Undefined where they would not give it. */
async function weighty(action) {
  const reply = await action();
  if (reply.data?.error?.code !== "step_up_required") return reply;
  return (await prove()) ? action() : undefined;
}

/** Have a button or a form do something, ask for the password where that is wanted, and go on with what came of it. */
export function handle(button, problem, action, done) {
  button.addEventListener(button.tagName === "FORM" ? "submit" : "click", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    const pressed = button.tagName === "FORM" ? find("button:not([type=button])", button) : button;
    pressed.disabled = true;
    const reply = await weighty(action);
    pressed.disabled = false;
    if (reply?.ok) done(reply.data);
    else if (reply !== undefined) say(problem, reply);
  });
}

const password = find("#change-password");
if (password) {
  const problem = find("[data-problem]", password);
  const field = (name) => password.elements[name].value;
  handle(
    password,
    problem,
    async () => {
      if (field("password") !== field("repeat")) {
        return { ok: false, data: { error: { code: "", message: account.dataset.mismatch } } };
      }
      return post("/api/auth/password", { current: field("current"), password: field("password") });
    },
    () => {
      password.reset();
      tell(password.dataset.done);
    },
  );
}

const factor = find("#second-factor");
if (factor) {
  const problem = find("[data-problem]", factor);
  const begin = find("#totp-begin");
  const confirm = find("#totp-confirm");
  if (begin) {
    handle(begin, problem, () => post("/api/auth/totp", {}), (offer) => {
      find("#totp-qr").src = offer.qr;
      find("#totp-secret").textContent = offer.secret;
      begin.hidden = true;
      confirm.hidden = false;
      confirm.elements.code.focus();
    });
    const sendCode = () => post("/api/auth/totp/confirm", { code: confirm.elements.code.value });
    handle(confirm, problem, sendCode, (made) => {
      confirm.hidden = true;
      const codes = find("#totp-codes");
      find("ul", codes).replaceChildren(
        ...made.recovery_codes.map((code) => {
          const item = document.createElement("li");
          item.append(Object.assign(document.createElement("code"), { textContent: code }));
          return item;
        }),
      );
      codes.hidden = false;
    });
  }
  const removal = find("#totp-remove");
  if (removal) handle(removal, problem, () => remove("/api/auth/totp"), () => location.reload());
}

for (const list of findAll("#sessions, #keys")) {
  const problem = find("#keys-problem") || find("[data-problem]", account);
  for (const button of findAll("[data-end]", list)) {
    handle(button, problem, () => remove(button.dataset.end), () => {
      button.closest("[data-row]").remove();
      tell(list.dataset.done);
      find("#main").focus();
    });
  }
}
const others = find("#end-others");
if (others) handle(others, find("[data-problem]", account), () => remove("/api/sessions"), () => location.reload());

const key = find("#new-key");
if (key) {
  const make = () =>
    post("/api/keys", {
      name: key.elements.name.value,
      scopes: findAll("[name=scope]:checked", key).map((box) => box.value),
      seconds: key.elements.days.value ? Number(key.elements.days.value) * 86400 : null,
    });
  handle(key, find("[data-problem]", key), make, (made) => {
    const shown = find("#new-key-shown");
    find(".token", shown).textContent = made.token;
    shown.hidden = false;
    key.hidden = true;
    find("#no-keys")?.remove();
    find("#key-copy").focus();
  });
  find("#key-copy").addEventListener("click", async (event) => {
    await navigator.clipboard.writeText(find("#new-key-shown .token").textContent);
    tell(event.target.dataset.done);
  });
}

const people = find("#people");
if (people) {
  const problem = find("#people-problem");
  const show = ({ path }) => {
    const shown = find("#link-shown");
    find(".token", shown).textContent = location.origin + path;
    shown.hidden = false;
    shown.scrollIntoView({ block: "nearest" });
  };
  const invite = find("#invite");
  handle(
    invite,
    find("[data-problem]", invite),
    () => post("/api/invitations", { role: invite.elements.role.value }),
    show,
  );
  for (const row of findAll("[data-user]", people)) {
    const path = `/api/users/${encodeURIComponent(row.dataset.user)}`;
    const role = find("[name=role]", row);
    role.addEventListener("change", async () => {
      problem.hidden = true;
      const reply = await weighty(() => patch(path, { role: role.value }));
      if (reply?.ok) {
        row.dataset.role = role.value;
        return tell(people.dataset.done);
      }
      role.value = row.dataset.role;
      if (reply) say(problem, reply);
    });
    const disable = find("[data-disable]", row);
    const wanted = disable.dataset.disable === "yes";
    handle(disable, problem, () => patch(path, { disabled: wanted }), () => location.reload());
    handle(find("[data-reset]", row), problem, () => post(`${path}/reset`, {}), show);
    const end = find("[data-end-sessions]", row);
    handle(end, problem, () => remove(`${path}/sessions`), () => location.reload());
    const endKeys = find("[data-end-keys]", row);
    if (endKeys) handle(endKeys, problem, () => remove(`${path}/keys`), () => location.reload());
  }
  const attest = find("#attest");
  handle(attest, find("[data-problem]", attest), () => post("/api/reviews/access", {}), () => location.reload());
}
