// Where the page is: paths of the page, its query, and the browser's history.

import { BASE, page } from "./base.js";

export type RouteName =
  | "runs"
  | "new"
  | "new-session"
  | "new-experiment"
  | "new-network"
  | "run"
  | "compare"
  | "system"
  | "login"
  | "missing";

export interface Route {
  name: RouteName;
  params: Record<string, string>;
  query: URLSearchParams;
}

const ROUTES: readonly [RegExp, RouteName][] = [
  [/^\/?$/, "runs"],
  [/^\/new\/?$/, "new"],
  [/^\/new\/session$/, "new-session"],
  [/^\/new\/experiment$/, "new-experiment"],
  [/^\/new\/network$/, "new-network"],
  [/^\/runs\/(?<id>[A-Za-z0-9_-]{1,64})$/, "run"],
  [/^\/compare$/, "compare"],
  [/^\/system$/, "system"],
  [/^\/login$/, "login"],
];

/** Says "change" when the path or the query is another one. */
export const routes = new EventTarget();

/** Return where the page is. */
export function route(): Route {
  const prefix = new URL("ui", BASE).pathname;
  const at = location.pathname.startsWith(prefix) ? location.pathname.slice(prefix.length) : "/";
  const query = new URLSearchParams(location.search);
  for (const [pattern, name] of ROUTES) {
    const found = pattern.exec(at);
    if (found) return { name, params: { ...found.groups }, query };
  }
  return { name: "missing", params: {}, query };
}

/** Go to a path of the page, such as `/runs/x?zoom=1`. */
export function go(to: string, { replace = false } = {}): void {
  history[replace ? "replaceState" : "pushState"](null, "", page(to));
  routes.dispatchEvent(new Event("change"));
  if (!replace) window.scrollTo(0, 0);
}

/** Change parameters of the query, without an entry in the history; null takes one away. */
export function setQuery(changes: Record<string, string | null>): void {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  if (url.href === location.href) return;
  history.replaceState(history.state, "", url);
  routes.dispatchEvent(new Event("change"));
}

/** Go to the login, which comes back to where the page is now. */
export function toLogin(): void {
  if (route().name === "login") return;
  const prefix = new URL("ui", BASE).pathname;
  const back = location.pathname.slice(prefix.length) + location.search;
  go(`/login?back=${encodeURIComponent(back || "/")}`, { replace: true });
}

/** Return where the login goes back to: a path of this page, never an address of another server. */
export function back(): string {
  const given = route().query.get("back") ?? "/";
  return /^\/(?![/\\])/.test(given) ? given : "/";
}

/** Let clicks on links of the page change the route without loading it anew. */
export function followLinks(): void {
  window.addEventListener("popstate", () => routes.dispatchEvent(new Event("change")));
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey)
      return;
    const link = event
      .composedPath()
      .find((it): it is HTMLAnchorElement => it instanceof HTMLAnchorElement);
    if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin)
      return;
    const prefix = new URL("ui/", BASE).pathname;
    if (!link.pathname.startsWith(prefix) || link.hash) return;
    event.preventDefault();
    go("/" + link.pathname.slice(prefix.length) + link.search);
  });
}
