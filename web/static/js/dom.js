// Small helpers. HTML that comes through here was rendered and escaped by our own server, and by nobody else.

export const find = (selector, root = document) => root.querySelector(selector);
export const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

/** The element that a piece of server-rendered HTML is. */
export function element(html) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  return template.content.firstElementChild;
}

/** The nodes of a piece of server-rendered HTML, white space kept. */
export function nodes(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/** A catalogue text with its placeholders filled in. */
export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** The texts a page carries for its scripts. */
export function strings(name = "strings") {
  return JSON.parse(document.body.dataset[name] || "{}");
}

/** Say something to screen readers, once, without moving the focus. */
export function announce(text) {
  const place = find("#announcer");
  if (place) place.textContent = text;
}

/** A sentence of ours as nodes: what it quotes in backticks is set as code. */
export function prose(text) {
  return text.split("`").map((part, at) => {
    if (at % 2 === 0) return document.createTextNode(part);
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
}
