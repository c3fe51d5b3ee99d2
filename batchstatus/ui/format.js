// Numbers and times as people read them.

const numbers = new Intl.NumberFormat("en");
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const count = (n) => numbers.format(n);

/** A share in percent, never 100 % before the end nor 0 % after the start. */
export function share(percent) {
  const shown = percent < 100 && percent > 99 ? Math.floor(percent * 10) / 10 : Math.round(percent * 10) / 10;
  return `${numbers.format(percent > 0 && shown === 0 ? 0.1 : shown)} %`;
}

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const units = [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ];
  const at = units.findIndex(([, size]) => s >= size);
  const [[large, size], [small, smaller]] = [units[at], units[at + 1]];
  const rest = Math.floor((s % size) / smaller);
  return `${Math.floor(s / size)} ${large}${rest ? ` ${rest} ${small}` : ""}`;
}

export const moment = (iso) => moments.format(new Date(iso));

/** How long ago a time is, coarsely. */
export function ago(iso, now) {
  const s = Math.round((now - Date.parse(iso)) / 1000);
  if (s < 5) return "just now";
  if (s < 60) return `${s} s ago`;
  for (const [unit, size] of [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
  ]) {
    if (s >= size) return `${Math.floor(s / size)} ${unit} ago`;
  }
}
