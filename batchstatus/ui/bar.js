// The progress bar: succeeded, skipped and failed rows side by side, in SVG.

import { el } from "./dom.js";
import { completion, isOver } from "./job-state.js";
import { share } from "./format.js";

const OUTCOMES = ["succeeded", "skipped", "failed"];

/** A bar to be shown; `update(job, label, words)` draws it. */
export function makeBar(label) {
  const parts = Object.fromEntries(
    OUTCOMES.map((each) => [each, el("rect", { class: each, height: "100%", width: "0", x: "0" })]),
  );
  const runner = el("rect", { class: "runner", height: "100%", width: "30%", x: "0" });
  const svg = el(
    "svg",
    { "aria-hidden": "true", focusable: "false" },
    runner,
    OUTCOMES.map((each) => parts[each]),
  );
  const element = el(
    "div",
    { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" },
    svg,
  );

  function update(job, words) {
    const { percent, text } = completion(job);
    element.classList.toggle("unknown", percent === null && !isOver(job));
    if (percent === null) element.removeAttribute("aria-valuenow");
    else element.setAttribute("aria-valuenow", Math.floor(percent));
    element.setAttribute("aria-valuetext", `${words}, ${percent === null ? text : `${share(percent)}, ${text}`}`);
    const all = Math.max(job.totalItems ?? 0, ...[OUTCOMES.reduce((sum, each) => sum + job[each], 0)]);
    let x = 0;
    for (const each of OUTCOMES) {
      // Failed rows are seen however few they are.
      const width =
        !all && percent === 100 && each === "succeeded"
          ? 100
          : all && percent !== null
            ? Math.max((100 * job[each]) / all, job[each] ? 0.4 : 0)
            : 0;
      parts[each].setAttribute("x", `${Math.min(x, 100 - width)}%`);
      parts[each].setAttribute("width", `${width}%`);
      x += width;
    }
  }

  return { element, update };
}
