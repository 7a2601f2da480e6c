// What is set in the scenarios of a session: what its models begin with, what the log changed, what isn't sent yet.

import type {
  AllSettings,
  Manager,
  Points,
  SessionScenario,
  Settings,
  SettingsChange,
} from "../types.js";

export type SettingKind = "constants" | "points";

/** A manager and one of its scenarios. */
export type Place = readonly [manager: string, scenario: string];

/** Return whether nothing is set. */
export function isEmpty(settings: AllSettings): boolean {
  return Object.keys(settings).length === 0;
}

/** Return what one scenario's setting is in some settings, or undefined. */
export function settingIn(
  settings: AllSettings,
  [manager, scenario]: Place,
  kind: SettingKind,
  name: string,
): number | Points | undefined {
  return settings[manager]?.[scenario]?.[kind]?.[name];
}

/** Return settings with one more set; undefined takes it away. */
export function withSetting(
  settings: AllSettings,
  [manager, scenario]: Place,
  kind: SettingKind,
  name: string,
  value: number | Points | undefined,
): AllSettings {
  const ofKind: Record<string, number | Points> = { ...settings[manager]?.[scenario]?.[kind] };
  if (value === undefined) delete ofKind[name];
  else ofKind[name] = value;
  const ofScenario: Settings = { ...settings[manager]?.[scenario], [kind]: ofKind };
  if (!Object.keys(ofKind).length) delete ofScenario[kind];
  const ofManager = { ...settings[manager], [scenario]: ofScenario };
  if (!Object.keys(ofScenario).length) delete ofManager[scenario];
  const all = { ...settings, [manager]: ofManager };
  if (!Object.keys(ofManager).length) delete all[manager];
  return all;
}

/** Return settings without those that were sent and haven't been changed meanwhile. */
export function without(settings: AllSettings, sent: AllSettings): AllSettings {
  let left = settings;
  for (const { place, kind, name, value } of each(sent)) {
    const now = settingIn(left, place, kind, name);
    if (JSON.stringify(now) === JSON.stringify(value))
      left = withSetting(left, place, kind, name, undefined);
  }
  return left;
}

/** Return every single setting. */
export function each(
  settings: AllSettings,
): { place: Place; kind: SettingKind; name: string; value: number | Points }[] {
  const found: { place: Place; kind: SettingKind; name: string; value: number | Points }[] = [];
  for (const [manager, scenarios] of Object.entries(settings))
    for (const [scenario, set] of Object.entries(scenarios))
      for (const kind of ["constants", "points"] as const)
        for (const [name, value] of Object.entries(set[kind] ?? {}))
          found.push({ place: [manager, scenario], kind, name, value });
  return found;
}

/** Return settings in words, such as `base: price 3`. */
export function inWords(settings: AllSettings, show: (value: number) => string): string {
  return each(settings)
    .map(({ place, name, value }) => {
      const said = typeof value === "number" ? show(value) : `${value.length} points`;
      return `${place[1]}: ${name} ${said}`;
    })
    .join("; ");
}

/** Return what a scenario's setting is after a step: as the log changed it, else as its model begins. */
export function settingAfter(
  model: Manager | undefined,
  spec: SessionScenario | undefined,
  changes: SettingsChange[],
  step: number,
  place: Place,
  kind: SettingKind,
  name: string,
): number | Points | undefined {
  for (let at = changes.length - 1; at >= 0; at--) {
    const change = changes[at];
    if (!change || change.step > step) continue;
    const value = settingIn(change.settings, place, kind, name);
    if (value !== undefined) return value;
  }
  const begins: Record<string, number | Points | null> = {
    ...(kind === "constants" ? numbers(model?.inputs) : {}),
    ...model?.[kind],
    ...(kind === "constants" ? numbers(spec?.inputs) : {}),
    ...spec?.[kind],
  };
  return begins[name] ?? undefined;
}

function numbers(inputs: Record<string, unknown> | undefined): Record<string, number> {
  return Object.fromEntries(
    Object.entries(inputs ?? {}).filter((it): it is [string, number] => typeof it[1] === "number"),
  );
}
