// What was typed and not sent yet, by run: it survives a reload and a login, and ends with the tab.

import type { Json } from "./types.js";

function nameOf(id: string, name: string): string {
  return `perdure:${id}:${name}`;
}

/** Keep a value; null or undefined forgets it. */
export function keep(id: string, name: string, value: Json | undefined): void {
  try {
    if (value === null || value === undefined) sessionStorage.removeItem(nameOf(id, name));
    else sessionStorage.setItem(nameOf(id, name), JSON.stringify(value));
  } catch {
    // A full or forbidden storage costs what it would have kept, nothing else.
  }
}

/** Return what was kept, or undefined. */
export function kept<T extends Json>(id: string, name: string): T | undefined {
  try {
    const text = sessionStorage.getItem(nameOf(id, name));
    return text === null ? undefined : (JSON.parse(text) as T);
  } catch {
    return undefined;
  }
}
