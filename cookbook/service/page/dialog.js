// The dialog of the leader: one person, or somebody new.

import { inPath, request } from "./api.js";
import { $, clone, patchList, renderFacts, setText } from "./dom.js";
import { ago, bytes } from "./figures.js";
import { updateJob } from "./job.js";
import { now } from "./now.js";
import { asking, confirmIn } from "./question.js";
import { t } from "./texts.js";

let dialogName = null;

export function openDialog(name) {
  dialogName = name;
  setText($("dialog-wrong"), "");
  $("slip").hidden = true;
  $("add-form").hidden = name !== null;
  $("about").hidden = name === null;
  setText($("dialog-title"), name ?? t("add"));
  $("new-name").value = "";
  $("dialog").showModal();
}

export function openPerson(name) {
  openDialog(name);
  renderPerson(now.view);
}

export function refreshDialog(view) {
  if ($("dialog").open && dialogName) renderPerson(view);
}

function renderPerson(view) {
  const person = view.people.find((one) => one.name === dialogName);
  // A key that is shown now is all that matters.
  $("about").hidden = !person || !$("slip").hidden;
  if ($("about").hidden) return;
  renderFacts($("about-facts"), [
    ["lastSeen", person.seen_at ? ago(person.seen_at) : t("state").never],
    ["notebook", person.notebook ?? "—"],
    ["limitJobs", String(person.jobs)],
    ["models", String(person.models)],
    ["limitBytes", bytes(person.bytes)],
  ]);
  const jobs = view.jobs.filter((job) => job.owner === person.name);
  patchList($("about-jobs"), jobs, (job) => job.id, () => clone("job-row"), updateJob);
  // They are cancelled where they are listed for all.
  for (const button of $("about-jobs").querySelectorAll(".cancel")) button.hidden = true;
}

function dialogTells(text) {
  setText($("dialog-wrong"), text);
}

function showSlip({ name, key }) {
  dialogName = name;
  const address = now.view?.addresses?.[0] ?? location.href.split("#")[0].replace(/\/$/, "");
  const lines = [`COOKBOOK_SERVICE=${address}`, `COOKBOOK_KEY=${key}`, `${address}/#key=${key}`];
  setText($("dialog-title"), name);
  setText($("slip-text"), lines.join("\n"));
  $("add-form").hidden = true;
  $("slip").hidden = false;
  $("about").hidden = true;
  $("slip-text").focus();
}

export async function addPerson(event) {
  event.preventDefault();
  const name = $("new-name").value;
  const made = await request("POST", "v1/room/people", { name }, dialogTells);
  if (made) showSlip(made);
}

export function renewKey(event) {
  const path = `v1/room/people/${inPath(dialogName)}/renew`;
  confirmIn(event.target, dialogName, t("renewAsk"), t("renewYes"), async () => {
    const made = await request("POST", path, undefined, dialogTells);
    if (made) showSlip(made);
  });
}

export function removePerson(event) {
  const path = `v1/room/people/${inPath(dialogName)}`;
  confirmIn(event.target, dialogName, t("removeAsk"), t("removeYes"), async () => {
    if (await request("DELETE", path, undefined, dialogTells)) $("dialog").close();
  });
}

export function dialogClosed() {
  asking?.close();
  // The key is shown once.
  setText($("slip-text"), "");
  dialogName = null;
}
