// What the query of an address holds: lists of names, and the range of a zoom.

import type { Zoom } from "../parts/chart.js";

/** How many runs are compared at the most. */
export const MOST_COMPARED = 8;

/** Return names as one text; they may hold commas themselves. */
export function listText(names: string[]): string {
  return names.map(encodeURIComponent).join(",") || ",";
}

/** Return what `listText` was made of. */
export function listOf(text: string | null): string[] {
  return (text ?? "").split(",").filter(Boolean).map(decodeURIComponent);
}

/** Return a range as text, null for all. */
export function zoomText(zoom: Zoom | null): string | null {
  return zoom && zoom.map((it) => Number(it.toPrecision(6))).join(",");
}

/** Return the range that a query asks for; null for all. */
export function zoomOf(query: URLSearchParams): Zoom | null {
  const [from, to] = (query.get("zoom") ?? "").split(",").map(Number);
  return from !== undefined && to !== undefined && from < to ? [from, to] : null;
}
