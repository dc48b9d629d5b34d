// A long output in blocks of lines: what is out of sight is not laid out, and much of it is put in a little at a time.

import { nodes } from "./dom.js";

const FULL = 2048; // characters after which the next line begins another block
const BLOCK = '<span class="lines">'; // how the server begins one; in a text it would be escaped
const BUDGET_MS = 6; // of a frame, for putting blocks in

const full = (block) => block.textContent.length > FULL && block.textContent.endsWith("\n");

/** Add blocks that the server rendered at the end of an output, whose last block goes on until it is full. */
export function lay(output, fragment) {
  for (const block of [...fragment.children]) {
    const last = output.lastElementChild;
    if (last && !full(last)) last.append(...block.childNodes);
    else output.append(block);
  }
}

/** Put what the server rendered in the place of what an output holds, as much in each frame as it has time for. */
export function replace(output, html) {
  const blocks = html.split(BLOCK).slice(1);
  let at = 0;
  output.replaceChildren();
  const more = () => {
    const until = performance.now() + BUDGET_MS;
    while (at < blocks.length && performance.now() < until) output.append(nodes(BLOCK + blocks[at++]));
    if (at < blocks.length && output.isConnected) requestAnimationFrame(more);
  };
  more();
}
