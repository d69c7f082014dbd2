// Copying: with a word on the button that did it.

import { element, setText } from "./dom.js";
import { announce } from "./notice.js";
import { t } from "./texts.js";

export async function copy(text, button) {
  let isDone = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS a page has no clipboard, but for this older way.
    isDone = copySelected(text, button.parentNode);
  }
  button.focus();
  if (!isDone) return;
  button.dataset.done = "yes";
  setText(button, t("copied"));
  announce(t("copied"));
  setTimeout(() => {
    delete button.dataset.done;
    setText(button, t("copy"));
  }, 2000);
}

function copySelected(text, place) {
  const field = element("textarea", text, { class: "unseen", "aria-hidden": "true" });
  // Beside the button: a dialog lets nothing outside it have the focus.
  place.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  return isDone;
}
