// The page of the room: what its leader sees, and what a person sees of their own.
//
// Asks `v1/room` every two seconds and patches what has changed. A row keeps its element for as
// long as it is there, so focus, selection, scrolling and open fields stay. Whatever comes from the
// service is set as text, never as markup. The key is kept in the session storage of this tab, and
// sent to nobody but the service that the page comes from. The HTML is in room.html.

// Texts

const TEXT = {
  zh: {
    language: "zh-CN",
    other: "English",
    skip: "跳到内容",
    room: "课堂",
    leave: "换密钥",
    close: "关闭",
    opening: "正在连接…",
    enterTitle: "进入课堂",
    keyLabel: "密钥",
    keyHelp: "在组织者发的纸条上，形如 room-abcd-efgh-jkmn-pqrs。只保存在这个标签页里。",
    keyWrong: "密钥不对：对照纸条再输入一次，或请组织者换一把。",
    enter: "进入",
    shutTitle: "课堂已经结束",
    shutHelp: "组织者延长之后，这个页面会自己恢复。",
    closes: (time, left) => `${time} 结束，还有 ${left}`,
    closed: (time) => `已于 ${time} 结束`,
    extend: "延长 30 分钟",
    silent: (ago) => `上次更新在 ${ago}前，服务没有回答；正在重试。`,
    silentYet: "服务没有回答；正在重试。",
    failing: (text) => `服务出错：${text} 正在重试。`,
    back: "服务恢复了。",
    messageLabel: "给所有人的话",
    messageHint: "例如：十点半一起看第 3 节",
    send: "发送",
    unsay: "撤下",
    said: (time) => `${time} 发给所有人：`,
    told: "组织者说",
    machine: "这台机器",
    memory: "内存",
    memoryOf: (free, total) => `空闲 ${free} / ${total}`,
    service: "服务",
    training: "训练",
    disk: "磁盘",
    diskOf: (used, free) => `已用 ${used}，剩 ${free}`,
    speed: "聊天",
    speedOf: (n) => `${n} token/秒`,
    people: "学员",
    counts: (n) => [
      `${n.people} 人`,
      n.failed && `${n.failed} 人失败`,
      n.running && `${n.running} 个在训练`,
      n.waiting && `${n.waiting} 个在排队`,
      n.shown < n.people && `显示 ${n.shown} 人`,
    ],
    filter: "筛选",
    sort: "排序",
    sortHelp: "先看需要帮助的",
    sortName: "按名字",
    add: "添加学员",
    nobodyYet: "还没有学员：点“添加学员”，或运行 python -m cookbook room add 名字。",
    nobodyFound: "没有符合筛选的学员。",
    queue: "队列",
    queueNone: "没有在训练或排队的任务。",
    ended: "最近结束",
    endedNone: "还没有结束的任务。",
    models: "模型",
    modelsNone: "还没有训练好的模型。",
    person: "学员",
    task: "任务",
    status: "状态",
    curve: "训练损失",
    when: "时间",
    leader: "组织者",
    noTask: "（未命名）",
    ownJobs: "我的任务",
    ownJobsNone: "还没有任务：在笔记本里开始一次训练，就会出现在这里。",
    ownModels: "我的模型",
    ownModelsNone: "还没有模型：训练完成后出现在这里。",
    sharedModels: "别人分享的模型",
    sharedBy: (name) => `${name} 分享`,
    limits: "用量",
    limitJobs: "没有结束的任务",
    limitBytes: "上传的文件",
    limitChats: "正在生成的回答",
    of: (used, limit) => `${used} / ${limit}`,
    notebook: "笔记本",
    lastSeen: "上次活动",
    has: (models, bytes) => `${models} 个模型 · ${bytes}`,
    state: {
      running: "训练中",
      paused: "已暂停",
      validating_files: "检查文件",
      queued: "排队",
      succeeded: "完成",
      failed: "失败",
      cancelled: "已取消",
      here: "在课堂",
      away: "离开",
      never: "还没来",
    },
    act: {
      connect: "连接",
      upload: "上传文件",
      train: "开始训练",
      watch: "看训练",
      ask: "提问",
      read: "查看",
    },
    ahead: (n) => (n ? `前面 ${n} 个` : "下一个开始"),
    place: (n) => `第 ${n} 位`,
    left: (duration) => `还剩约 ${duration}`,
    waited: (duration) => `等了 ${duration}`,
    curveText: (first, last, step, total) => `损失 ${first} → ${last}，第 ${step} 步，共 ${total} 步`,
    takenOver: "与已完成的训练相同，没有重新训练",
    now: "刚刚",
    ago: (duration) => `${duration}前`,
    agoShort: (duration) => `${duration}前`,
    seconds: (n) => `${n} 秒`,
    minutes: (n) => `${n} 分钟`,
    hours: (h, m) => (m ? `${h} 小时 ${m} 分` : `${h} 小时`),
    days: (n) => `${n} 天`,
    cancel: "取消",
    cancelLabel: (who) => `取消 ${who} 的任务`,
    cancelAsk: "取消这个任务？",
    cancelYes: "取消任务",
    keep: "不",
    share: "分享",
    unshare: "不再分享",
    shared: "已分享",
    copy: "复制",
    copied: "已复制",
    newName: "名字",
    slip: "密钥",
    slipHelp:
      "密钥只显示这一次，请现在抄下或复制给学员。" +
      "前两行放进笔记本旁的 .env 文件；最后一行是学员自己的页面。",
    renew: "换一把密钥",
    renewAsk: "旧密钥会立刻失效。",
    renewYes: "换密钥",
    remove: "移出课堂",
    removeAsk: "密钥失效，文件和模型保留。",
    removeYes: "移出",
    personFailed: (name, text) => `${name} 的任务失败：${text}`,
    jobNow: (task, state) => `任务 ${task}：${state}`,
    noAnswer: "服务没有回答，这一步没有做成：稍后再试。",
  },
  en: {
    language: "en",
    other: "中文",
    skip: "Skip to content",
    room: "Room",
    leave: "Change key",
    close: "Close",
    opening: "Connecting…",
    enterTitle: "Enter the room",
    keyLabel: "Key",
    keyHelp: "On the slip from the leader, like room-abcd-efgh-jkmn-pqrs. Kept in this tab only.",
    keyWrong: "This key is not valid: compare it with the slip, or ask the leader for another.",
    enter: "Enter",
    shutTitle: "The room is closed",
    shutHelp: "If the leader extends it, this page comes back by itself.",
    closes: (time, left) => `closes at ${time}, in ${left}`,
    closed: (time) => `closed at ${time}`,
    extend: "Extend 30 min",
    silent: (ago) => `Last updated ${ago} ago, the service does not answer; trying again.`,
    silentYet: "The service does not answer; trying again.",
    failing: (text) => `Error of the service: ${text} Trying again.`,
    back: "The service answers again.",
    messageLabel: "Message to all",
    messageHint: "For example: at half past ten we look at part 3 together",
    send: "Send",
    unsay: "Remove",
    said: (time) => `Sent to all at ${time}:`,
    told: "From the leader",
    machine: "This machine",
    memory: "Memory",
    memoryOf: (free, total) => `${free} of ${total} free`,
    service: "Service",
    training: "Training",
    disk: "Disk",
    diskOf: (used, free) => `${used} used, ${free} free`,
    speed: "Chat",
    speedOf: (n) => `${n} tokens/s`,
    people: "People",
    counts: (n) => [
      n.people === 1 ? "1 person" : `${n.people} people`,
      n.failed && `${n.failed} failed`,
      n.running && `${n.running} training`,
      n.waiting && `${n.waiting} waiting`,
      n.shown < n.people && `${n.shown} shown`,
    ],
    filter: "Filter",
    sort: "Sort",
    sortHelp: "Who needs help first",
    sortName: "By name",
    add: "Add a person",
    nobodyYet: "Nobody is here yet: “Add a person”, or python -m cookbook room add NAME.",
    nobodyFound: "Nobody fits the filter.",
    queue: "Queue",
    queueNone: "No job trains or waits.",
    ended: "Ended lately",
    endedNone: "No job has ended yet.",
    models: "Models",
    modelsNone: "No model has been trained yet.",
    person: "Person",
    task: "Task",
    status: "Status",
    curve: "Training loss",
    when: "When",
    leader: "Leader",
    noTask: "(no name)",
    ownJobs: "My jobs",
    ownJobsNone: "No job yet: start a training in a notebook, and it appears here.",
    ownModels: "My models",
    ownModelsNone: "No model yet: it appears here once a training has finished.",
    sharedModels: "Models that others share",
    sharedBy: (name) => `shared by ${name}`,
    limits: "Limits",
    limitJobs: "Jobs that have not ended",
    limitBytes: "Uploaded files",
    limitChats: "Answers under way",
    of: (used, limit) => `${used} of ${limit}`,
    notebook: "Notebook",
    lastSeen: "Last active",
    has: (models, bytes) => `${models} ${models === 1 ? "model" : "models"} · ${bytes}`,
    state: {
      running: "training",
      paused: "paused",
      validating_files: "checking",
      queued: "waiting",
      succeeded: "finished",
      failed: "failed",
      cancelled: "cancelled",
      here: "here",
      away: "away",
      never: "not here yet",
    },
    act: {
      connect: "connected",
      upload: "uploaded",
      train: "started training",
      watch: "watching",
      ask: "asking",
      read: "reading",
    },
    ahead: (n) => (n ? `${n} ahead` : "next"),
    place: (n) => `place ${n}`,
    left: (duration) => `about ${duration} left`,
    waited: (duration) => `waits ${duration}`,
    curveText: (first, last, step, total) => `loss ${first} → ${last}, step ${step} of ${total}`,
    takenOver: "same as a finished training, nothing was trained again",
    now: "now",
    ago: (duration) => `${duration} ago`,
    agoShort: (duration) => duration,
    seconds: (n) => `${n} s`,
    minutes: (n) => `${n} min`,
    hours: (h, m) => (m ? `${h} h ${m} min` : `${h} h`),
    days: (n) => (n === 1 ? "1 day" : `${n} days`),
    cancel: "Cancel",
    cancelLabel: (who) => `Cancel the job of ${who}`,
    cancelAsk: "Cancel this job?",
    cancelYes: "Cancel job",
    keep: "No",
    share: "Share",
    unshare: "Stop sharing",
    shared: "shared",
    copy: "Copy",
    copied: "Copied",
    newName: "Name",
    slip: "Key",
    slipHelp:
      "The key is shown this once: write it down or copy it for the person now. The first two " +
      "lines go into a file .env beside the notebooks; the last is the person's own page.",
    renew: "New key",
    renewAsk: "The old key stops working at once.",
    renewYes: "Make new key",
    remove: "Remove",
    removeAsk: "The key stops working; files and models stay.",
    removeYes: "Remove",
    personFailed: (name, text) => `A job of ${name} failed: ${text}`,
    jobNow: (task, state) => `Job ${task}: ${state}`,
    noAnswer: "The service does not answer, nothing was done: try again later.",
  },
};

