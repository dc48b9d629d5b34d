// What went wrong, in the words of the page's language.

import { prose, strings } from "./dom.js";

const words = strings("errors");

/** The words for an error of the server's; for none, that no answer came. */
export const wordsOf = (error) => words[error?.code] || error?.message || words.network;

/** The same as nodes, followed by the host's own sentences, which name what it is about and what to do. */
export function inFull(error) {
  const said = wordsOf(error);
  const own = [error.message, error.hint].filter((sentence) => sentence && sentence !== said);
  if (!own.length) return prose(said);
  const rest = document.createElement("span");
  rest.lang = "en";
  rest.append(...prose(own.join(" ")));
  return [...prose(said), " ", rest];
}
