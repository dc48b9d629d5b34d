// The one-time token of an address that was printed or sent: in the fragment, which is never sent, and taken away at once.

const fragment = location.hash.slice(1);
export const token = new URLSearchParams(fragment).get("token") || fragment;
history.replaceState(null, "", location.pathname);

if (token) {
  document.addEventListener("toolhost:language", () => {
    // The page is loaded anew in another language, and needs it again.
    history.replaceState(null, "", `${location.pathname}#token=${token}`);
  });
}