const MARKS = {
  running: "●", paused: "‖", validating_files: "○", queued: "○", succeeded: "✓", failed: "✕",
  cancelled: "–", here: "·", away: "·", never: "·",
};
const ENDED = new Set(["succeeded", "failed", "cancelled"]);
const LOCAL = "local"; // the leader, as the service names the owner of what they have made

const POLL = 2000; // milliseconds between two questions
const POLL_HIDDEN = 5000;
const PATIENCE = 8000; // until an answer is not waited for any more
const SILENT = 4000; // from then on the page says that it waits
const AWAY = 600; // seconds after which somebody is not in the room any more
const EXTEND = 30; // minutes

// What the page knows. `view` is the newest answer of `v1/room`.
const now = {
  key: null,
  view: null,
  language: "zh",
  offset: 0, // of the service's clock to this one's, in seconds
  answeredAt: 0, // the last good answer; 0 before the first
  askedAt: 0, // the question under way; 0 if there is none
  trouble: "", // why the last question had no good answer; "" if it had one
  round: 0, // raised by whatever makes the answers under way out of date
  known: null, // state of each job by its id in the last view, to tell what is new
  message: null,
};

// Small things

const $ = (id) => document.getElementById(id);
const t = (name) => TEXT[now.language][name];

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function announce(text) {
  $("announce").append(element("p", text));
  // Enough to be read out; older ones are of no use to anybody.
  while ($("announce").childElementCount > 5) $("announce").firstChild.remove();
}

