// The chat page: puts what the server renders in its place, and remembers how far it has read.

import { append, place, redraw } from "./cards.js";
import "./code.js";
import { Composer } from "./composer.js";
import { announce, element, fill, find, findAll, nodes, strings } from "./dom.js";
import * as drafts from "./drafts.js";
import { entries } from "./entries.js";
import { inFull, wordsOf } from "./errors.js";
import { filesChanged, filesPanel } from "./files.js";
import { foldDone } from "./folding.js";
import * as queued from "./queue.js";
import { refreshSidebar, showWaiting } from "./frame.js";
import { gathered } from "./gathered.js";
import { get, leave, put, renew } from "./http.js";
import "./inquiries.js";
import { Connection, showState } from "./socket.js";
import { guide } from "./tour.js";

const texts = strings();
const messageTexts = strings("messageStrings");
const requested = new Map(); // run -> cards of calls that its model is still writing
const scroller = find("#main");
const thread = find("#thread");
let seen = JSON.parse(thread.dataset.seen); // run -> the number of the last event that is shown
let behind = false; // whether the server was asked for what is missing here
const alive = new Map(); // run -> whether it waits for a person
for (const [run, waits] of Object.entries(JSON.parse(thread.dataset.alive))) alive.set(run, waits);
let conversation = thread.dataset.conversation || null;
let following = true;
let dropped = false;

// Scrolling: the thread follows its end until the reader scrolls up. What stands there before the first message is read
// from its top.

const toBottom = find("#to-bottom");
const scrollDown = () => (scroller.scrollTop = conversation ? scroller.scrollHeight : 0);

scroller.addEventListener("scroll", () => {
  following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
  toBottom.hidden = following;
});
toBottom.addEventListener("click", () => {
  following = true;
  scrollDown();
});

// The dock grows and shrinks, cards open, output comes: whoever was at the end stays there.
const observer = new ResizeObserver(() => settle());
observer.observe(scroller);
observer.observe(thread);

function settle() {
  if (following) scrollDown();
  else toBottom.hidden = scroller.scrollHeight <= scroller.clientHeight;
}

// What waits

const look = gathered(() => refreshSidebar(conversation));
const bar = find("#waiting-bar");

document.addEventListener("toolhost:waiting", (event) => {
  const count = event.detail;
  bar.hidden = count === 0;
  find("#waiting-text").textContent = count === 1 ? bar.dataset.one : fill(bar.dataset.other, { n: count });
});
find("#waiting-show").addEventListener("click", () => {
  const card = find('.card[data-state="waiting"]');
  if (!card) return location.assign("/approvals");
  card.scrollIntoView({ block: "center" });
  find(".card-head", card).focus();
});
document.addEventListener("toolhost:command", (event) => {
  if (event.detail === "waiting") find("#waiting-show").click();
});

// Runs

function runs() {
  composer.running([...alive.values()].includes(false));
}

function send(message) {
  if (!connection.ready) composer.complain(texts.sending);
  // What is chosen beside the composer counts for a conversation that does not exist yet.
  const first = conversation ? {} : { workspace: find("#workspace")?.value || null, ...(message.type === "message" ? choice() : {}) };
  connection.send({ ...message, conversation_id: conversation, ...first });
}

const composer = new Composer(
  send,
  () => {
    for (const [run, waits] of alive) if (!waits) connection.sendNow({ type: "stop", run_id: run });
  },
);

const said = {
  waiting: texts.call_waiting,
  running: texts.call_running,
  done: texts.call_done,
  error: texts.call_failed,
  denied: texts.call_denied,
  cancelled: texts.call_cancelled,
};

// Who answers

const model = find("#model");
const profile = find("#profile");

/** What was chosen above the thread; in a conversation the server knows it already. */
function choice() {
  return model ? { model: model.value, profile: profile?.value ?? "" } : {};
}

