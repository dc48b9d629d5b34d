// The frame of every signed-in page: drawer, menu, signing out, shortcuts, and what waits for this person.

import { find, findAll } from "./dom.js";
import { get, leave, signOut } from "./http.js";
import "./keeping.js";
import "./palette.js";
import { remember } from "./preferences.js";
import { worked } from "./toast.js";

const page = find("#page");
const opener = find('[data-drawer="open"]');
const narrow = matchMedia("(max-width: 48rem)");

function drawer(open) {
  document.body.classList.toggle("drawer", open);
  page.inert = open;
  if (open) {
    find(".sidebar-close").focus();
  } else if (opener) {
    opener.focus();
  }
}

for (const button of findAll("[data-drawer]")) {
  button.addEventListener("click", () => {
    if (document.body.classList.contains("narrowed") && !narrow.matches) document.dispatchEvent(new Event("toolhost:sidebar"));
    else drawer(button.dataset.drawer === "open");
  });
}

// On a wide page the list is folded away, and stays so; on a narrow one it is a drawer anyway.
document.addEventListener("toolhost:sidebar", () => {
  if (narrow.matches) return drawer(!document.body.classList.contains("drawer"));
  remember("sidebar", document.body.classList.toggle("narrowed") ? "closed" : "open");
});

narrow.addEventListener("change", () => document.body.classList.contains("drawer") && drawer(false));

const menu = find("#user-menu");
document.addEventListener("click", (event) => {
  if (menu.open && !menu.contains(event.target)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu.open) {
    event.preventDefault(); // it is meant for this alone
    menu.open = false;
    find("summary", menu).focus();
  } else if (event.key === "Escape" && document.body.classList.contains("drawer")) {
    event.preventDefault();
    drawer(false);
  } else if (event.ctrlKey && event.shiftKey && event.key.toLowerCase() === "o") {
    event.preventDefault();
    location.assign("/");
  }
});

find("#sign-out").addEventListener("click", async () => {
  document.dispatchEvent(new Event("toolhost:leaving"));
  if (!worked(await signOut())) {
    document.dispatchEvent(new Event("toolhost:staying"));
    return;
  }
  sessionStorage.clear(); // what was deleted a moment ago, and drafts
  leave();
});

/** Show how many calls wait, in the sidebar, the tab's title and wherever the page asks. */
export function showWaiting(count) {
  const badge = find("#waiting-badge");
  badge.textContent = String(count);
  badge.hidden = count === 0;
  document.title = count ? `(${count}) ${document.title.replace(/^\(\d+\) /, "")}` : document.title.replace(/^\(\d+\) /, "");
  document.dispatchEvent(new CustomEvent("toolhost:waiting", { detail: count }));
}

let asked = 0;

/** Fetch the list of conversations anew. */
export async function refreshSidebar(here) {
  const mine = ++asked;
  const answer = await get(`/ui/sidebar${here ? `?here=${encodeURIComponent(here)}` : ""}`);
  if (!answer.ok || mine !== asked) return; // it has changed once more meanwhile
  const list = find("#conversations");
  if (!find(".rename", list)) {
    // Nobody's typing is taken away, and nobody's place in the list.
    const held = list.contains(document.activeElement) ? document.activeElement : null;
    const item = held?.closest("li")?.dataset.item;
    list.innerHTML = answer.data.html;
    if (item) find(`li[data-item="${item}"] ${held.localName}`, list)?.focus();
  }
  const heading = find("#page-title");
  if (heading && answer.data.title) {
    heading.textContent = answer.data.title;
    document.title = document.title.replace(/^(\(\d+\) )?.* · /s, `$1${answer.data.title} · `);
  }
  showWaiting(answer.data.waiting);
}
