// Requests to our own server. An access token lives an hour; when it is over, the refresh cookie brings a new one.

const LOGOUT = "/api/auth/logout";
let leaving = null; // where somebody signs out: whether they could, and then nobody waits for anything else

/** Exchange the refresh cookie. One tab at a time: each refresh token works once. */
export async function renew() {
  const attempt = async () => {
    // Another tab may have done it while this one waited for its turn.
    if ((await fetch("/api/auth/me", { headers: { accept: "application/json" } })).ok) return true;
    return (await fetch("/api/auth/refresh", json("POST", {}))).ok;
  };
  return navigator.locks ? navigator.locks.request("toolhost-refresh", attempt) : attempt();
}

/** Send, and sign in again once if the hour is over; null where that was not possible, and the page is left. Throws where
    the server cannot be reached. */
async function send(path, options = {}) {
  const left = () => (path === LOGOUT ? null : leaving);
  if (await left()) return new Promise(() => {});
  const response = await fetch(path, { redirect: "manual", ...options });
  if (await left()) return new Promise(() => {});
  if (response.status !== 401 && response.type !== "opaqueredirect") return response;
  if (await renew()) return fetch(path, options);
  if (path === LOGOUT) return new Response(); // that session has ended already
  leave();
  return null;
}

/** A request. Answers {ok, status, data}; where no answer came, that is an error like those of the server. */
export async function request(path, options = {}, read = body) {
  try {
    const response = await send(path, options);
    if (response) return { ok: response.ok, status: response.status, data: await read(response) };
  } catch {
    // Nobody can be reached, or the connection broke in the middle of the answer.
  }
  return { ok: false, status: 0, data: { error: { code: "network" } } };
}

async function body(response) {
  const kind = response.headers.get("content-type") || "";
  return kind.includes("json") ? response.json() : response.text();
}

/** A file that is made on demand, offered to be saved under the name the server gave it. The data are its headers. */
export function download(path) {
  return request(path, {}, async (response) => {
    if (!response.ok) return body(response);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = /filename="?([^";]+)/.exec(response.headers.get("content-disposition"))[1];
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser may still be reading it
    return response.headers;
  });
}

export const get = (path) => request(path);
export const remove = (path) => request(path, { method: "DELETE" });
export const removeWith = (path, body) => request(path, json("DELETE", body));
export const patch = (path, body) => request(path, json("PATCH", body));
export const put = (path, body) => request(path, json("PUT", body));
export const post = (path, body) => request(path, json("POST", body));

/** To the login page, and back here afterwards; who signs out comes back to nothing. */
export function leave() {
  const next = encodeURIComponent(location.pathname + location.search);
  location.assign(leaving ? "/login" : `/login?next=${next}`);
}

/** End the session. What the page asks for meanwhile waits: it would only be refused, unless nobody is signed out. */
export async function signOut() {
  const asked = post(LOGOUT, {});
  leaving = asked.then((answer) => answer.ok);
  if (!(await leaving)) leaving = null;
  return asked;
}

function json(method, body) {
  return { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}
