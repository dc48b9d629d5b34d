// Tool cards: folding, tabs, copying, elapsed time, and the two buttons that matter.

import { announce, element, fill, find, findAll, nodes, strings } from "./dom.js";
import { wordsOf } from "./errors.js";
import "./finder.js";
import { read } from "./form.js";
import { get, post } from "./http.js";
import { lay, replace } from "./lines.js";
import { worked } from "./toast.js";

const ARM_MS = 500; // a card that appears under a moving finger is not approved by it
const SETTLE_MS = 15_000; // until it is asked again what became of a question
const texts = strings("cardStrings");
const approvalTexts = strings("approvalStrings");

/** Put a card where it belongs: in the place of its earlier self, or of the request it came from, else at the end. */
export function place(thread, html, instead = null) {
  const card = element(html);
  const old = document.getElementById(card.id) || (instead && document.getElementById(`call-${instead}`));
  if (!old) {
    thread.append(card);
  } else {
    keep(old, card);
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    old.replaceWith(card);
    if (focused) successor(focused, card).focus();
  }
  arm(card);
  return card;
}

/** What takes the place of a control of a card in the card that takes that card's place. */
function successor(control, card) {
  const name = control.id ? `#${CSS.escape(control.id)}` : control.dataset.card ? `[data-card="${control.dataset.card}"]` : null;
  return (name && find(name, card)) ?? find(".card-head", card);
}

const question = (card) => find("[data-approval]", card)?.dataset.approval ?? find("[data-inquiry]", card)?.dataset.inquiry;

const followed = new Map(); // call -> how often it was looked at

/** Look what became of a call, and show it, unless its question is as open as before. */
export async function follow(call, thread) {
  const mine = (followed.get(call) ?? 0) + 1;
  followed.set(call, mine);
  const answer = await get(`/ui/calls/${call}`);
  if (!answer.ok || followed.get(call) !== mine) return; // it was looked at again meanwhile
  const old = document.getElementById(`call-${call}`);
  if (!old || !question(old) || question(old) !== question(element(answer.data))) place(thread, answer.data);
}

/** Show a thread anew, and take nothing from whoever is typing or reading in it. */
export function redraw(thread, html) {
  const fresh = nodes(html);
  const focused = thread.contains(document.activeElement) ? document.activeElement : null;
  for (const card of findAll(".card[id]", thread)) {
    const after = find(`#${CSS.escape(card.id)}`, fresh);
    if (!after) continue;
    // A question that is still open keeps what was typed into its answer.
    if (question(card) && question(card) === question(after) && !find("[data-sent]", card)) after.replaceWith(card);
    else keep(card, after);
  }
  for (const form of findAll(".entry-edit", thread)) {
    const message = form.closest("[data-entry]");
    find(`[data-entry="${message.dataset.entry}"]`, fresh)?.replaceWith(message);
  }
  thread.replaceChildren(fresh);
  arm(thread);
  if (!focused) return;
  if (focused.isConnected) return focused.focus();
  const after = document.getElementById(focused.closest(".card")?.id);
  if (after) successor(focused, after).focus();
}

function keep(old, card) {
  const folded = find(".card-head", old)?.getAttribute("aria-expanded") === "false";
  if (folded && card.dataset.state !== "waiting") fold(card, true);
  if (old.dataset.tabChosen) {
    choose(card, old.dataset.tabChosen);
    card.dataset.tabChosen = old.dataset.tabChosen;
  }
}

function fold(card, folded) {
  find(".card-head", card).setAttribute("aria-expanded", String(!folded));
}

function choose(card, name) {
  for (const tab of findAll("[role=tab]", card)) {
    const selected = tab.dataset.tab === name;
    tab.setAttribute("aria-selected", String(selected));
    tab.tabIndex = selected ? 0 : -1;
  }
  for (const pane of findAll("[data-pane]", card)) pane.hidden = pane.dataset.pane !== name;
}

const KEPT_LIVE = 64 * 1024; // characters of live output that stay in the page; the result has all of it
const arriving = new Map(); // output -> pieces that wait for the next frame

