// What went wrong, in the words of the page's language.

import { strings } from "./dom.js";

const words = strings("errors");

/** The words for an error of the server's; for none, that no answer came. */
export const wordsOf = (error) => words[error?.code] || error?.message || words.network;
