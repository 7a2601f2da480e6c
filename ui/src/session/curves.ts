// The results of a session in the browser: columns that grow with its steps, and series for charts made of them.

import { COLORS, DASHES, type Series } from "../parts/chart.js";
import type { Columns, Json, SessionRecord, SessionResults, StepsTaken } from "../types.js";
import type { Place } from "./settings.js";

/** Manager → scenario → columns. */
export type Results = Record<string, Record<string, Columns>>;

/** Return results without any; names of scenarios and equations may be those of JavaScript's own objects. */
export function noResults(): Results {
  return Object.create(null) as Results;
}

export interface Curve {
  x: number[];
  y: (number | null)[];
}

/** Most points a scenario that are read at once; longer sessions are thinned out by the server. */
export const POINTS = 2_000;

/** Append steps that were answered; those that are there already are left out. */
export function append(results: Results, steps: StepsTaken["steps"]): void {
  for (const { step, results: of } of steps)
    for (const [manager, scenarios] of Object.entries(of))
      for (const [scenario, { time, values }] of Object.entries(scenarios)) {
        const columns = columnsOf(results, [manager, scenario]);
        if ((columns.step.at(-1) ?? 0) >= step) continue;
        columns.step.push(step);
        columns.time.push(time);
        for (const [name, value] of Object.entries(values))
          (columns.values[name] ??= []).push(numeric(value));
      }
}

/** Append a page of results. */
export function appendPage(results: Results, page: SessionResults["results"]): void {
  for (const [manager, scenarios] of Object.entries(page))
    for (const [scenario, more] of Object.entries(scenarios)) {
      const columns = columnsOf(results, [manager, scenario]);
      const last = columns.step.at(-1) ?? 0;
      const from = more.step.findIndex((step) => step > last);
      if (from < 0 && more.step.length) continue;
      push(columns.step, more.step, from);
      push(columns.time, more.time, from);
      for (const [name, values] of Object.entries(more.values))
        push((columns.values[name] ??= []), values.map(numeric), from);
    }
}

function push<T>(to: T[], more: T[], from: number): void {
  for (let at = Math.max(from, 0); at < more.length; at++) to.push(more[at] as T);
}

function columnsOf(results: Results, [manager, scenario]: Place): Columns {
  const scenarios = (results[manager] ??= Object.create(null) as Record<string, Columns>);
  return (scenarios[scenario] ??= {
    step: [],
    time: [],
    values: Object.create(null) as Columns["values"],
  });
}

function numeric(value: Json): number | null {
  return typeof value === "number" ? value : null;
}

/** Return the scenarios of a session. */
export function placesOf(record: SessionRecord): Place[] {
  return Object.entries(record.scenarios).flatMap(([manager, scenarios]) =>
    scenarios.map((scenario): Place => [manager, scenario]),
  );
}

/** Return how a scenario is called among others: with its manager where there are several. */
export function placeName([manager, scenario]: Place, places: readonly Place[]): string {
  return places.some(([other]) => other !== manager) ? `${manager} · ${scenario}` : scenario;
}

/** Return all equations that a session answers, each once. */
export function equationsOf(record: SessionRecord): string[] {
  const names = Object.values(record.specs).flatMap((scenarios) =>
    Object.values(scenarios).flatMap(({ outputs }) => outputs),
  );
  return [...new Set(names)];
}

/** Return one scenario's curve of an equation over time; null if it doesn't have it. */
export function curve(
  results: Results,
  [manager, scenario]: Place,
  equation: string,
): Curve | null {
  const columns = results[manager]?.[scenario];
  const y = columns?.values[equation];
  return columns && y ? { x: columns.time as number[], y } : null;
}

/** Return how far one curve is from another, at the times of both. */
export function apart(one: Curve, other: Curve): Curve {
  const at = new Map(other.x.map((x, index) => [x, other.y[index]]));
  const x: number[] = [];
  const y: (number | null)[] = [];
  one.x.forEach((time, index) => {
    const base = at.get(time);
    if (base === undefined) return;
    const value = one.y[index] ?? null;
    x.push(time);
    y.push(value === null || base === null ? null : value - base);
  });
  return { x, y };
}

export interface CurveChoice {
  results: Results;
  places: readonly Place[];
  equations: readonly string[];
  units: Record<string, string>;
  /** What stands behind each label, such as the name of a run. */
  suffix?: string;
  /** Whether all equations share a chart: then colours tell them apart and dashes scenarios; else colours scenarios. */
  together: boolean;
  /** How many dashes to go on, for curves of another run over the same equations. */
  dashes?: number;
}

/** Return the curves of some equations over all scenarios, as a chart takes them. */
export function seriesOf(choice: CurveChoice): Series[] {
  const { results, places, equations, together, suffix = "", dashes = 0 } = choice;
  return equations.flatMap((equation, row) =>
    places.flatMap((place, column) => {
      const found = curve(results, place, equation);
      if (!found) return [];
      const name = placeName(place, places);
      const label = together ? `${equation} · ${name}` : name;
      return [
        {
          ...found,
          label: label + suffix,
          unit: choice.units[equation],
          color: `var(--curve-${(together ? row : column) % COLORS})`,
          dash: DASHES[((together ? column : 0) + dashes) % DASHES.length],
        },
      ];
    }),
  );
}

/** Return the last row at or before a step; -1 if there is none. */
export function rowAt(columns: Columns, step: number): number {
  let low = 0;
  let high = columns.step.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (columns.step[middle]! <= step) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