async function choose() {
  if (!conversation) return;
  const answer = await put(`/api/conversations/${conversation}/model`, { model: model.value, profile: profile?.value || null });
  composer.complain(answer.ok ? "" : wordsOf(answer.data.error));
}
model?.addEventListener("change", choose);
profile?.addEventListener("change", choose);

guide((line) => composer.submit({ type: "message", text: line }, false, true));
filesPanel({ conversation: () => conversation, call: (tool, values) => composer.submit({ type: "call", tool, arguments: values }, false, true) });
document.addEventListener("toolhost:again", ({ detail }) => composer.submit({ type: "call", ...detail }, false, true));
entries(thread, { conversation: () => conversation, send: (message) => composer.submit(message, false, true), reload });
queued.queue((message) => connection.sendNow(message), (run, text) => composer.rework(run, text));
queued.restore(JSON.parse(thread.dataset.queued));

const runStatus = find("#run-status");

/** One line on how the present run stands, where that is worth a line. */
function standing(text) {
  runStatus.textContent = text;
  runStatus.hidden = !text;
}

const TERMINAL = new Set(["run.completed", "run.failed", "run.cancelled"]);

function take(event) {
  if (event.run_id) {
    const last = seen[event.run_id] || 0;
    if (event.seq <= last) return; // had it before
    if (event.seq > last + 1) return resume(); // what is between comes first
    seen[event.run_id] = event.seq;
  }
  if (event.type === "resumed") {
    behind = false;
  } else if (event.type === "tool.output") {
    append(event.call_id, event.html);
  } else if (event.type === "tools.changed") {
    composer.menu.renew();
  } else if (event.type === "waiting.changed") {
    look();
  } else if (event.type === "conversation.tainted") {
    tainted(event.html);
  } else if (event.type === "run.queued") {
    queued.enqueue(event.run_id, event.text, event.position);
  } else if (event.type === "model.retry") {
    standing(fill(runStatus.dataset.retry, { reason: wordsOf(event.error), seconds: Math.ceil(event.after_ms / 1000) }));
  } else if (event.type === "message.started") {
    standing("");
    drafts.begin(thread, event);
  } else if (event.type === "message.delta") {
    drafts.grow(event);
  } else if (event.type === "message.reasoning") {
    drafts.reason(event);
  } else if (event.type === "message.completed") {
    if (event.entry && elsewhere(event.entry)) return reload();
    if (drafts.finish(thread, event)) announce(messageTexts.answered);
  } else if (event.type === "tool.arguments") {
    const card = document.getElementById(`call-${event.request_id}`);
    if (card) find(".card-summary", card).append(nodes(event.html));
  } else if (event.html && event.type === "entry.added" && event.entry.kind !== "call") {
    if (elsewhere(event.entry)) return reload();
    thread.append(element(event.html));
    if (event.entry.kind === "user") following = true;
  } else if (event.html) {
    const card = place(thread, event.html, event.request_id);
    if (event.type === "tool.requested") requested.set(event.run_id, [...(requested.get(event.run_id) || []), card]);
    // Its name is the model's, which may use it again: from now on it is nobody's.
    if (event.type === "tool.rejected") card.removeAttribute("id");
    document.dispatchEvent(new CustomEvent("toolhost:card", { detail: card }));
    const text = find("[data-inquiry]", card) ? texts.call_asks : said[card.dataset.state];
    if (text && card.dataset.state !== "running") announce(fill(text, { tool: card.dataset.tool }));
  }
  if (event.type === "run.started") queued.dequeue(event.run_id);
  if (["run.started", "approval.answered", "tool.answered"].includes(event.type)) alive.set(event.run_id, false);
  else if (["approval.required", "tool.asked"].includes(event.type)) alive.set(event.run_id, true);
  else if (TERMINAL.has(event.type)) ended(event.run_id);
  else if (event.type === "conversation.created") begun(event.conversation);
  else if (event.type === "accepted") composer.accepted(event.ref);
  else if (event.type === "error") failed(event);
  if (TERMINAL.has(event.type)) look();
  if (event.type === "run.failed" && !thread.lastElementChild?.matches('.message-error, .card[data-state="error"]')) composer.complain(inFull(event.error));
  if (event.type === "tool.shortened") shortened(event);
  if (event.type === "tool.completed") {
    foldDone(thread);
    filesChanged();
  }
  runs();
  settle();
}

