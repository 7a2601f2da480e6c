// Where the server is: everything is found relative to this script, so the page works behind any prefix.

/** The address that paths of the API are relative to; it ends with a slash. */
export const BASE = new URL("..", import.meta.url);

/** Return the address of a path of the API, such as `/runs`. */
export function path(at: string): string {
  return BASE.href + at.replace(/^\//, "");
}

/** Return the address of a path of the page, such as `/runs/x`, for links. */
export function page(at: string): string {
  return path("ui" + at);
}
