// The curves of a chart, as uPlot takes them.

import type { AlignedData } from "uplot";

/** A curve; `y` has a value or null (a gap) for each `x`, which ascend. */
export interface Series {
  label: string;
  x: ArrayLike<number>;
  y: ArrayLike<number | null>;
  unit?: string | undefined;
  /** A CSS colour; by default the next of the palette. */
  color?: string | undefined;
  dash?: number[] | undefined;
}

/** Return one table of all curves over the union of their x; undefined where a curve has no row there. */
export function joined(series: Series[]): AlignedData {
  const own = series[0]?.x ?? [];
  if (series.every(({ x }) => same(x, own)))
    return [own, ...series.map(({ y }) => y)] as AlignedData;
  const x = [...new Set(series.flatMap((each) => Array.from(each.x)))];
  x.sort((one, other) => one - other);
  const rows = new Map(x.map((value, row) => [value, row]));
  const columns = series.map((each) => {
    const column = new Array<number | null | undefined>(x.length);
    for (let at = 0; at < each.x.length; at++) column[rows.get(each.x[at]!)!] = each.y[at];
    return column;
  });
  return [x, ...columns];
}

/** Return the rows whose values no line reaches, since there is a gap on both sides; a line goes on over undefined. */
export function alone(values: ArrayLike<number | null | undefined>): number[] {
  const found: number[] = [];
  let before: number | null = null; // the value of the last row that isn't undefined
  let last = -1; // the row of a value with a gap before it, as long as nothing follows
  for (let at = 0; at < values.length; at++) {
    const value = values[at];
    if (value === undefined) continue;
    if (value === null && last >= 0) found.push(last);
    last = value !== null && before === null ? at : -1;
    before = value;
  }
  if (last >= 0) found.push(last);
  return found;
}

function same(one: ArrayLike<number>, other: ArrayLike<number>): boolean {
  if (one === other) return true;
  if (one.length !== other.length) return false;
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false;
  return true;
}