/** Whether an entry begins a branch beside what is shown: another page of this person's did that. */
function elsewhere(entry) {
  return entry.siblings.some((id) => id !== entry.id && find(`[data-entry="${id}"]`, thread));
}

/** What a model was still writing when its run ended is not kept. */
function ended(run) {
  alive.delete(run);
  queued.dequeue(run);
  standing("");
  for (const card of requested.get(run) || []) if (card.dataset.state === "preparing") card.remove();
  requested.delete(run);
  for (const left of findAll(`.message-draft[data-run="${run}"]`, thread)) left.remove();
}

/** How much of a call's output its model was told. */
function shortened({ call_id, shown, total }) {
  const note = find("[data-shortened]", document.getElementById(`call-${call_id}`) ?? thread);
  if (!note) return;
  note.textContent = fill(note.dataset.shortened, { shown, total });
  note.hidden = false;
}

/** The mark in the header: what this conversation has taken in from elsewhere. */
function tainted(html) {
  const before = find("#external");
  const after = element(html);
  if (before.hidden && !after.hidden) announce(texts.external_content);
  after.open = before.open;
  before.replaceWith(after);
}

function begun(created) {
  conversation = created.id;
  find("#hero")?.remove();
  const workspace = find("#workspace");
  if (workspace) {
    find("#workspace-chip .chip-text").textContent = workspace.selectedOptions[0].text;
    workspace.closest("label").remove();
  }
  history.replaceState(null, "", `/c/${created.id}`);
}

async function failed(event) {
  const gone = event.error.code === "run_not_found"; // it ended or began meanwhile
  if (gone && !event.ref) return reload();
  if (event.error.code === "conversation_not_found") return location.assign("/");
  if (composer.refused(event.ref, event.error) || gone) reload(); // what was cut out of the thread for it stands there again
}

let asked = 0;

/** The page was away for longer than the server remembers: take the thread as it is now. */
async function reload() {
  const mine = ++asked;
  const answer = await get(`/c/${conversation}/thread`);
  if (!answer.ok || mine !== asked) return; // it is being taken once more
  redraw(thread, answer.data.html);
  tainted(answer.data.external);
  seen = answer.data.seen; // and nothing that came while it was on its way: it is not in there, and comes again
  behind = false;
  requested.clear();
  standing("");
  alive.clear();
  for (const [run, waits] of Object.entries(answer.data.alive)) alive.set(run, waits);
  queued.restore(answer.data.queued);
  foldDone(thread);
  runs();
  resume();
}

// Connection

function resume() {
  if (conversation && !behind) behind = connection.sendNow({ type: "resume", conversation_id: conversation, seen });
}

const connection = new Connection({
  event: take,
  opened() {
    behind = false;
    look(); // what came before is told to nobody
    if (dropped) {
      announce(texts.connected);
      composer.complain("");
      if (conversation) reload();
    } else {
      resume();
    }
    dropped = false;
  },
  state(name, attempt) {
    showState(name);
    if (name === "online") return;
    if (attempt === 1) announce(name === "offline" ? texts.offline : fill(texts.reconnecting, { n: attempt }));
    if (attempt > 0) dropped = true;
  },
  async ended() {
    const standing = await renew().catch(() => true); // unreachable is not signed out
    if (!standing) {
      announce(texts.session_ended);
      leave();
    }
  },
});

foldDone(thread);
showWaiting(Number(document.body.dataset.waiting));
runs();
scrollDown();
