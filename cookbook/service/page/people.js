// The people, as their leader sees them: who needs help comes first.

import { drawCurve } from "./curve.js";
import { openPerson } from "./dialog.js";
import { $, clone, patchList, setAttribute, setText } from "./dom.js";
import { ago, bytes, duration, joined } from "./figures.js";
import {
  endedAt, figuresOf, isOver, isWaiting, showCancel, showError, showFigures, showState, stateOf,
  taskOf, waited, waitOf, withCancel, wordOf,
} from "./job.js";
import { serverNow } from "./now.js";
import { asking } from "./question.js";
import { t } from "./texts.js";

const AWAY = 600; // seconds after which somebody is not in the room any more

/** Return how it stands with each person: a state, and the job that explains it. */
function situations(view) {
  const jobs = new Map(view.jobs.map((job) => [job.id, job]));
  const newest = new Map();
  for (const job of view.jobs) {
    const other = newest.get(job.owner);
    if (!other || job.created_at > other.created_at) newest.set(job.owner, job);
  }
  return view.people.map((person) => {
    const job = jobs.get(person.job) ?? newest.get(person.name) ?? null;
    return { person, job, state: situation(person, job) };
  });
}

function situation(person, job) {
  if (job && !isOver(job)) return stateOf(job);
  if (job?.status === "failed") return "failed";
  if (!person.seen_at) return "never";
  if (serverNow() - person.seen_at > AWAY) return "away";
  return job?.status === "succeeded" ? "succeeded" : "here";
}

const HELP = ["failed", "validating_files", "queued", "paused", "running", "here", "succeeded"];
const RANK = new Map(HELP.map((state, i) => [state, state === "queued" ? 1 : i]));

const rankOf = (one) => RANK.get(one.state) ?? HELP.length + (one.state === "never");

const byName = (a, b) =>
  a.person.name.localeCompare(b.person.name, t("language"), { numeric: true });

function byNeed(a, b) {
  const rank = rankOf(a) - rankOf(b);
  if (rank) return rank;
  // Whoever has waited longest; of the failed, too, since nobody has helped them yet.
  const waits = rankOf(a) <= 1;
  const longest = waits && a.job && b.job ? endedAt(a.job) - endedAt(b.job) : 0;
  return longest || byName(a, b);
}

let order = []; // names as they are shown

export function renderPeople(view) {
  const all = situations(view);
  const wanted = $("filter").value.trim().toLowerCase();
  const shown = all.filter(({ person, job }) => {
    const text = [person.name, person.notebook, job?.task].filter(Boolean).join("\n");
    return text.toLowerCase().includes(wanted);
  });
  shown.sort($("sort").value === "name" ? byName : byNeed);
  // What a question is about does not move away under the pointer.
  if (asking) keepOrder(shown);
  order = shown.map((one) => one.person.name);
  patchList($("people"), shown, (one) => one.person.name, makePerson, updatePerson);
  const count = (test) => all.filter(test).length;
  const counts = t("counts")({
    people: all.length,
    shown: shown.length,
    failed: count((one) => one.state === "failed"),
    running: count((one) => one.state === "running"),
    waiting: count((one) => one.job && isWaiting(one.job)),
  });
  setText($("counts"), counts.filter(Boolean).join(" · "));
  $("nobody").hidden = shown.length > 0;
  setText($("nobody"), all.length ? t("nobodyFound") : t("nobodyYet"));
}

function keepOrder(shown) {
  const places = new Map(order.map((name, i) => [name, i]));
  const place = (one) => places.get(one.person.name) ?? order.length;
  shown.sort((a, b) => place(a) - place(b));
}

function makePerson({ person }) {
  const row = withCancel(clone("person-row"));
  setText(row.querySelector("bdi"), person.name);
  row.querySelector(".name").addEventListener("click", () => openPerson(person.name));
  return row;
}

function updatePerson(row, { person, job, state }) {
  setAttribute(row, "data-state", state);
  showState(row, state, job && !isOver(job) ? wordOf(job) : undefined);
  const since = joined(t("act")[person.act], person.seen_at && ago(person.seen_at, "agoShort"));
  setText(row.querySelector(".notebook"), person.notebook ?? "");
  setText(row.querySelector(".since"), person.notebook && since ? ` · ${since}` : since || "—");
  row.querySelector(".where").title = joined(person.notebook, since);
  // An old job says nothing of somebody who is not here, nor does one that they gave up.
  const isOld = ["never", "away"].includes(state) || job?.status === "cancelled";
  const shown = isOld ? null : job;
  drawCurve(row.querySelector(".curve"), shown, 48);
  let figures = t("has")(person.models, bytes(person.bytes));
  if (shown && isWaiting(shown)) figures = joined(taskOf(shown), duration(waited(shown)));
  else if (shown?.step) figures = figuresOf(shown);
  showFigures(row, shown, figures);
  row.querySelector(".work").title = shown ? joined(taskOf(shown), waitOf(shown)) : "";
  showError(row, state === "failed" ? job : null);
  showCancel(row, job);
}
