// The page of the room: what its leader sees, and what a person sees of their own.
//
// Asks `v1/room` every two seconds (api.js) and patches what has changed (dom.js). The HTML is in
// room.html, the texts are in texts.js.

import { follow, poll, Refused, request } from "./api.js";
import { copy } from "./clipboard.js";
import { addPerson, dialogClosed, openDialog, removePerson, renewKey } from "./dialog.js";
import { $, emptyLists, fillTexts, setText } from "./dom.js";
import { enter, givenKey, keyFromAddress, leave, shut, typedKey } from "./entrance.js";
import { tellNews } from "./news.js";
import { announce, NO_ANSWER, notice, showSilence } from "./notice.js";
import { now } from "./now.js";
import { render } from "./page.js";
import { asking, whenSettled } from "./question.js";
import { local, stored } from "./storage.js";
import { language, speak, t } from "./texts.js";

const EXTEND = 30; // minutes

function answered(view) {
  const isFirst = !now.view;
  if (now.trouble && now.answeredAt) announce(t("back"));
  Object.assign(now, { view, trouble: "", answeredAt: Date.now() });
  now.offset = view.now - Date.now() / 1000;
  showSilence();
  render();
  tellNews(isFirst);
}

function refused(error) {
  if (error.status === 401) leave(t("keyWrong"));
  else if (error.code === "room_closed") shut(error.message);
  else {
    now.trouble = error instanceof Refused ? error.message : NO_ANSWER;
    showSilence();
  }
}

function choose(wanted) {
  speak(wanted);
  document.documentElement.lang = t("language");
  fillTexts(document);
  const button = $("language");
  setText(button, t("other"));
  button.lang = language === "zh" ? "en" : "zh-CN";
  // Texts that were written by now are in the other language.
  asking?.close();
  emptyLists();
  showSilence();
  if (!now.view) document.title = t("room");
  render();
}

function listen() {
  $("language").addEventListener("click", () => {
    choose(language === "zh" ? "en" : "zh");
    stored(local, "room-language", language);
  });
  $("leave").addEventListener("click", () => leave());
  $("notice-close").addEventListener("click", () => {
    notice("");
    $("main").focus({ preventScroll: true });
  });
  $("enter-form").addEventListener("submit", (event) => {
    event.preventDefault();
    enter(typedKey($("key").value));
    $("key").value = "";
  });
  $("message-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = $("message").value.trim();
    if (!text) return;
    if (await request("POST", "v1/room/message", { text })) $("message").value = "";
  });
  $("unsay").addEventListener("click", async () => {
    if (await request("POST", "v1/room/message", { text: "" })) $("message").focus();
  });
  $("extend").addEventListener("click", () => {
    request("POST", "v1/room/extend", { minutes: EXTEND });
  });
  $("filter").addEventListener("input", render);
  $("sort").addEventListener("change", render);
  $("add").addEventListener("click", () => openDialog(null));
  $("add-form").addEventListener("submit", addPerson);
  $("renew").addEventListener("click", renewKey);
  $("remove").addEventListener("click", removePerson);
  $("slip-copy").addEventListener("click", (event) => {
    copy($("slip-text").textContent, event.target);
  });
  $("dialog").addEventListener("close", dialogClosed);
  addEventListener("hashchange", () => {
    const key = keyFromAddress();
    if (key !== null) enter(key);
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) poll();
  });
  setInterval(showSilence, 1000);
}

function begin() {
  const preferred = stored(local, "room-language") ?? navigator.language;
  choose(preferred.toLowerCase().startsWith("zh") ? "zh" : "en");
  listen();
  follow(answered, refused);
  whenSettled(render);
  const key = givenKey();
  if (key) enter(key);
  else leave();
}

begin();
