// A conversation behind a link. The token is in the address's fragment, which no browser sends by itself.

import { arm } from "./cards.js";
import "./code.js";
import { find } from "./dom.js";
import { wordsOf } from "./errors.js";
import { post } from "./http.js";

const problem = find("#problem");

async function show() {
  const { ok, status, data: shown } = await post("/api/shared", { token: location.hash.slice(1) });
  if (!ok) {
    problem.textContent = status ? problem.dataset.gone : wordsOf();
    problem.hidden = false;
    return;
  }
  find("#thread").innerHTML = shown.html;
  if (shown.title) {
    find("#page-title").textContent = shown.title;
    document.title = shown.title;
  }
  arm(document);
}

show();
