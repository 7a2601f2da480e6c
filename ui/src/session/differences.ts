// What differs between runs: fields of their records, and what their steps were given.

import type { Json, RunRecord, SettingsChange } from "../types.js";
import { figure } from "../words.js";
import { each } from "./settings.js";

/** One thing that isn't the same in all runs: what it is, and what it is in each, in words. */
export interface Difference {
  what: string;
  values: string[];
}

// What is another in every run says nothing about how they differ.
const OWN = new Set(["id", "name", "created", "updated", "owner", "sim_id", "reason", "numerics"]);

const WORDS: Record<string, string> = {
  parent: "forked from",
  parent_step: "forked after step",
  step: "steps taken",
  specs: "scenario",
};

/** Return what differs, in the order in which the first run has it. */
export function differences(
  runs: { record: RunRecord; changes: SettingsChange[] }[],
): Difference[] {
  const columns = runs.map(({ record, changes }) => new Map([...flat(record), ...given(changes)]));
  const names = new Set(columns.flatMap((column) => [...column.keys()]));
  return [...names]
    .map((what) => ({ what, values: columns.map((column) => column.get(what) ?? "–") }))
    .filter(({ values }) => values.some((value) => value !== values[0]));
}

function flat(record: RunRecord): [string, string][] {
  return Object.entries(record)
    .filter(([name]) => !OWN.has(name))
    .flatMap(([name, value]) => leaves(WORDS[name] ?? name, value as Json));
}

function leaves(at: string, value: Json): [string, string][] {
  if (Array.isArray(value)) return [[at, value.length ? value.map(said).join(", ") : "none"]];
  if (value !== null && typeof value === "object")
    return Object.entries(value).flatMap(([name, it]) => leaves(`${at} · ${name}`, it));
  return [[at, said(value)]];
}

function said(value: Json): string {
  if (typeof value === "number") return figure(value);
  if (value === null) return "none";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Return each constant and points with the steps that it was set before. */
function given(changes: SettingsChange[]): [string, string][] {
  const found = new Map<string, string[]>();
  for (const { step, settings } of changes)
    for (const { place, name, value } of each(settings)) {
      const what = `${place.join(" · ")} · ${name}`;
      const said =
        typeof value === "number"
          ? figure(value)
          : value.map(([x, y]) => `(${figure(x)}, ${figure(y)})`).join(" ");
      found.set(what, [...(found.get(what) ?? []), `${said} from step ${figure(step)}`]);
    }
  return [...found].map(([what, steps]) => [what, steps.join("; ")]);
}
