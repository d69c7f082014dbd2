// The curve of a training: its loss, as a line.

import { setAttribute } from "./dom.js";
import { figure } from "./figures.js";
import { t } from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";

/** Draw the loss; the width is the whole training, so that the line also shows how far it is. */
export function drawCurve(place, job, width = 64, height = 18) {
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
