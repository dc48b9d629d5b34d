// A conversation behind a link. The token is in the address's fragment, which no browser sends by itself.

import { arm } from "./cards.js";
import "./code.js";
import { find } from "./dom.js";

const problem = find("#problem");

async function show() {
  const response = await fetch("/api/shared", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token: location.hash.slice(1) }),
  }).catch(() => null);
  if (!response?.ok) {
    problem.textContent = response ? problem.dataset.gone : problem.dataset.unreachable;
    problem.hidden = false;
    return;
  }
  const shown = await response.json();
  find("#thread").innerHTML = shown.html;
  if (shown.title) {
    find("#page-title").textContent = shown.title;
    document.title = shown.title;
  }
  arm(document);
}

show();
