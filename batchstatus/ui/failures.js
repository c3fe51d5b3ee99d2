// Failed and skipped rows: how many by code, the first of them in a table, all of them as a file.

import { ApiError } from "./api.js";
import { el, find, say } from "./dom.js";
import { count } from "./format.js";
import { isOver, nameOf } from "./job-state.js";

const AT_FIRST = 10;
const MORE = 90;
const COUNTED_UNASKED = 20_000;
const EVERY_MS = 5_000;

/** Shows the rows of a job of `kind` (as `/batch-import/caller` tells it); `update(job)` reads them when they change. */
export function makeRows(api, kind, signal) {
  const path = (job) => `batch-import/${kind.path}/${encodeURIComponent(job.jobId)}/failures`;
  const failures = makeList(find("failures"), "failures", "Failed rows");
  const skips = makeList(find("skips"), "skips", "Skipped rows");
  let seen = "";
  let readAt = -Infinity;
  let timer = null;

  async function read(job) {
    readAt = performance.now();
    const body = await api.json(path(job), { signal });
    failures.show(body.failures, body.failuresTotal, kind, job);
    if (kind.skips) skips.show(body.skips, body.skipsTotal, kind, job);
    const all = isOver(job) && body.truncated && body.failuresTotal <= COUNTED_UNASKED;
    if (body.truncated) failures.offerCount(() => countAll(job), all);
  }

  /** The codes of all failed rows, counted out of the file. */
  async function countAll(job) {
    const response = await api.fetch(`${path(job)}.csv`, { signal, limit: 0 });
    return countColumn(response.body, kind.columns.indexOf("code"));
  }

  async function download(job, button) {
    const label = button.textContent;
    button.disabled = true;
    say(button, "Preparing the file…");
    try {
      const response = await api.fetch(`${path(job)}.csv?bom=true`, { signal, limit: 0 });
      save(await response.blob(), `${nameOf(job).replace(/\.\w{1,5}$/, "")}-failures.csv`);
      failures.problem("");
    } catch (error) {
      if (signal.aborted) return;
      failures.problem(error instanceof ApiError ? error.message : "The download broke off. Try again.");
    } finally {
      button.disabled = false;
      say(button, label);
    }
  }
  failures.onDownload = download;

  return function update(job) {
    const state = `${job.failed} ${job.skipped} ${isOver(job)}`;
    if (state === seen || !(job.failed || job.skipped)) return;
    clearTimeout(timer);
    const wait = isOver(job) ? 0 : readAt + EVERY_MS - performance.now();
    timer = setTimeout(
      async () => {
        seen = state;
        try {
          await read(job);
        } catch (error) {
          seen = ""; // the next update tries again
          if (!(error instanceof ApiError) && !signal.aborted) throw error;
        }
      },
      Math.max(0, wait),
    );
  };
}

function makeList(section, name, title) {
  const heading = el("h2", { id: `${name}-title` }, title);
  const button = el("button", { type: "button" }, "Download as CSV");
  const problem = el("p", { class: "problem", role: "alert" });
  const codes = el("ul", { class: "codes", "aria-label": `${title} by code` });
  const countButton = el("button", { class: "quiet", type: "button", hidden: true });
  const hint = el("p", { class: "hint" });
  // Roles are said, since a narrow page lays the table out as a list.
  const head = el("tr", { role: "row" });
  const body = el("tbody", { role: "rowgroup" });
  const table = el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": `The first ${title.toLowerCase()}` },
    el("table", { role: "table" }, el("thead", { role: "rowgroup" }, head), body),
  );
  const more = el("button", { class: "quiet", type: "button", hidden: true }, "Show more rows");
  const list = { onDownload: null, show, offerCount, problem: (text) => say(problem, text) };
  let shown = AT_FIRST;
  let redraw = () => {};
  more.addEventListener("click", () => {
    shown += MORE;
    redraw();
  });
  section.append(
    el("div", { class: "heading" }, heading, name === "failures" ? button : null),
    problem,
    codes,
    el("div", { class: "counting" }, hint, countButton),
    table,
    more,
  );

  function show(rows, total, kind, job) {
    section.hidden = total === 0;
    say(heading, `${title} (${count(total)})`);
    button.onclick = () => list.onDownload(job, button);
    drawCodes(countOf(rows), rows.length);
    say(hint, rows.length < total ? `The shares are of the first ${count(rows.length)} rows.` : "");
    countButton.hidden = true;
    const members = kind.columns.filter(
      (each) => each !== "outcome" && (name === "failures" || each !== "message"),
    );
    head.replaceChildren(
      ...members.map((each) => el("th", { scope: "col", role: "columnheader" }, headingOf(each))),
    );
    redraw = () => {
      body.replaceChildren(
        ...rows.slice(0, shown).map((row) =>
          el(
            "tr",
            { role: "row" },
            members.map((each) =>
              el(
                "td",
                { role: "cell", class: each === "code" ? "code" : each === "message" ? "message" : undefined },
                String(row[each] ?? ""),
              ),
            ),
          ),
        ),
      );
      more.hidden = rows.length <= shown;
      if (rows.length < total && more.hidden) say(hint, `${hint.textContent} The file has all of them.`.trim());
    };
    redraw();
  }

  function offerCount(countAll, atOnce) {
    const run = async () => {
      countButton.disabled = true;
      say(countButton, "Counting…");
      try {
        const found = await countAll();
        drawCodes(
          found,
          [...found.values()].reduce((sum, n) => sum + n, 0),
        );
        say(hint, "");
        countButton.hidden = true;
      } catch {
        say(countButton, "Counting failed. Try again");
      }
      countButton.disabled = false;
    };
    say(countButton, "Count all of them");
    countButton.hidden = false;
    countButton.onclick = run;
    if (atOnce) run();
  }

  function drawCodes(counts, all) {
    const sorted = [...counts].sort((a, b) => b[1] - a[1]);
    codes.replaceChildren(
      ...sorted.map(([code, n]) =>
        el(
          "li",
          {},
          el("span", { class: "code" }, code),
          el("span", { class: "n" }, count(n)),
          el(
            "svg",
            { "aria-hidden": "true", focusable: "false" },
            el("rect", { class: name, height: "100%", width: `${(100 * n) / all}%` }),
          ),
        ),
      ),
    );
  }

  return list;
}

const headingOf = (member) =>
  member
    .replace(/([A-Z])/g, " $1")
    .toLowerCase()
    .replace(/^./, (letter) => letter.toUpperCase());

function countOf(rows) {
  const counts = new Map();
  for (const { code } of rows) counts.set(code, (counts.get(code) ?? 0) + 1);
  return counts;
}

/** How often each value is in a column of a CSV file, which is read piece by piece (RFC 4180). */
export async function countColumn(stream, column) {
  const counts = new Map();
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let [cell, at, line, quoted, ends] = ["", 0, 0, false, false];
  const endCell = () => {
    if (line && at === column) counts.set(cell, (counts.get(cell) ?? 0) + 1);
    cell = "";
    at += 1;
  };
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    for (const letter of piece.value) {
      if (quoted) {
        if (ends && letter !== '"')
          quoted = ends = false; // and go on: the letter is behind the quotes
        else if (letter === '"' && !ends) {
          ends = true;
          continue;
        } else {
          ends = false;
          if (at === column) cell += letter;
          continue;
        }
      }
      if (letter === '"') quoted = true;
      else if (letter === ",") endCell();
      else if (letter === "\n") {
        endCell();
        at = 0;
        line += 1;
      } else if (letter !== "\r" && at === column) cell += letter;
    }
  }
  return counts;
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
