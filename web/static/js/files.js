// The panel of the workspace: a list, a look at one file, and files dropped into it.

import { answerable } from "./cards.js";
import { announce, fill, find, strings } from "./dom.js";
import { wordsOf } from "./errors.js";
import { get, request } from "./http.js";

const texts = strings("filesStrings");
const panel = find("#files");
const body = find("#files-body");
const problem = find("#files-problem");
const toggle = find("#files-toggle");
let handlers = null;

/** `handlers`: conversation(), call(tool, arguments). */
export function filesPanel(given) {
  handlers = given;
  toggle.addEventListener("click", () => (panel.hidden ? open() : close()));
  find("#files-close").addEventListener("click", close);
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target === document.body && !panel.hidden && !event.defaultPrevented) {
      event.preventDefault();
      close();
    }
    if (event.altKey && !event.ctrlKey && event.key.toLowerCase() === "f") {
      event.preventDefault();
      toggle.click();
    }
  });
  panel.addEventListener("click", act);
  panel.addEventListener("change", (event) => {
    if (event.target.dataset.files === "upload") upload([...event.target.files]);
  });
  document.addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])];
    if (!pasted.length) return;
    event.preventDefault();
    upload(pasted);
  });
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) document.addEventListener(kind, drag);
}

/** What a tool did may have changed the files. */
export function filesChanged() {
  if (!panel.hidden && !find(".preview", body)) list();
}

async function open() {
  panel.hidden = false;
  toggle.setAttribute("aria-expanded", "true");
  await list();
  find("#files-close").focus();
}

function close() {
  panel.hidden = true;
  toggle.setAttribute("aria-expanded", "false");
  toggle.focus();
}

function complain(text) {
  problem.textContent = text;
  problem.hidden = !text;
}

let asked = 0;

/** Show what a place holds, unless another was asked for meanwhile. */
async function show(path, refused = null) {
  const mine = ++asked;
  const answer = await get(path);
  if (mine !== asked) return;
  const left = body.contains(document.activeElement) ? document.activeElement : null;
  if (answer.ok) body.innerHTML = answer.data;
  else if (answer.status && refused) body.textContent = refused;
  else complain(wordsOf(answer.data.error));
  if (left && !left.isConnected) (again(left) ?? find("#files-close")).focus();
}

async function list() {
  const place = handlers.conversation();
  complain("");
  if (place) await show(`/c/${place}/files`, texts.not_here);
  else body.textContent = texts.first;
}

/** What stands where the focus was, now that the list is another. */
function again(left) {
  const place = (one) => one.getAttribute("href") ?? one.dataset.preview;
  const items = [...body.querySelectorAll("a[href], button")];
  return items.find((one) => place(one) && place(one) === place(left)) ?? items[0];
}

function act(event) {
  const button = event.target.closest("[data-preview], [data-files]");
  if (!button) return;
  const what = button.dataset.files;
  if (button.dataset.preview) show(button.dataset.preview);
  else if (what === "back") list();
  else if (what === "undo" || what === "changes") {
    button.disabled = true; // a second click would take back two changes
    answerable(() => (button.disabled = false));
    handlers.call(`files.${what}`, {});
  }
}

let inside = 0;

function drag(event) {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  inside += { dragenter: 1, dragleave: -1, drop: -inside }[event.type] ?? 0;
  document.body.classList.toggle("dropping", inside > 0);
  if (event.type === "drop") upload([...event.dataTransfer.files]);
}

async function upload(files) {
  if (panel.hidden) await open();
  if (!handlers.conversation()) return; // the panel says why
  complain("");
  for (const file of files) {
    const path = `/api/conversations/${handlers.conversation()}/files/${encodeURIComponent(file.name)}`;
    const send = (query) => request(path + query, { method: "PUT", headers: { "content-type": "application/octet-stream" }, body: file });
    let answer = await send("");
    if (answer.data.error?.code === "upload_exists" && confirm(fill(texts.replace, { name: file.name }))) answer = await send("?replace=true");
    if (answer.ok) announce(fill(texts.uploaded, { name: file.name }));
    else complain(wordsOf(answer.data.error));
  }
  const said = problem.textContent;
  await list();
  complain(said);
}
