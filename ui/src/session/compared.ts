// Runs that are compared: their records, their curves, and what their steps were given.

import { get } from "../api.js";
import type {
  DataPackSamples,
  RunRecord,
  SessionResults,
  SettingsChange,
  SettingsPage,
} from "../types.js";
import { apart, appendPage, curve, noResults, POINTS, type Results } from "./curves.js";
import type { Place } from "./settings.js";

export interface Compared {
  record: RunRecord;
  /** Those of an experiment are the numbers in its data packs. */
  results: Results;
  changes: SettingsChange[];
}

/** Read a run with its curves. */
export async function compared(id: string, signal: AbortSignal): Promise<Compared> {
  const record = await get<RunRecord>(`/runs/${id}`, { signal });
  const results: Results = noResults();
  const changes: SettingsChange[] = [];
  if (record.kind === "experiment") {
    const { time, series } = await get<DataPackSamples>(`/runs/${id}/datapacks`, { signal });
    results["data packs"] = { all: { step: [], time, values: series } };
  }
  if (record.kind !== "session") return { record, results, changes };
  const at = `/runs/${id}/results?points=${POINTS}`;
  appendPage(results, (await get<SessionResults>(at, { signal })).results);
  for (let after: number | null = 0; after !== null;) {
    const from: string = `/runs/${id}/settings?after=${after}`;
    const page: SettingsPage = await get<SettingsPage>(from, { signal });
    changes.push(...page.changes);
    after = page.next;
  }
  return { record, results, changes };
}

/** Return all places that one of the runs has curves of. */
export function placesOfAll(runs: Compared[]): Place[] {
  const all = runs.flatMap(({ results }) =>
    Object.entries(results).flatMap(([manager, scenarios]) =>
      Object.keys(scenarios).map((scenario): Place => [manager, scenario]),
    ),
  );
  const keys = all.map((place) => JSON.stringify(place));
  return all.filter((_, at) => keys.indexOf(keys[at] ?? "") === at);
}

/** Return all equations that one of the runs has, those first whose curves differ most for their size. */
export function ranked(runs: Compared[]): string[] {
  const [first, ...others] = runs;
  const places = placesOfAll(runs);
  const names = runs.flatMap(({ results }) =>
    Object.values(results).flatMap((scenarios) =>
      Object.values(scenarios).flatMap(({ values }) => Object.keys(values)),
    ),
  );
  const distance = (equation: string): number => {
    const distances = places.flatMap((place) =>
      others.map(({ results }) => {
        const base = first && curve(first.results, place, equation);
        const own = curve(results, place, equation);
        return base && own ? largest(apart(own, base).y) / (largest(base.y) || 1) : 0;
      }),
    );
    return Math.max(0, ...distances);
  };
  return [...new Set(names)]
    .map((name) => ({ name, distance: distance(name) }))
    .sort((one, other) => other.distance - one.distance)
    .map(({ name }) => name);
}

function largest(values: (number | null)[]): number {
  return values.reduce<number>((most, value) => Math.max(most, Math.abs(value ?? 0)), 0);
}
