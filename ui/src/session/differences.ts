// What differs between runs: fields of their records, and what their steps were given.

import type { Json, Manager, Points, RunRecord, SettingsChange } from "../types.js";
import { figure } from "../words.js";
import { each, settingAfter, type Place, type SettingKind } from "./settings.js";

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

/** Return what differs, in the order in which the first run has it; models say what runs begin with. */
export function differences(
  runs: { record: RunRecord; changes: SettingsChange[] }[],
  models: Record<string, Manager>,
): Difference[] {
  const set = new Map(runs.flatMap(({ changes }) => changes.flatMap(settingsOf)));
  const columns = runs.map(
    ({ record, changes }) =>
      new Map([...flat(record), ...begun(record, models, set), ...given(changes)]),
  );
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

/** A constant or points of a scenario. */
interface Setting {
  place: Place;
  kind: SettingKind;
  name: string;
}

function settingsOf({ settings }: SettingsChange): [string, Setting][] {
  return each(settings).map((it) => [nameOf(it), it]);
}

function nameOf({ place, name }: Setting): string {
  return `${place.join(" · ")} · ${name}`;
}

/** Return what a run begins with, of what is set in one of the runs. */
function begun(
  record: RunRecord,
  models: Record<string, Manager>,
  set: Map<string, Setting>,
): [string, string][] {
  if (record.kind !== "session") return [];
  return [...set].flatMap(([what, { place, kind, name }]): [string, string][] => {
    const [manager, scenario] = place;
    const spec = record.specs[manager]?.[scenario];
    if (!spec) return [];
    const value = settingAfter(models[manager], spec, [], 0, place, kind, name);
    return value === undefined ? [] : [[what, inWords(value)]];
  });
}

/** Return each constant and points with the steps that it was set before. */
function given(changes: SettingsChange[]): [string, string][] {
  const found = new Map<string, string[]>();
  for (const { step, settings } of changes)
    for (const setting of each(settings)) {
      const what = nameOf(setting);
      const words = `${inWords(setting.value)} from step ${figure(step)}`;
      found.set(what, [...(found.get(what) ?? []), words]);
    }
  return [...found].map(([what, steps]) => [what, steps.join("; ")]);
}

function inWords(value: number | Points): string {
  return typeof value === "number"
    ? figure(value)
    : value.map(([x, y]) => `(${figure(x)}, ${figure(y)})`).join(" ");
}
