// The service: one call, and the question for the room that is asked again every two seconds.
//
// The key is sent to nobody but the service that the page comes from: every path is relative.

import { notice } from "./notice.js";
import { now } from "./now.js";
import { language, t } from "./texts.js";

const POLL = 2000; // milliseconds between two questions
const POLL_HIDDEN = 5000;
const PATIENCE = 8000; // until an answer is not waited for any more

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${now.key}`, "Accept-Language": language };
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, {
    method,
    headers,
    body: body && JSON.stringify(body),
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE),
  });
  // A proxy answers in its own words.
  const json = await answer.json().catch(() => null);
  if (answer.ok && json) return json;
  const error = json?.error ?? {};
  throw new Refused(answer.status, error.code, error.message ?? `HTTP ${answer.status}`);
}

/** Do something that the reader asked for; return the answer, or null after telling why not. */
export async function request(method, path, body, tell = notice) {
  tell("");
  try {
    const answer = await call(method, path, body);
    // An answer that is under way may not know of this yet.
    now.round += 1;
    poll();
    return answer;
  } catch (error) {
    tell(error instanceof Refused ? error.message : t("noAnswer"));
    return null;
  }
}

export const inPath = (id) => id.split("/").map(encodeURIComponent).join("/");
export const cancelJob = (id) => request("POST", `v1/fine_tuning/jobs/${inPath(id)}/cancel`);

let timer = 0;
let listener = null; // is told of each answer, see `follow`

/** Have each view of the room given to `answered`, and each error to `refused`. */
export function follow(answered, refused) {
  listener = { answered, refused };
}

export async function poll() {
  clearTimeout(timer);
  if (!now.key) return;
  const round = (now.round += 1);
  now.askedAt = Date.now();
  let view = null;
  let error = null;
  try {
    view = await call("GET", "v1/room");
  } catch (caught) {
    error = caught;
  }
  if (round !== now.round) return;
  now.askedAt = 0;
  try {
    if (view) listener.answered(view);
    else listener.refused(error);
  } finally {
    // Whatever an answer was, the next is asked for; but `leave` has taken the key away.
    if (now.key) timer = setTimeout(poll, document.hidden ? POLL_HIDDEN : POLL);
  }
}

export function stop() {
  clearTimeout(timer);
}
