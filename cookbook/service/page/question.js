// A question beside a button, before something that cannot be undone. One is open at a time.

import { element } from "./dom.js";
import { t } from "./texts.js";

export let asking = null; // the question that is asked now, see `confirmIn`

let afterwards = () => {};

/** Have `action` done after each answer: rows stayed in their places until then. */
export function whenSettled(action) {
  afterwards = action;
}

/** Ask beside a button, in its place, before `action` is done; `subject` is what it is about. */
export function confirmIn(button, subject, question, yes, action) {
  asking?.close();
  const box = element("span", "", { class: "confirm", role: "group", "aria-label": question });
  const keep = element("button", t("keep"), { type: "button", class: "quiet" });
  const sure = element("button", yes, { type: "button", class: "danger" });
  box.append(element("span", question), keep, sure);
  const opened = {
    subject,
    close() {
      if (asking === opened) asking = null;
      const hadFocus = box.contains(document.activeElement);
      box.closest("li, dialog")?.classList.remove("asking");
      box.remove();
      button.hidden = false;
      if (hadFocus) button.focus();
    },
  };
  const done = () => {
    if (asking !== opened) return;
    opened.close();
    // What stayed in its place meanwhile goes where it belongs.
    afterwards();
  };
  keep.addEventListener("click", done);
  sure.addEventListener("click", async () => {
    // Not `disabled`, which would take the focus away.
    if (sure.hasAttribute("aria-disabled")) return;
    sure.setAttribute("aria-disabled", "true");
    await action();
    done();
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    done();
  });
  asking = opened;
  button.hidden = true;
  button.after(box);
  box.closest("li, dialog")?.classList.add("asking");
  // The harmless one, in case that Enter was held.
  keep.focus();
}
