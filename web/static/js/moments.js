// Moments as the reader's own clock and language say them.

import { findAll } from "./dom.js";

for (const place of findAll("[data-moment]")) {
  const moment = new Date(Number(place.dataset.moment));
  place.dateTime = moment.toISOString();
  place.textContent = moment.toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
}
