// The page as a whole: which part of it is shown, and what is in it.

import { $, setText } from "./dom.js";
import { clock, duration } from "./figures.js";
import { renderLeader } from "./leader.js";
import { now, serverNow } from "./now.js";
import { renderOwn } from "./person.js";
import { t } from "./texts.js";

export function show(id) {
  for (const one of ["enter", "shut", "opening", "leader", "own"]) $(one).hidden = one !== id;
  const inside = id === "leader" || id === "own";
  $("leave").hidden = id === "enter";
  $("closes").hidden = !inside || !now.view.closes_at;
  $("addresses").hidden = id !== "leader" || !now.view.addresses?.length;
  document.body.dataset.page = id;
  if (!inside) {
    setText($("who"), "");
    document.title = t("room");
  }
}

export function render() {
  const { view } = now;
  if (!view) return;
  show(view.leader ? "leader" : "own");
  setText($("who"), view.leader ? t("leader") : view.name);
  const [address = "", ...others] = view.addresses ?? [];
  setText($("address"), address);
  setText($("other-addresses"), others.join("  "));
  if (view.closes_at) {
    const left = view.closes_at - serverNow();
    const time = clock(view.closes_at);
    setText($("closes-text"), left > 0 ? t("closes")(time, duration(left)) : t("closed")(time));
  }
  $("extend").hidden = !view.leader;
  if (view.leader) renderLeader(view);
  else renderOwn(view);
  document.title = view.leader
    ? `${t("room")} · ${$("counts").textContent}`
    : `${view.name} · ${t("room")}`;
}
