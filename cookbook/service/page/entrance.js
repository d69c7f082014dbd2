// Entering the room with a key, and leaving it. The key is kept for this tab alone.

import { poll, stop } from "./api.js";
import { $, emptyLists, setAttribute, setText } from "./dom.js";
import { notice, showSilence } from "./notice.js";
import { now } from "./now.js";
import { show } from "./page.js";
import { session, stored } from "./storage.js";
import { t } from "./texts.js";

// Two rooms behind one proxy differ in their paths.
const KEY_NAME = `room-key ${location.pathname}`;

export function typedKey(text) {
  // As from a Chinese keyboard, or from paper with its capital at the beginning.
  const key = text.normalize("NFKC").trim().replace(/[‐-―−]/g, "-");
  return /^room(-[a-z]{4}){4}$/i.test(key) ? key.toLowerCase() : key;
}

export function keyFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given === null) return null;
  // Not in the history, nor in a picture of the screen.
  history.replaceState(null, "", location.pathname + location.search);
  return typedKey(given);
}

/** Return the key in the address, or the one of this tab. */
export const givenKey = () => keyFromAddress() ?? stored(session, KEY_NAME);

export function enter(key) {
  // A header holds nothing else, so that this cannot be a key.
  if (!/^[!-~]{1,500}$/.test(key)) {
    leave(t("keyWrong"));
    return;
  }
  forget();
  now.key = key;
  stored(session, KEY_NAME, key);
  show("opening");
  poll();
}

function forget() {
  stop();
  Object.assign(now, { key: null, view: null, answeredAt: 0, askedAt: 0, trouble: "" });
  Object.assign(now, { known: null, message: null, round: now.round + 1 });
  emptyLists();
  stored(session, KEY_NAME, null);
  if ($("dialog").open) $("dialog").close();
  notice("");
  showSilence();
}

export function leave(why = "") {
  forget();
  show("enter");
  setText($("key-wrong"), why);
  setAttribute($("key"), "aria-invalid", String(Boolean(why)));
  $("key").focus();
  $("key").select();
}

export function shut(text) {
  Object.assign(now, { view: null, trouble: "", answeredAt: Date.now() });
  showSilence();
  setText($("shut-text"), text);
  show("shut");
}
