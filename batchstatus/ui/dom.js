// Elements, made without HTML: whatever a job says is set as text.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (`on…` are listeners, undefined ones are left out) and children, texts among them. */
export function el(name, attributes = {}, ...children) {
  const made = SHAPES.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const SHAPES = new Set(["svg", "rect", "path", "circle"]);

/** Set an element's text, without touching it if nothing changes: a live region would be read out again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const find = (id) => document.getElementById(id);
