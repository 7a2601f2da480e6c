// Values in words and figures, as the reader's language writes them.

import type { RunSummary, State } from "./types.js";

const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 6 });
const tiny = new Intl.NumberFormat(undefined, {
  notation: "scientific",
  maximumSignificantDigits: 5,
});
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "always", style: "short" });

/** Return a number with at most six digits that count; tables and CSV have all of them. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return whole.format(value);
  const size = Math.abs(value);
  return (size !== 0 && (size < 1e-4 || size >= 1e9) ? tiny : short).format(value);
}

const whole17 = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 21 });

/** Return a number with all the digits that it takes to read the same number back; nothing for none. */
export function exact(value: number | null | undefined): string {
  if (value === null || value === undefined) return "";
  const text = String(value);
  return text.includes("e") ? text : whole17.format(text as Intl.StringNumericLiteral);
}

/** Return when something was, from Unix seconds. */
export function when(seconds: number): string {
  return moment.format(seconds * 1000);
}

const UNITS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** Return how long ago something was, such as "3 min. ago". */
export function ago(seconds: number, now = Date.now() / 1000): string {
  const passed = Math.max(0, now - seconds);
  const [unit, size] = UNITS.find(([, size]) => passed >= size) ?? (["second", 1] as const);
  return relative.format(-Math.floor(passed / size), unit);
}

/** Return a duration, such as "2 min 5 s". */
export function duration(seconds: number): string {
  if (seconds < 60) return `${figure(Math.round(seconds * 10) / 10)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${figure(Math.floor(hours / 24))} days ${hours % 24} h`;
}

/** Return a size in bytes, such as "4.2 MB". */
export function bytes(size: number): string {
  const names = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; size >= 1000 && at < names.length - 1; at++) size /= 1000;
  return `${new Intl.NumberFormat(undefined, { maximumSignificantDigits: at ? 3 : 4 }).format(size)} ${names[at]}`;
}

/** Return how many there are, such as "1 run" or "3 runs". */
export function count(number: number, one: string, many = one + "s"): string {
  return `${whole.format(number)} ${number === 1 ? one : many}`;
}

/** Return the tags in a text, which spaces or commas separate. */
export function tagsOf(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** Return what a run is made of: its managers, its task or its experiment. */
export function modelOf(run: RunSummary): string {
  if (run.kind === "session") return Object.keys(run.scenarios).join(", ");
  return (run.kind === "task" ? run.task : run.experiment) ?? "";
}

/** Return what a run is called: its name, or the beginning of its id. */
export function titleOf(run: { id: string; name: string }): string {
  return run.name || run.id.slice(0, 12);
}

/** Return whether a run has ended for good. */
export function hasEnded(run: { kind: string; state: State | "deleted" }): boolean {
  const { state } = run;
  if (state === "stopped" || state === "failed" || state === "deleted") return true;
  return state === "completed" && run.kind === "task";
}
