// Elements, and lists whose rows keep theirs.
//
// Whatever comes from the service is set as text, never as markup. A row keeps its element for as
// long as it is there, so focus, selection, scrolling and open fields stay.

import { t } from "./texts.js";

export const $ = (id) => document.getElementById(id);

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

export function fillTexts(root) {
  for (const one of root.querySelectorAll("[data-text]")) setText(one, t(one.dataset.text));
  for (const one of root.querySelectorAll("[data-label]")) {
    one.setAttribute("aria-label", t(one.dataset.label));
  }
  for (const one of root.querySelectorAll("[data-hint]")) one.placeholder = t(one.dataset.hint);
}

export function clone(id) {
  const row = $(id).content.firstElementChild.cloneNode(true);
  fillTexts(row);
  return row;
}

const lists = new Map(); // of each list, the rows by key

export function patchList(list, items, keyOf, make, update) {
  if (!lists.has(list)) lists.set(list, new Map());
  const rows = lists.get(list);
  const wanted = new Map();
  for (const item of items) wanted.set(keyOf(item), item);
  for (const [key, row] of rows) {
    if (wanted.has(key)) continue;
    row.remove();
    rows.delete(key);
  }
  let next = list.firstElementChild;
  const held = heldRow(list);
  for (const [key, item] of wanted) {
    const row = rows.get(key) ?? make(item);
    rows.set(key, row);
    update(row, item);
    // An element that is moved loses focus and selection, so the others move around it.
    while (row === held && next !== held) {
      const other = next;
      next = next.nextElementSibling;
      list.append(other);
    }
    if (row === next) next = next.nextElementSibling;
    else list.insertBefore(row, next);
  }
}

function heldRow(list) {
  const selection = getSelection();
  const selected = selection.isCollapsed ? null : selection.anchorNode;
  for (const node of [document.activeElement, selected]) {
    if (!node || node === list || !list.contains(node)) continue;
    let row = node;
    while (row.parentNode !== list) row = row.parentNode;
    return row;
  }
  return null;
}

/** Remove the rows of all lists: they are of somebody else, or in another language. */
export function emptyLists() {
  for (const list of lists.keys()) list.replaceChildren();
  lists.clear();
}

export function renderFacts(list, facts) {
  const make = () => {
    const row = element("div");
    row.append(element("dt"), element("dd"));
    return row;
  };
  patchList(list, facts, ([name]) => name, make, (row, [name, text]) => {
    setText(row.firstChild, t(name));
    setText(row.lastChild, text);
  });
}
