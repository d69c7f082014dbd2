// The page of the leader: the people, the queue, what has ended, the machine and the models.

import { drawCurve } from "./curve.js";
import { refreshDialog } from "./dialog.js";
import { $, clone, patchList, renderFacts, setAttribute, setText } from "./dom.js";
import { ago, bytes, clock, duration, joined } from "./figures.js";
import {
  endedAt, figuresOf, isOver, isWaiting, lastEnded, MARKS, ownerOf, secondsLeft, showCancel,
  showError, showFigures, showState, stateOf, stepOf, taskOf, waited, waitOf, withCancel,
} from "./job.js";
import { makeModel, updateModel } from "./model.js";
import { renderPeople } from "./people.js";
import { t } from "./texts.js";

export function renderLeader(view) {
  renderMachine(view.machine);
  $("said").hidden = !view.message;
  if (view.message) {
    setText($("said-when"), t("said")(clock(view.message.at)));
    setText($("said-text"), view.message.text);
  }
  renderPeople(view);
  renderQueue(view);
  renderEnded(view);
  const models = view.models;
  patchList($("all-models"), models, (model) => model.id, makeModel, updateModel);
  $("all-models-none").hidden = models.length > 0;
  refreshDialog(view);
}

function renderQueue(view) {
  const jobs = view.jobs.filter((job) => !isOver(job));
  const make = () => withCancel(clone("queue-row"));
  patchList($("queue"), jobs, (job) => job.id, make, updateQueued);
  $("queue-none").hidden = jobs.length > 0;
  $("queue").hidden = !jobs.length;
}

function updateQueued(row, job) {
  setAttribute(row, "data-state", stateOf(job));
  const isPlaced = isWaiting(job) && job.jobs_ahead != null;
  setText(row.querySelector(".place"), isPlaced ? String(job.jobs_ahead + 1) : MARKS[stateOf(job)]);
  setText(row.querySelector(".owner"), ownerOf(job.owner));
  setText(row.querySelector(".task"), taskOf(job));
  const state = stateOf(job);
  let text = t("state")[state];
  if (state === "running") text = joined(stepOf(job), secondsLeft(job)) || text;
  if (state === "queued") text = duration(waited(job));
  setText(row.querySelector(".figures"), text);
  row.querySelector(".figures").title = joined(t("state")[state], waitOf(job));
  showCancel(row, job);
}

function renderEnded(view) {
  const jobs = lastEnded(view.jobs);
  patchList($("ended-rows"), jobs, (job) => job.id, () => clone("ended-row"), updateEnded);
  $("ended").hidden = !jobs.length;
  $("ended-none").hidden = jobs.length > 0;
}

function updateEnded(row, job) {
  setText(row.querySelector(".owner"), ownerOf(job.owner));
  setText(row.querySelector(".task"), taskOf(job));
  showState(row, job.status);
  showError(row, job);
  drawCurve(row.querySelector(".curve"), job);
  showFigures(row, job, job.taken_over ? t("takenOver") : figuresOf(job));
  setText(row.querySelector(".when"), ago(endedAt(job)));
}

function renderMachine(machine) {
  const facts = [];
  if (machine) {
    const { memory_total: total, memory_free: free, tokens_per_second: speed } = machine;
    facts.push(["memory", t("memoryOf")(bytes(free), bytes(total))]);
    facts.push(["service", bytes(machine.service_bytes)]);
    facts.push(["training", bytes(machine.training_bytes)]);
    facts.push(["disk", t("diskOf")(bytes(machine.disk_used), bytes(machine.disk_free))]);
    if (speed != null) facts.push(["speed", t("speedOf")(Math.round(speed))]);
  }
  renderFacts($("machine"), facts);
}
