// Figures and times, written in the language chosen.

import { serverNow } from "./now.js";
import { t } from "./texts.js";

const MB = 2 ** 20;

export function bytes(n) {
  const [size, unit] = n >= 1024 * MB ? [n / 1024 / MB, "GB"] : [n / MB, "MB"];
  return `${size === 0 || size >= 10 ? Math.round(size) : size.toFixed(1)} ${unit}`;
}

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return t("seconds")(s);
  if (s < 3600) return t("minutes")(Math.round(s / 60));
  if (s < 2 * 86400) return t("hours")(Math.floor(s / 3600), Math.floor((s % 3600) / 60));
  return t("days")(Math.floor(s / 86400));
}

export function ago(at, words = "ago") {
  const seconds = serverNow() - at;
  if (seconds < 10) return t("now");
  // In tens, since a figure that changes at each update draws the eye for nothing.
  return t(words)(duration(seconds < 60 ? Math.floor(seconds / 10) * 10 : seconds));
}

export function clock(at) {
  const date = new Date(at * 1000);
  const today = date.toDateString() === new Date(serverNow() * 1000).toDateString();
  const day = today ? {} : { month: "short", day: "numeric" };
  const form = { ...day, hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Intl.DateTimeFormat(t("language"), form).format(date);
}

export const figure = (loss) => (Number.isFinite(loss) ? loss.toFixed(2) : "–");
export const joined = (...parts) => parts.filter(Boolean).join(" · ");
