// The pages beside the chat hear as it does, by the same connection, that something else waits for their person.

import { find } from "./dom.js";
import { refreshSidebar } from "./frame.js";
import { gathered } from "./gathered.js";
import { renew } from "./http.js";
import { Connection, showState } from "./socket.js";

/** Keep up with what waits; `changed` is done, besides, whenever that may be something else. */
export function keepUp(changed = () => {}) {
  const look = gathered(() => Promise.all([refreshSidebar(null), changed()]));
  const connection = new Connection({
    event: ({ type }) => type === "waiting.changed" && look(),
    opened: look, // what came before is told to nobody
    state: showState,
    async ended() {
      // Nobody is sent away from what they are typing: what they do next asks them to sign in.
      if (!(await renew().catch(() => true))) connection.stop();
    },
  });
}