/** Add live output, once a frame. The view follows the end unless the reader has scrolled away from it. */
export function append(callId, html) {
  const output = document.getElementById(`output-${callId}`);
  if (!output) return;
  if (!arriving.size) requestAnimationFrame(drawArrived);
  arriving.set(output, [...(arriving.get(output) || []), html]);
}

function drawArrived() {
  for (const [output, pieces] of arriving) {
    if (!output.isConnected) continue; // the card was replaced meanwhile, and its successor has it
    const following = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
    for (const piece of pieces) lay(output, nodes(piece));
    let over = output.textContent.length - KEPT_LIVE;
    while (over > 0 && output.firstChild !== output.lastChild) {
      over -= output.firstChild.textContent.length;
      output.firstChild.remove();
    }
    if (following) output.scrollTop = output.scrollHeight;
  }
  arriving.clear();
}

/** Give the buttons of a question their half second, and its times their local form. */
export function arm(root) {
  tick(root);
  for (const pane of findAll(".output", root)) pane.classList.add("wrap");
  for (const place of findAll("[data-until]", root)) {
    const time = new Date(Number(place.dataset.until)).toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" });
    place.textContent = fill(place.dataset.text, { time });
  }
  for (const form of findAll("[data-inquiry]", root)) {
    answerable(() => {
      if (!form.dataset.sent) for (const button of findAll("button", form)) button.disabled = false;
    });
  }
  const forms = root.matches?.("[data-approval]") ? [root] : findAll("[data-approval]", root);
  for (const form of forms) {
    answerable(() => {
      if (form.isConnected && !form.dataset.sent) for (const button of findAll("[data-decision]", form)) button.disabled = false;
    });
  }
}

/** Do something once what has just appeared may be answered. */
export function answerable(act) {
  setTimeout(act, ARM_MS);
}

/** Answer a question, once. */
export async function answer(form, decision, scope = "once", values = null) {
  // What takes the place of a call asks again, so nothing is lost by a hasty click on it.
  const hasty = decision !== "modify" && findAll("[data-decision]", form).some((button) => button.disabled);
  if (form.dataset.sent || hasty) return;
  form.dataset.sent = decision; // a second click, or key, changes nothing
  for (const button of findAll("[data-decision]", form)) button.disabled = true;
  announce(approvalTexts.answering);
  const card = form.closest(".card");
  const reply = await post(`/api/approvals/${form.dataset.approval}`, {
    decision,
    ...(decision === "modify" ? { arguments: values } : { reason: decision === "refuse" ? find(".reason input", form).value : "", scope }),
  });
  document.dispatchEvent(new CustomEvent("toolhost:answered", { detail: { card, reply } }));
  if (reply.ok || !form.isConnected) return;
  complain(form, wordsOf(reply.data.error));
  if (!reply.status || decision === "modify") {
    delete form.dataset.sent; // never arrived, as far as we know, or is no call: it may be tried again, and counts once
    arm(form);
  }
}

function complain(form, text) {
  const problem = find("[data-approval-problem]", form);
  problem.textContent = text;
  problem.hidden = !text;
}

/** Make another call in the place of the one that waits: it is judged anew. */
/** End a call; one that was approved a moment ago and has not begun yet, as soon as it has. */
async function stop(call, button, tries = 20) {
  button.disabled = true;
  const ended = await post(`/api/calls/${call}/cancel`, {});
  const runs = document.querySelector(`.card[data-call="${call}"][data-state="running"]`);
  if (worked(ended) && (ended.data.cancelled || !runs)) return;
  if (ended.ok && tries) setTimeout(() => stop(call, button, tries - 1), ARM_MS);
  else button.disabled = false;
}

function modify(form) {
  const values = read(find("[data-modify]", form), (text) => complain(form, text));
  if (values) answer(form, "modify", "once", values);
}

