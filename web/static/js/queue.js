// Messages that wait for their turn: shown in their order, to be changed, hurried or taken out.

import { find } from "./dom.js";

const box = find("#queue");
const list = find("ol", box);
const waiting = new Map(); // run -> {text, position}

/** `act(message)` sends to the server; `edit(run, text)` brings a text back into the composer. */
export function queue(act, edit) {
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const run = button.closest("li").dataset.run;
    if (button.dataset.do === "now") act({ type: "send_now", run_id: run });
    else if (button.dataset.do === "remove") act({ type: "stop", run_id: run });
    else edit(run, waiting.get(run).text);
  });
}

export function enqueue(run, text, position) {
  waiting.set(run, { text, position });
  show();
}

export function dequeue(run) {
  if (waiting.delete(run)) show();
}

export function restore(queued) {
  waiting.clear();
  queued.forEach(([run, text], index) => waiting.set(run, { text, position: index + 1 }));
  show();
}

function show() {
  box.hidden = waiting.size === 0;
  const rows = [...waiting].sort((one, other) => one[1].position - other[1].position);
  list.replaceChildren(...rows.map(([run, { text }]) => {
    const row = document.createElement("li");
    row.dataset.run = run;
    const said = document.createElement("span");
    said.textContent = text.length > 200 ? `${text.slice(0, 200)}…` : text;
    row.append(said);
    for (const name of ["now", "edit", "remove"]) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "link";
      button.dataset.do = name;
      button.textContent = box.dataset[name];
      row.append(button);
    }
    return row;
  }));
}
