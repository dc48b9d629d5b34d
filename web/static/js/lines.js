// A long output in blocks of lines: what is out of sight is not laid out, and much of it is put in a little at a time.

const FULL = 2048; // characters after which the next line begins another block
const AT_ONCE = 12; // blocks that are put in before the browser may draw

const full = (block) => block.textContent.length > FULL && block.textContent.endsWith("\n");

/** Add blocks that the server rendered at the end of an output, whose last block goes on until it is full. */
export function lay(output, fragment) {
  for (const block of [...fragment.children]) {
    const last = output.lastElementChild;
    if (last && !full(last)) last.append(...block.childNodes);
    else output.append(block);
  }
}

/** Put blocks in the place of what an output holds, a few at a time. */
export function replace(output, fragment) {
  const blocks = [...fragment.children];
  output.replaceChildren(...blocks.splice(0, AT_ONCE));
  const more = () => {
    if (!output.isConnected || !blocks.length) return;
    output.append(...blocks.splice(0, AT_ONCE));
    requestAnimationFrame(more);
  };
  requestAnimationFrame(more);
}
