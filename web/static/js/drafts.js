// What a model is writing: blocks that the server has rendered, and after them the text as it comes.

import { element, find, nodes } from "./dom.js";

const draft = (id) => find(`[data-message="${CSS.escape(id)}"]`);

/** A message begins. */
export function begin(thread, { message_id, html }) {
  draft(message_id)?.remove();
  thread.append(element(html));
}

/** A piece of it. With the end of a block come that block, rendered, and what is left over. */
export function grow({ message_id, piece, html, tail }) {
  const message = draft(message_id);
  if (!message) return;
  const rest = find('[data-draft="tail"]', message);
  if (piece !== undefined) {
    rest.append(nodes(piece));
  } else if (html !== undefined) {
    find('[data-draft="settled"]', message).append(nodes(html));
    rest.replaceChildren(nodes(tail));
  }
}

/** A piece of the model's reasoning, folded away. */
export function reason({ message_id, html }) {
  const message = draft(message_id);
  if (!message) return;
  const box = find(".reasoning", message);
  box.hidden = false;
  find(".reasoning-text", box).append(nodes(html));
}

/** The message as it is kept, or nothing where it held only calls. Returns whether there was one. */
export function finish(thread, { message_id, html }) {
  const old = draft(message_id);
  if (!html) {
    old?.remove();
    return false;
  }
  const entry = element(html);
  if (old) old.replaceWith(entry);
  else thread.append(entry);
  return true;
}
