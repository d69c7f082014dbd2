// What has changed from one view of the room to the next, said aloud.

import { isOver, ownerOf, stateOf, taskOf } from "./job.js";
import { announce } from "./notice.js";
import { now } from "./now.js";
import { t } from "./texts.js";

/** Say aloud what has changed and matters: a new message, a failure, an own job's new state. */
export function tellNews(isFirst) {
  const { jobs, leader, message } = now.view;
  const before = now.known ?? new Map();
  now.known = new Map(jobs.map((job) => [job.id, stateOf(job)]));
  const told = message?.text ?? "";
  const isNewMessage = !leader && told && told !== now.message;
  now.message = told;
  if (isFirst) return;
  if (isNewMessage) announce(`${t("told")}: ${told}`);
  for (const job of jobs) {
    const state = stateOf(job);
    if (before.get(job.id) === state) continue;
    if (state === "failed") {
      const text = job.error?.message ?? "";
      announce(t("personFailed")(leader ? ownerOf(job.owner) : taskOf(job), text));
    } else if (!leader && (isOver(job) || state === "running")) {
      announce(t("jobNow")(taskOf(job), t("state")[state]));
    }
  }
}
