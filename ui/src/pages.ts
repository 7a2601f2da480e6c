// Which page belongs to which route; each but that of a run is loaded when it is first shown.

import type { RouteName } from "./router.js";
import type { Kind } from "./types.js";

export interface PageSource {
  /** The name of its element. */
  element: string;
  title: string;
  /** Loads it; by default it is there already. */
  load?: () => Promise<unknown>;
}

export const PAGES: Partial<Record<RouteName, PageSource>> = {
  runs: { element: "page-runs", title: "Runs", load: () => import("./pages/runs.js") },
  run: { element: "page-run", title: "Run" },
  new: { element: "page-new", title: "New run", load: () => import("./pages/new.js") },
  "new-session": {
    element: "page-new-session",
    title: "New session",
    load: () => import("./pages/new-session.js"),
  },
  "new-experiment": {
    element: "page-new-experiment",
    title: "New experiment",
    load: () => import("./pages/new-experiment.js"),
  },
  "new-network": {
    element: "page-new-network",
    title: "New binding network",
    load: () => import("./pages/new-network.js"),
  },
  compare: { element: "page-compare", title: "Compare", load: () => import("./pages/compare.js") },
  system: { element: "page-system", title: "System", load: () => import("./pages/system.js") },
  login: { element: "page-login", title: "Log in", load: () => import("./pages/login.js") },
};

/** What shows a run of a kind: an element with the property `run`, a `RunRecord`. */
export const RUN_PAGES: Partial<Record<Kind, Omit<PageSource, "title">>> = {
  task: { element: "page-task", load: () => import("./pages/task.js") },
  experiment: { element: "page-experiment", load: () => import("./pages/experiment.js") },
  session: { element: "page-session", load: () => import("./pages/session.js") },
};
