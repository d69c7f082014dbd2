// What the page says of itself: read aloud, as a notice, and that the service does not answer.

import { $, element, setText } from "./dom.js";
import { duration } from "./figures.js";
import { now } from "./now.js";
import { t } from "./texts.js";

const SILENT = 4000; // from then on the page says that it waits
export const NO_ANSWER = "no answer"; // a trouble that is not a sentence of the service

export function announce(text) {
  $("announce").append(element("p", text));
  // Enough to be read out; older ones are of no use to anybody.
  while ($("announce").childElementCount > 5) $("announce").firstChild.remove();
}

export function notice(text) {
  setText($("notice-text"), text);
  $("notice").hidden = !text;
}

export function showSilence() {
  const waited = now.askedAt ? Date.now() - now.askedAt : 0;
  const age = Date.now() - now.answeredAt;
  // One lost answer is no news.
  const silent = now.key && (now.trouble || waited > SILENT) && age > SILENT;
  $("stale").hidden = !silent;
  if (!silent) return;
  let text = t("silentYet");
  if (now.trouble && now.trouble !== NO_ANSWER) text = t("failing")(now.trouble);
  else if (now.answeredAt) text = t("silent")(duration(age / 1000));
  setText($("stale"), text);
}
