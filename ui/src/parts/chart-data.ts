// The curves of a chart, as uPlot takes them.

import uPlot from "uplot";

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
export function joined(series: Series[]): uPlot.AlignedData {
  const tables: [ArrayLike<number>, ...ArrayLike<number | null>[]][] = [];
  const order: [number, number][] = [];
  for (const { x, y } of series) {
    let at = tables.findIndex(([other]) => same(other, x));
    if (at < 0) at = tables.push([x]) - 1;
    const table = tables[at]!;
    order.push([at, table.push(y) - 1]);
  }
  if (tables.length === 0) return [[]];
  if (tables.length === 1) return tables[0] as unknown as uPlot.AlignedData;
  const all = uPlot.join(tables as unknown as uPlot.AlignedData[]);
  const starts: number[] = [];
  let next = 1;
  for (const table of tables) {
    starts.push(next);
    next += table.length - 1;
  }
  const columns = order.map(([table, column]) => all[starts[table]! + column - 1]!);
  return [all[0]!, ...columns] as uPlot.AlignedData;
}

function same(one: ArrayLike<number>, other: ArrayLike<number>): boolean {
  if (one === other) return true;
  if (one.length !== other.length) return false;
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false;
  return true;
}
