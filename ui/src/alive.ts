// How tabs and the worker that they share know of each other.

/** How often a tab says that it lives; in milliseconds. */
export const ALIVE_EVERY = 45_000;

/** A tab that has been silent for longer is gone: background tabs may run once a minute only. */
export const SILENT = 180_000;