document.addEventListener(
  "toggle",
  async ({ target }) => {
    if (!target.matches("[data-modify]") || !target.open || find(".modify-fields", target)) return;
    const fields = await get(`/ui/approvals/${target.closest("form").dataset.approval}/form`);
    if (find(".modify-fields", target)) return;
    if (!fields.ok) {
      target.open = false;
      return complain(target.closest("form"), wordsOf(fields.data.error));
    }
    target.append(element(fields.data));
    find("input, textarea, select", target)?.focus();
  },
  true, // it does not bubble
);

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-approval]");
  if (!form) return;
  event.preventDefault();
  // Enter in the reason's field submits a form; only the button itself, or Ctrl+Enter, is a yes.
  if (event.submitter?.dataset.decision === "approve" && event.submitter === document.activeElement) answer(form, "approve");
});

document.addEventListener("keydown", (event) => {
  const card = event.target.closest?.(".card");
  if (!card) return;
  if (event.key === "Enter" && event.ctrlKey) {
    const form = find("[data-approval]", card);
    if (form) {
      event.preventDefault();
      if (event.target.closest("[data-modify]")) modify(form);
      else answer(form, "approve");
    }
  } else if (event.key === "Enter" && event.target.closest(".reason")) {
    event.preventDefault();
  } else if (event.target.role === "tab" && ["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) {
    event.preventDefault();
    const tabs = findAll("[role=tab]", card);
    const at = tabs.indexOf(event.target);
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: tabs.length - 1 }[event.key];
    const tab = tabs[(next + tabs.length) % tabs.length];
    choose(card, tab.dataset.tab);
    card.dataset.tabChosen = tab.dataset.tab;
    tab.focus();
  }
});

document.addEventListener("click", async (event) => {
  const card = event.target.closest(".card");
  const button = event.target.closest("button");
  if (!card || !button) return;
  if (button.dataset.tab) {
    choose(card, button.dataset.tab);
    card.dataset.tabChosen = button.dataset.tab;
  } else if (button.dataset.decision === "refuse") {
    answer(button.closest("form"), "refuse");
  } else if (button.dataset.decision === "modify") {
    modify(button.closest("form"));
  } else if (button.dataset.scope) {
    answer(button.closest("form"), "approve", button.dataset.scope);
  } else if (button.dataset.decision === "approve") {
    button.focus(); // some browsers do not focus a clicked button
  } else if (button.dataset.card === "toggle") {
    fold(card, button.getAttribute("aria-expanded") === "true");
  } else if (button.dataset.card === "wrap") {
    const output = find(".pane-output .output", card);
    button.setAttribute("aria-pressed", String(output.classList.toggle("wrap")));
  } else if (button.dataset.card === "stop") {
    stop(card.dataset.call, button);
  } else if (button.dataset.card === "again") {
    button.disabled = true;
    const made = await get(`/api/calls/${card.dataset.call}`);
    if (worked(made)) document.dispatchEvent(new CustomEvent("toolhost:again", { detail: { tool: made.data.tool, arguments: made.data.arguments } }));
    setTimeout(() => (button.disabled = false), ARM_MS);
  } else if (button.dataset.card === "copy") {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    const label = find("span", button);
    label.textContent = texts.copied;
    announce(texts.copied);
    setTimeout(() => (label.textContent = texts.copy), 1500);
  } else if (button.dataset.card === "more") {
    const all = await get(`/ui/calls/${card.dataset.call}/output`);
    if (worked(all)) {
      const output = find(".pane-output .output", card);
      replace(output, all.data);
      output.focus();
      button.remove();
    }
  }
});

// A question whose time is over settles itself: the server has the last word on what became of it.
async function settle(form) {
  form.dataset.sent = "expired";
  const card = form.closest(".card");
  await follow(card.dataset.call, card.parentElement);
  delete form.dataset.sent;
  form.dataset.expires = String(Date.now() + SETTLE_MS); // by this clock it is over, by the server's perhaps not yet
}

function tick(root) {
  for (const form of findAll("[data-approval]", root)) {
    if (!form.dataset.sent && Date.now() > Number(form.dataset.expires) + 500) settle(form);
  }
  for (const place of findAll("[data-since]", root)) {
    const seconds = Math.max(0, Math.floor((Date.now() - Number(place.dataset.since)) / 1000));
    place.textContent = seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  }
}

setInterval(() => tick(document), 1000);

arm(document);