function fillTexts(root) {
  for (const one of root.querySelectorAll("[data-text]")) setText(one, t(one.dataset.text));
  for (const one of root.querySelectorAll("[data-label]")) {
    one.setAttribute("aria-label", t(one.dataset.label));
  }
  for (const one of root.querySelectorAll("[data-hint]")) one.placeholder = t(one.dataset.hint);
}

function stored(storage, name, value) {
  // A browser may refuse storage; the page then works until it is closed.
  try {
    if (value === undefined) return storage().getItem(name);
    if (value === null) storage().removeItem(name);
    else storage().setItem(name, value);
  } catch {}
  return null;
}

// Two rooms behind one proxy differ in their paths.
const KEY_NAME = `room-key ${location.pathname}`;
const session = () => sessionStorage;
const local = () => localStorage;

// Figures and times

const serverNow = () => Date.now() / 1000 + now.offset;

const MB = 2 ** 20;

function bytes(n) {
  const [size, unit] = n >= 1024 * MB ? [n / 1024 / MB, "GB"] : [n / MB, "MB"];
  return `${size === 0 || size >= 10 ? Math.round(size) : size.toFixed(1)} ${unit}`;
}

function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return t("seconds")(s);
  if (s < 3600) return t("minutes")(Math.round(s / 60));
  if (s < 2 * 86400) return t("hours")(Math.floor(s / 3600), Math.floor((s % 3600) / 60));
  return t("days")(Math.floor(s / 86400));
}

