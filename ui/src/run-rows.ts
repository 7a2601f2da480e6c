// The rows of a list of runs, of which those in view are read: any part of a list of any length.

import { get, isAbort } from "./api.js";
import { ReadAgain } from "./read-again.js";
import type { RunEvent, RunList, RunSummary } from "./types.js";

const PAGE = 100; // runs a request
const PAUSE = 400; // milliseconds between two readings of what is in view
const KEPT_PAGES = 40;

/** Parameters of `GET /runs`, by their names there. */
export type Filters = Record<string, string>;

/** Says "change" when there is something else to show. */
export class RunRows extends EventTarget {
  /** How many runs there are; null until that is known. */
  total: number | null = null;
  error: unknown = null;

  #filters: Filters = {};
  #pages = new Map<number, RunSummary[]>();
  #view = { first: 0, end: PAGE };
  #asked = new AbortController();
  #reading = new Set<number>();
  #again = new ReadAgain(() => this.#readAll(this.#asked), PAUSE);

  /** List other runs, or these in another order; the former ones are shown until the first answer. */
  ask(filters: Filters): void {
    this.#filters = filters;
    this.#view = { first: 0, end: PAGE };
    this.close();
    this.#asked = new AbortController();
    this.#reading.clear();
    this.read();
  }

  /** Return a run; undefined while it isn't known. */
  row(index: number): RunSummary | undefined {
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /** Return the ids of some rows, as far as they are known. */
  ids(first: number, end: number): string[] {
    const found = [];
    for (let index = first; index < end; index++) {
      const run = this.row(index);
      if (run) found.push(run.id);
    }
    return found;
  }

  /** Return the ids of the first runs of the list, at most so many. */
  async firstIds(most: number): Promise<string[]> {
    const query = new URLSearchParams({ ...this.#filters, limit: String(most) });
    return (await get<RunList>(`/runs?${query}`)).runs.map((run) => run.id);
  }

  /** Read what is in view and not known. */
  show(first: number, end: number): void {
    this.#view = { first, end };
    for (const page of this.#inView()) if (!this.#pages.has(page)) void this.#read(page);
  }

  /** Read everything in view again, and forget the rest. */
  read(): void {
    this.#again.soon();
  }

  async #readAll(asked: AbortController): Promise<void> {
    const pages = this.#inView();
    const known = new Map<number, RunSummary[]>();
    try {
      const lists = await Promise.all(pages.map((page, at) => this.#fetch(page, asked, at === 0)));
      if (asked !== this.#asked) return;
      lists.forEach((list, at) => known.set(pages[at] ?? 0, list.runs));
      this.#pages = known;
      this.#counted(lists[0]);
      this.error = null;
    } catch (error) {
      if (isAbort(error) || asked !== this.#asked) return;
      this.error = error;
    }
    this.#say();
  }

  /** Take a change: of a row that is known at once, of anything else by reading again soon. */
  changed(event: RunEvent): void {
    for (const runs of this.#pages.values()) {
      const at = runs.findIndex((run) => run.id === event.run);
      const run = runs[at];
      if (!run || event.state === "deleted") continue;
      const moved = run.state !== event.state || this.#filters.sort?.endsWith("updated");
      runs[at] = { ...run, ...event, id: run.id } as RunSummary;
      this.#say();
      if (moved) this.read();
      return;
    }
    this.read();
  }

  /** End what is under way. */
  close(): void {
    this.#asked.abort();
    this.#again.close();
  }

  #inView(): number[] {
    const last = Math.max(this.#view.first, this.#view.end - 1);
    const pages = [];
    for (let page = Math.floor(this.#view.first / PAGE); page <= Math.floor(last / PAGE); page++)
      pages.push(page);
    return pages;
  }

  async #read(page: number): Promise<void> {
    if (this.#reading.has(page)) return;
    this.#reading.add(page);
    const asked = this.#asked;
    try {
      const list = await this.#fetch(page, asked);
      if (asked !== this.#asked) return;
      this.#pages.set(page, list.runs);
      this.#counted(list);
      this.error = null;
      const [oldest] = this.#pages.keys();
      if (this.#pages.size > KEPT_PAGES && oldest !== undefined) this.#pages.delete(oldest);
    } catch (error) {
      if (isAbort(error) || asked !== this.#asked) return;
      this.error = error;
    } finally {
      if (asked === this.#asked) this.#reading.delete(page);
    }
    this.#say();
  }

  #fetch(page: number, asked: AbortController, counted = false): Promise<RunList> {
    const query = new URLSearchParams({ ...this.#filters, limit: String(PAGE) });
    if (counted) query.set("total", "true");
    if (page) query.set("offset", String(page * PAGE));
    return get<RunList>(`/runs?${query}`, { signal: asked.signal });
  }

  #counted(list: RunList | undefined): void {
    if (typeof list?.total === "number") this.total = list.total;
  }

  #say(): void {
    this.dispatchEvent(new Event("change"));
  }
}
