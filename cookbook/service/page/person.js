// The page of a person: their own jobs, models and limits, and what others share.

import { $, clone, element, patchList, setText } from "./dom.js";
import { bytes } from "./figures.js";
import { isOver, lastEnded, updateJob, withCancel } from "./job.js";
import { makeModel, updateModel } from "./model.js";
import { t } from "./texts.js";

export function renderOwn(view) {
  $("told").hidden = !view.message;
  if (view.message) setText($("told-text"), view.message.text);
  const jobs = [...view.jobs.filter((job) => !isOver(job)), ...lastEnded(view.jobs)];
  const makeJob = () => withCancel(clone("job-row"));
  patchList($("own-jobs"), jobs, (job) => job.id, makeJob, updateJob);
  $("own-jobs-none").hidden = jobs.length > 0;
  const own = view.models.filter((model) => model.owner === view.name);
  const others = view.models.filter((model) => model.owner !== view.name);
  patchList($("own-models"), own, (model) => model.id, makeModel, updateModel);
  $("own-models-none").hidden = own.length > 0;
  patchList($("shared-models"), others, (model) => model.id, makeModel, updateModel);
  $("shared-part").hidden = !others.length;
  renderLimits(view.limits);
}

function renderLimits(limits) {
  const names = { jobs: "limitJobs", bytes: "limitBytes", chats: "limitChats" };
  const facts = [];
  for (const [name, label] of Object.entries(names)) {
    if (limits?.[name]) facts.push([label, name, limits[name]]);
  }
  const make = () => {
    const row = element("div");
    row.append(element("dt"), element("dd"), document.createElement("meter"));
    return row;
  };
  patchList($("limits"), facts, ([label]) => label, make, (row, [label, name, one]) => {
    const shown = name === "bytes" ? bytes : String;
    const [title, text, meter] = row.children;
    setText(title, t(label));
    setText(text, t("of")(shown(one.used), shown(one.limit)));
    meter.max = one.limit;
    meter.high = one.limit * 0.8;
    meter.value = one.used;
    meter.setAttribute("aria-hidden", "true");
  });
}