function ago(at, words = "ago") {
  const seconds = serverNow() - at;
  if (seconds < 10) return t("now");
  // In tens, since a figure that changes at each update draws the eye for nothing.
  return t(words)(duration(seconds < 60 ? Math.floor(seconds / 10) * 10 : seconds));
}

function clock(at) {
  const date = new Date(at * 1000);
  const today = date.toDateString() === new Date(serverNow() * 1000).toDateString();
  const day = today ? {} : { month: "short", day: "numeric" };
  const form = { ...day, hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Intl.DateTimeFormat(t("language"), form).format(date);
}

const figure = (loss) => (Number.isFinite(loss) ? loss.toFixed(2) : "–");

// The service

class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${now.key}` };
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
async function request(method, path, body, tell = notice) {
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

function notice(text) {
  setText($("notice-text"), text);
  $("notice").hidden = !text;
}

const inPath = (id) => id.split("/").map(encodeURIComponent).join("/");
const cancelJob = (id) => request("POST", `v1/fine_tuning/jobs/${inPath(id)}/cancel`);

let timer = 0;

async function poll() {
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
  if (view) answered(view);
  else if (error.status === 401) leave(t("keyWrong"));
  else if (error.code === "room_closed") shut(error.message);
  else {
    now.trouble = error instanceof Refused ? error.message : "-";
    showSilence();
  }
  // `leave` has taken the key away.
  if (now.key) timer = setTimeout(poll, document.hidden ? POLL_HIDDEN : POLL);
}

function answered(view) {
  const isFirst = !now.view;
  if (now.trouble && now.answeredAt) announce(t("back"));
  Object.assign(now, { view, trouble: "", answeredAt: Date.now() });
  now.offset = view.now - Date.now() / 1000;
  showSilence();
  render();
  tellNews(isFirst);
}

function shut(text) {
  Object.assign(now, { view: null, trouble: "", answeredAt: Date.now() });
  showSilence();
  setText($("shut-text"), text);
  show("shut");
}

function showSilence() {
  const waited = now.askedAt ? Date.now() - now.askedAt : 0;
  const age = Date.now() - now.answeredAt;
  // One lost answer is no news.
  const silent = now.key && (now.trouble || waited > SILENT) && age > SILENT;
  $("stale").hidden = !silent;
  if (!silent) return;
  let text = t("silentYet");
  if (now.trouble.length > 1) text = t("failing")(now.trouble);
  else if (now.answeredAt) text = t("silent")(duration(age / 1000));
  setText($("stale"), text);
}

// The key

function typedKey(text) {
  // As from a Chinese keyboard, or from paper with its capital at the beginning.
  const key = text.normalize("NFKC").trim().replace(/[‐-―−]/g, "-");
  return /^room(-[a-z]{4}){4}$/i.test(key) ? key.toLowerCase() : key;
}

function enter(key) {
  // A header holds nothing else, so that this cannot be a key.
  if (!/^[!-~]{1,500}$/.test(key)) {
    leave(t("keyWrong"));
    return;
  }
  forget();
  now.key = key;
  stored(session, KEY_NAME, key);
  show("opening");
  poll();
}

function forget() {
  clearTimeout(timer);
  Object.assign(now, { key: null, view: null, answeredAt: 0, askedAt: 0, trouble: "" });
  Object.assign(now, { known: null, message: null, round: now.round + 1 });
  for (const list of lists.keys()) list.replaceChildren();
  lists.clear();
  stored(session, KEY_NAME, null);
  if ($("dialog").open) $("dialog").close();
  notice("");
  showSilence();
}

function leave(why = "") {
  forget();
  show("enter");
  setText($("key-wrong"), why);
  setAttribute($("key"), "aria-invalid", String(Boolean(why)));
  $("key").focus();
  $("key").select();
}

function keyFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given === null) return null;
  // Not in the history, nor in a picture of the screen.
  history.replaceState(null, "", location.pathname + location.search);
  return typedKey(given);
}

function show(id) {
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

// Lists: a row keeps its element

const lists = new Map(); // of each list, the rows by key
let asking = null; // the question that is asked in place, see `confirmIn`

function patchList(list, items, keyOf, make, update) {
  if (!lists.has(list)) lists.set(list, new Map());
  const rows = lists.get(list);
  const wanted = new Map();
  for (const item of items) wanted.set(keyOf(item), item);
  for (const [key, row] of rows) {
    if (wanted.has(key)) continue;
    row.remove();
    rows.delete(key);
  }
  let next = list.firstElementChild;
  const held = heldRow(list);
  for (const [key, item] of wanted) {
    const row = rows.get(key) ?? make(item);
    rows.set(key, row);
    update(row, item);
    // An element that is moved loses focus and selection, so the others move around it.
    while (row === held && next !== held) {
      const other = next;
      next = next.nextElementSibling;
      list.append(other);
    }
    if (row === next) next = next.nextElementSibling;
    else list.insertBefore(row, next);
  }
}

function heldRow(list) {
  const selection = getSelection();
  const selected = selection.isCollapsed ? null : selection.anchorNode;
  for (const node of [document.activeElement, selected]) {
    if (!node || node === list || !list.contains(node)) continue;
    let row = node;
    while (row.parentNode !== list) row = row.parentNode;
    return row;
  }
  return null;
}

function clone(id) {
  const row = $(id).content.firstElementChild.cloneNode(true);
  fillTexts(row);
  return row;
}

/** Ask beside a button, in its place, before `action` is done; `subject` is what it is about. */
function confirmIn(button, subject, question, yes, action) {
  asking?.close();
  const box = element("span", "", { class: "confirm", role: "group", "aria-label": question });
  const keep = element("button", t("keep"), { type: "button", class: "quiet" });
  const sure = element("button", yes, { type: "button", class: "danger" });
  box.append(element("span", question), keep, sure);
  const opened = {
    subject,
    close() {
      if (asking === opened) asking = null;
      const hadFocus = box.contains(document.activeElement);
      box.closest("li, dialog")?.classList.remove("asking");
      box.remove();
      button.hidden = false;
      if (hadFocus) button.focus();
    },
  };
  const done = () => {
    if (asking !== opened) return;
    opened.close();
    // What stayed in its place meanwhile goes where it belongs.
    render();
  };
  keep.addEventListener("click", done);
  sure.addEventListener("click", async () => {
    // Not `disabled`, which would take the focus away.
    if (sure.ariaDisabled === "true") return;
    sure.ariaDisabled = "true";
    await action();
    done();
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    done();
  });
  asking = opened;
  button.hidden = true;
  button.after(box);
  box.closest("li, dialog")?.classList.add("asking");
  // The harmless one, in case that Enter was held.
  keep.focus();
}

// A job, wherever it is shown

const endedAt = (job) => job.finished_at ?? job.created_at;
const isOver = (job) => ENDED.has(job.status);
const stateOf = (job) => (job.paused && !isOver(job) ? "paused" : job.status);
const lastEnded = (jobs) => jobs.filter(isOver).sort((a, b) => endedAt(b) - endedAt(a));
const isWaiting = (job) => !isOver(job) && job.status !== "running" && !job.paused;
const taskOf = (job) => job.task || t("noTask");
const ownerOf = (name) => (name === LOCAL ? t("leader") : name);

function showState(row, state, word = t("state")[state]) {
  const place = row.querySelector(".state");
  setAttribute(place, "data-state", state);
  setText(place.querySelector(".mark"), MARKS[state] ?? "·");
  setText(place.querySelector(".word"), word ?? state);
}

const wordOf = (job) =>
  isWaiting(job) && job.jobs_ahead != null ? t("place")(job.jobs_ahead + 1) : undefined;

const stepOf = (job) => (job.step ? `${job.step}/${job.total_steps}` : "");
const waited = (job) => serverNow() - job.created_at;
const waitOf = (job) => (isWaiting(job) ? t("waited")(duration(waited(job))) : "");
const joined = (...parts) => parts.filter(Boolean).join(" · ");

function figuresOf(job) {
  const step = job.status === "succeeded" ? "" : stepOf(job);
  return job.step ? joined(step, figure(job.train_loss)) : "";
}

const secondsLeft = (job) =>
  stateOf(job) === "running" && Number.isFinite(job.seconds_left) ? duration(job.seconds_left) : "";

const SVG = "http://www.w3.org/2000/svg";

/** Draw the loss; the width is the whole training, so that the line also shows how far it is. */
function drawCurve(place, job, width = 64, height = 18) {
  const losses = (job?.losses ?? []).filter(Number.isFinite);
  place.hidden = losses.length < 2;
  if (place.hidden) return;
  if (!place.firstChild) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    for (const name of ["base", "line"]) {
      const line = document.createElementNS(SVG, "polyline");
      line.setAttribute("class", name);
      svg.append(line);
    }
    svg.firstChild.setAttribute("points", `0,${height - 0.5} ${width},${height - 0.5}`);
    place.append(svg);
  }
  const done = job.total_steps ? Math.min(1, job.step / job.total_steps) : 1;
  const least = Math.min(...losses);
  const range = Math.max(...losses) - least || 1;
  const points = losses.map((loss, i) => {
    const x = (i / (losses.length - 1)) * done * width;
    const y = 2 + (1 - (loss - least) / range) * (height - 5);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  const svg = place.firstChild;
  setAttribute(svg.lastChild, "points", points.join(" "));
  const first = figure(losses[0]);
  const last = figure(job.train_loss ?? losses.at(-1));
  const label = t("curveText")(first, last, job.step ?? 0, job.total_steps ?? 0);
  setAttribute(svg, "aria-label", label);
}

function showFigures(row, job, text) {
  const place = row.querySelector(".figures");
  setText(place, text);
  // The curve's own label says the same, and more.
  const isSaid = job && !row.querySelector(".curve").hidden;
  if (isSaid) setAttribute(place, "aria-hidden", "true");
  else place.removeAttribute("aria-hidden");
}

function showCancel(row, job) {
  const button = row.querySelector(".cancel");
  const open = row.querySelector(".confirm");
  // The job that the question was about has ended, or another has taken its place.
  if (open && asking && asking.subject !== job?.id) asking.close();
  row.job = job && !isOver(job) ? job : null;
  if (row.querySelector(".confirm")) return;
  const hadFocus = document.activeElement === button;
  button.hidden = !row.job;
  if (hadFocus && button.hidden) (row.querySelector("button.name") ?? $("main")).focus();
  if (!row.job) return;
  setText(button, t("cancel"));
  setAttribute(button, "aria-label", t("cancelLabel")(`${ownerOf(job.owner)} · ${taskOf(job)}`));
}

function withCancel(row) {
  row.querySelector(".cancel").addEventListener("click", (event) => {
    const id = row.job.id;
    confirmIn(event.target, id, t("cancelAsk"), t("cancelYes"), () => cancelJob(id));
  });
  return row;
}

function showError(row, job) {
  const why = row.querySelector(".why");
  const text = job?.status === "failed" ? (job.error?.message ?? job.message ?? "") : "";
  setText(why, text);
  why.title = text;
  why.hidden = !text;
}

// The leader's page

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

function renderPeople(view) {
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

function renderQueue(view) {
  const unfinished = view.jobs.filter((job) => !isOver(job));
  const isTraining = (job) => stateOf(job) === "running";
  const waiting = unfinished.filter((job) => !isTraining(job));
  const jobs = [...unfinished.filter(isTraining), ...waiting];
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

function renderFacts(list, facts) {
  const make = () => {
    const row = element("div");
    row.append(element("dt"), element("dd"));
    return row;
  };
  patchList(list, facts, ([name]) => name, make, (row, [name, text]) => {
    setText(row.firstChild, t(name));
    setText(row.lastChild, text);
  });
}

function renderLeader(view) {
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
  if ($("dialog").open && dialogName) renderPerson(view);
}

// Models

function makeModel(model) {
  const row = clone("model-row");
  row.querySelector(".copy").addEventListener("click", (event) => copy(model.id, event.target));
  row.querySelector(".share").addEventListener("click", async (event) => {
    if (event.target.ariaDisabled === "true") return;
    event.target.ariaDisabled = "true";
    await request("POST", `v1/models/${inPath(model.id)}/${row.shared ? "unshare" : "share"}`);
    event.target.ariaDisabled = null;
  });
  return row;
}

function updateModel(row, model) {
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

async function copy(text, button) {
  let isDone = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS a page has no clipboard, but for this older way.
    isDone = copySelected(text, button.parentNode);
  }
  button.focus();
  if (!isDone) return;
  button.dataset.done = "yes";
  setText(button, t("copied"));
  announce(t("copied"));
  setTimeout(() => {
    delete button.dataset.done;
    setText(button, t("copy"));
  }, 2000);
}

function copySelected(text, place) {
  const field = element("textarea", text, { class: "unseen", "aria-hidden": "true" });
  // Beside the button: a dialog lets nothing outside it have the focus.
  place.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  return isDone;
}

// A person's own page

function renderOwn(view) {
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

function updateJob(row, job) {
  setAttribute(row, "data-state", stateOf(job));
  setText(row.querySelector(".task"), taskOf(job));
  showState(row, stateOf(job), wordOf(job));
  const left = secondsLeft(job);
  const ahead = isWaiting(job) && job.jobs_ahead != null ? t("ahead")(job.jobs_ahead) : "";
  const same = job.taken_over ? t("takenOver") : "";
  const about = joined(ago(endedAt(job)), ahead, left && t("left")(left), same);
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

// The dialog: one person, or somebody new

let dialogName = null;

function openDialog(name) {
  dialogName = name;
  setText($("dialog-wrong"), "");
  $("slip").hidden = true;
  $("add-form").hidden = name !== null;
  $("about").hidden = name === null;
  setText($("dialog-title"), name ?? t("add"));
  $("new-name").value = "";
  $("dialog").showModal();
}

function openPerson(name) {
  openDialog(name);
  renderPerson(now.view);
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

async function addPerson(event) {
  event.preventDefault();
  const name = $("new-name").value;
  const made = await request("POST", "v1/room/people", { name }, dialogTells);
  if (made) showSlip(made);
}

function renewKey(event) {
  const path = `v1/room/people/${inPath(dialogName)}/renew`;
  confirmIn(event.target, dialogName, t("renewAsk"), t("renewYes"), async () => {
    const made = await request("POST", path, undefined, dialogTells);
    if (made) showSlip(made);
  });
}

function removePerson(event) {
  const path = `v1/room/people/${inPath(dialogName)}`;
  confirmIn(event.target, dialogName, t("removeAsk"), t("removeYes"), async () => {
    if (await request("DELETE", path, undefined, dialogTells)) $("dialog").close();
  });
}

// All of it

function render() {
  const { view } = now;
  if (!view) return;
  show(view.leader ? "leader" : "own");
  setText($("who"), view.leader ? t("leader") : view.name);
  setText($("addresses"), (view.addresses ?? []).join("   "));
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

/** Say aloud what has changed and matters: a new message, a failure, an own job's new state. */
function tellNews(isFirst) {
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

function choose(language) {
  now.language = language;
  document.documentElement.lang = t("language");
  fillTexts(document);
  const button = $("language");
  setText(button, t("other"));
  button.lang = language === "zh" ? "en" : "zh-CN";
  // Texts that were written by now are in the other language.
  asking?.close();
  for (const list of lists.keys()) list.replaceChildren();
  lists.clear();
  showSilence();
  if (!now.view) document.title = t("room");
  render();
}

function listen() {
  $("language").addEventListener("click", () => {
    choose(now.language === "zh" ? "en" : "zh");
    stored(local, "room-language", now.language);
  });
  $("leave").addEventListener("click", () => leave());
  $("notice-close").addEventListener("click", () => {
    notice("");
    $("main").focus();
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
  $("dialog").addEventListener("close", () => {
    asking?.close();
    // The key is shown once.
    setText($("slip-text"), "");
    dialogName = null;
  });
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
  const key = keyFromAddress() ?? stored(session, KEY_NAME);
  if (key) enter(key);
  else leave();
}

begin();
