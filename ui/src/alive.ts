// How tabs and the worker that they share know of each other.

/** How often a tab says that it lives; in milliseconds. */
export const ALIVE_EVERY = 45_000;

/** A tab that has been silent for longer is gone: background tabs may run once a minute only. */
export const SILENT = 180_000;

/** The channel on which a tab says that somebody has logged in or out, so that nobody sees a former owner's runs. */
export function loginChannel(base: URL): BroadcastChannel {
  return new BroadcastChannel(`perdure login ${base.pathname}`);
}
