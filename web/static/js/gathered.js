// What many events ask for at once is done once after the last of them.

const PAUSE_MS = 300;

/** Does `act` when it is called; called meanwhile, or soon after, once more at the end of that. */
export function gathered(act) {
  let busy = false;
  let again = false;
  return async function run() {
    again = busy;
    if (busy) return;
    busy = true;
    await act();
    setTimeout(() => {
      busy = false;
      if (again) run();
    }, PAUSE_MS);
  };
}
