// A model, wherever it is listed.

import { inPath, request } from "./api.js";
import { copy } from "./clipboard.js";
import { clone, setAttribute, setText } from "./dom.js";
import { ago } from "./figures.js";
import { ownerOf } from "./job.js";
import { now } from "./now.js";
import { t } from "./texts.js";

export function makeModel(model) {
  const row = clone("model-row");
  row.querySelector(".copy").addEventListener("click", (event) => copy(model.id, event.target));
  row.querySelector(".share").addEventListener("click", async () => {
    if (row.isBusy) return;
    row.isBusy = true;
    await request("POST", `v1/models/${inPath(model.id)}/${row.shared ? "unshare" : "share"}`);
    row.isBusy = false;
  });
  return row;
}

export function updateModel(row, model) {
  const { name, leader } = now.view;
  const isOwn = leader || model.owner === name;
  row.shared = model.shared;
  setText(row.querySelector("code"), model.id);
  const facts = [ago(model.created_at)];
  if (leader) facts.unshift(ownerOf(model.owner));
  else if (!isOwn) facts.unshift(t("sharedBy")(ownerOf(model.owner)));
  if (isOwn && model.shared) facts.push(t("shared"));
  setText(row.querySelector(".about"), facts.join(" · "));
  const copyButton = row.querySelector(".copy");
  if (!copyButton.dataset.done) setText(copyButton, t("copy"));
  setAttribute(copyButton, "aria-label", `${copyButton.textContent}: ${model.id}`);
  const share = row.querySelector(".share");
  share.hidden = !isOwn;
  setText(share, t(model.shared ? "unshare" : "share"));
  setAttribute(share, "aria-label", `${share.textContent}: ${model.id}`);
}
