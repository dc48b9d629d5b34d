// What went wrong, in the words of the page's language.

import { strings } from "./dom.js";

const words = strings("errors");

/** The words for an error of the server's; for none, that no answer came. */
export const wordsOf = (error) => words[error?.code] || error?.message || words.network;

/** The same, followed by the host's own sentences, which name what it is about and what to do. */
export const inFull = (error) => [...new Set([wordsOf(error), error.message, error.hint])].filter(Boolean).join(" ");
