// What one does with conversations in the list: name, pin, take along, share, delete and undo.

import { announce, fill, find, findAll } from "./dom.js";
import { wordsOf } from "./errors.js";
import { get, patch, post, remove } from "./http.js";
import { refreshSidebar } from "./frame.js";
import { tell, worked } from "./toast.js";

const UNDO_MS = 8000;
const menu = find("#item-menu");
const list = find("#conversations");
const here = () => /^\/c\/([^/]+)$/.exec(location.pathname)?.[1] ?? null;
let opened = null; // the conversation whose menu is open
const opener = () => find(`[data-menu="${opened}"]`, list); // the list may be another by now

// The menu

function open(button) {
  opened = button.dataset.menu;
  const pinned = button.closest("li").hasAttribute("data-pinned");
  const pin = find('[data-do="pin"]', menu);
  pin.textContent = pinned ? pin.dataset.unpin : pin.dataset.pin;
  pin.dataset.to = String(!pinned);
  for (const kind of ["md", "json"]) find(`[data-do="${kind}"]`, menu).href = `/api/conversations/${opened}/export?format=${kind}`;
  menu.hidden = false;
  button.setAttribute("aria-expanded", "true");
  const at = button.getBoundingClientRect();
  menu.style.left = `${Math.min(at.left, innerWidth - menu.offsetWidth - 8)}px`;
  menu.style.top = `${Math.min(at.bottom + 4, innerHeight - menu.offsetHeight - 8)}px`;
  find('[role="menuitem"]', menu).focus();
}

function close(back = true) {
  if (menu.hidden) return;
  menu.hidden = true;
  opener()?.removeAttribute("aria-expanded");
  if (back) opener()?.focus();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-menu]");
  if (button && (menu.hidden || opened !== button.dataset.menu)) return open(button);
  if (!menu.contains(event.target) || event.target.closest("a")) close(false);
});

menu.addEventListener("keydown", (event) => {
  const items = findAll('[role="menuitem"]', menu);
  const at = items.indexOf(document.activeElement);
  if (event.key === "Escape" || event.key === "Tab") {
    event.preventDefault();
    event.stopPropagation();
    close();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    items[(at + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length].focus();
  }
});

menu.addEventListener("click", (event) => {
  const action = event.target.closest("[data-do]")?.dataset.do;
  const id = opened;
  if (action === "rename") {
    close(false);
    rename(id);
  } else if (action === "pin") {
    close();
    patch(`/api/conversations/${id}`, { pinned: find('[data-do="pin"]', menu).dataset.to === "true" })
      .then(worked)
      .then(() => refreshSidebar(here()));
  } else if (action === "share") {
    close();
    share(id);
  } else if (action === "delete") {
    close(false);
    drop(id);
  }
});

// The name

/** Let the title of a conversation be typed over, where it stands in the list. */
export async function rename(id) {
  const itself = () => find(`li[data-item="${id}"]`, list);
  if (!itself()) await refreshSidebar(here()); // begun a moment ago
  const item = itself();
  if (!item || find(".rename", item)) return;
  const link = find("a", item);
  const input = document.createElement("input");
  input.className = "rename";
  input.value = find(".title", link).textContent.trim();
  input.maxLength = 120;
  input.setAttribute("aria-label", find('[data-do="rename"]', menu).firstChild.textContent);
  link.hidden = true;
  item.prepend(input);
  input.select();
  let done = false;
  const finish = async (keep) => {
    if (done) return;
    done = true;
    const title = input.value.trim();
    input.remove();
    link.hidden = false;
    link.focus();
    if (keep && title) worked(await patch(`/api/conversations/${id}`, { title }));
    refreshSidebar(here());
  };
  input.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter") finish(true);
    if (event.key === "Escape") finish(false);
  });
  input.addEventListener("blur", () => finish(true));
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "F2") return;
  const id = event.target.closest?.("li[data-item]")?.dataset.item ?? here();
  if (!id) return;
  event.preventDefault();
  rename(id);
});

// Deleting, and taking it back

const texts = find("#toast").dataset;
const DELETED = "toolhost-deleted";

async function drop(id) {
  if (!worked(await remove(`/api/conversations/${id}`))) return;
  sessionStorage.setItem(DELETED, JSON.stringify({ id, until: Date.now() + UNDO_MS }));
  if (here() === id) return location.assign("/");
  (find(`li[data-item="${here()}"] a`, list) ?? find("#open-palette")).focus(); // what had the focus goes with it
  refreshSidebar(here());
  offer();
}

/** Offer to take the last deletion back, for as long as that may be done, on this page or on the next. */
function offer() {
  const { id, until } = JSON.parse(sessionStorage.getItem(DELETED) || "{}");
  if (!(until > Date.now())) return;
  tell(texts.deleted, () => restore(id), until - Date.now());
}

async function restore(id) {
  sessionStorage.removeItem(DELETED);
  const answer = await post(`/api/conversations/${id}/restore`, {});
  if (!answer.ok) tell(answer.status ? texts.late : wordsOf());
  refreshSidebar(here());
}

// Links

const sharing = find("#share-dialog");

async function share(id) {
  sharing.dataset.id = id;
  find("#share-new").hidden = true;
  complain("");
  await listShares();
  sharing.showModal();
}

function complain(text) {
  const problem = find("#share-problem");
  problem.textContent = text;
  problem.hidden = !text;
}

async function listShares() {
  const box = find("#share-list");
  const answer = await get(`/api/conversations/${sharing.dataset.id}/shares`);
  box.replaceChildren();
  if (!answer.ok) return box.append(wordsOf(answer.data.error));
  for (const one of answer.data.shares) {
    const row = document.createElement("li");
    const when = new Date(one.created).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    const said = document.createElement("span");
    said.textContent = `${fill(box.dataset.made, { time: when })} · ${fill(box.dataset.views, { n: one.views })}`;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button button-small";
    button.textContent = box.dataset.revoke;
    button.addEventListener("click", async () => {
      const ended = await remove(`/api/conversations/${sharing.dataset.id}/shares/${one.id}`);
      if (!ended.ok) return complain(wordsOf(ended.data.error));
      complain("");
      find("#share-new").hidden = true;
      await listShares();
      find("#share-make").focus();
    });
    row.append(said, button);
    box.append(row);
  }
  if (!box.children.length) box.textContent = box.dataset.none;
}

find("#share-make")?.addEventListener("click", async () => {
  const answer = await post(`/api/conversations/${sharing.dataset.id}/shares`, {});
  if (!answer.ok) return complain(wordsOf(answer.data.error));
  complain("");
  const link = find("#share-link");
  link.value = location.origin + answer.data.path;
  find("#share-new").hidden = false;
  link.select();
  announce(link.getAttribute("aria-label"));
  listShares();
});

offer();
