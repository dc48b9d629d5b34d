// Requests to our own server. An access token lives an hour; when it is over, the refresh cookie brings a new one.

/** Exchange the refresh cookie. One tab at a time: each refresh token works once. */
export async function renew() {
  const attempt = async () => {
    // Another tab may have done it while this one waited for its turn.
    if ((await fetch("/api/auth/me", { headers: { accept: "application/json" } })).ok) return true;
    return (await fetch("/api/auth/refresh", json("POST", {}))).ok;
  };
  return navigator.locks ? navigator.locks.request("toolhost-refresh", attempt) : attempt();
}

/** A request that signs in again once if the hour is over. Answers {ok, status, data}. */
export async function request(path, options = {}) {
  let response = await fetch(path, { redirect: "manual", ...options });
  if (response.status === 401 || response.type === "opaqueredirect") {
    if (!(await renew())) {
      leave();
      return { ok: false, status: 401, data: null };
    }
    response = await fetch(path, options);
  }
  const text = await response.text();
  const kind = response.headers.get("content-type") || "";
  return { ok: response.ok, status: response.status, data: kind.includes("json") ? JSON.parse(text) : text };
}

export const get = (path) => request(path);
export const remove = (path) => request(path, { method: "DELETE" });
export const removeWith = (path, body) => request(path, json("DELETE", body));
export const patch = (path, body) => request(path, json("PATCH", body));
export const put = (path, body) => request(path, json("PUT", body));
export const post = (path, body) => request(path, json("POST", body));

/** To the login page, and back here afterwards. */
export function leave() {
  location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
}

function json(method, body) {
  return { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}
