// A job, wherever it is shown.

import { cancelJob } from "./api.js";
import { drawCurve } from "./curve.js";
import { $, setAttribute, setText } from "./dom.js";
import { ago, duration, figure, joined } from "./figures.js";
import { serverNow } from "./now.js";
import { asking, confirmIn } from "./question.js";
import { t } from "./texts.js";

export const MARKS = {
  running: "●", paused: "‖", validating_files: "○", queued: "○", succeeded: "✓", failed: "✕",
  cancelled: "–", here: "·", away: "·", never: "·",
};

const ENDED = new Set(["succeeded", "failed", "cancelled"]);
const LOCAL = "local"; // the leader, as the service names the owner of what they have made

export const endedAt = (job) => job.finished_at ?? job.created_at;
export const isOver = (job) => ENDED.has(job.status);
export const stateOf = (job) => (job.paused && !isOver(job) ? "paused" : job.status);
export const lastEnded = (jobs) => jobs.filter(isOver).sort((a, b) => endedAt(b) - endedAt(a));
export const isWaiting = (job) => !isOver(job) && job.status !== "running" && !job.paused;
export const taskOf = (job) => job.task || t("noTask");
export const ownerOf = (name) => (name === LOCAL ? t("leader") : name);

export function showState(row, state, word = t("state")[state]) {
  const place = row.querySelector(".state");
  setAttribute(place, "data-state", state);
  setText(place.querySelector(".mark"), MARKS[state] ?? "·");
  setText(place.querySelector(".word"), word ?? state);
}

export const wordOf = (job) =>
  isWaiting(job) && job.jobs_ahead != null ? t("place")(job.jobs_ahead + 1) : undefined;

export const stepOf = (job) => (job.step ? `${job.step}/${job.total_steps}` : "");
export const waited = (job) => serverNow() - job.created_at;
export const waitOf = (job) => (isWaiting(job) ? t("waited")(duration(waited(job))) : "");

export function figuresOf(job) {
  const step = job.status === "succeeded" ? "" : stepOf(job);
  return job.step ? joined(step, figure(job.train_loss)) : "";
}

export const secondsLeft = (job) =>
  stateOf(job) === "running" && Number.isFinite(job.seconds_left) ? duration(job.seconds_left) : "";

export function showFigures(row, job, text) {
  const place = row.querySelector(".figures");
  setText(place, text);
  // The curve's own label says the same, and more.
  const isSaid = job && !row.querySelector(".curve").hidden;
  if (isSaid) setAttribute(place, "aria-hidden", "true");
  else place.removeAttribute("aria-hidden");
}

export function showCancel(row, job) {
  const button = row.querySelector(".cancel");
  const open = row.querySelector(".confirm");
  // The job that the question was about has ended, or another has taken its place.
  if (open && asking && asking.subject !== job?.id) asking.close();
  row.job = job && !isOver(job) ? job : null;
  if (row.querySelector(".confirm")) return;
  const hadFocus = document.activeElement === button;
  button.hidden = !row.job;
  if (hadFocus && button.hidden) {
    (row.querySelector("button.name") ?? $("main")).focus({ preventScroll: true });
  }
  if (!row.job) return;
  setText(button, t("cancel"));
  setAttribute(button, "aria-label", t("cancelLabel")(`${ownerOf(job.owner)} · ${taskOf(job)}`));
}

export function withCancel(row) {
  row.querySelector(".cancel").addEventListener("click", (event) => {
    const id = row.job.id;
    confirmIn(event.target, id, t("cancelAsk"), t("cancelYes"), () => cancelJob(id));
  });
  return row;
}

export function showError(row, job) {
  const why = row.querySelector(".why");
  const text = job?.status === "failed" ? (job.error?.message ?? job.message ?? "") : "";
  setText(why, text);
  why.title = text;
  why.hidden = !text;
}

export function updateJob(row, job) {
  setAttribute(row, "data-state", stateOf(job));
  setText(row.querySelector(".task"), taskOf(job));
  showState(row, stateOf(job), wordOf(job));
  const left = secondsLeft(job);
  const ahead = isWaiting(job) && job.jobs_ahead != null ? t("ahead")(job.jobs_ahead) : "";
  const same = job.taken_over ? t("takenOver") : "";
  const nodes = job.nodes.join(", ");
  const about = joined(ago(endedAt(job)), ahead, left && t("left")(left), nodes, same);
  setText(row.querySelector(".about"), about);
  drawCurve(row.querySelector(".curve"), job, 240, 40);
  showFigures(row, job, figuresOf(job));
  row.querySelector(".work").hidden = !job.step;
  showError(row, job);
  const last = row.querySelector(".said-last");
  last.hidden = job.status === "failed" || !job.message;
  setText(last, job.message ?? "");
  showCancel(row, job);
}
