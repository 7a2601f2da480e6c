// <page-run>: one run, shown by the element of its kind.

import { html, nothing, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { ApiError, get, isAbort } from "../api.js";
import { page } from "../base.js";
import { elementOf, Part } from "../element.js";
import { live } from "../live.js";
import { RUN_PAGES } from "../pages.js";
import "../parts/error.js";
import type { Route } from "../router.js";
import type { RunEvent, RunRecord } from "../types.js";
import { titleOf } from "../words.js";

/**
 * Reads the run, follows it, and hands it on as `run` to the element of its kind, again after each change of its state.
 * That element gets each event as a call of its method `changed(event)`, if it has one.
 */
@customElement("page-run")
export class PageRun extends Part {
  @property({ attribute: false }) route!: Route;
  @state() private run: RunRecord | null = null;
  @state() private error: unknown = null;
  @state() private deleted = false;
  @state() private shown = "";
  #id = "";
  #stop: (() => void) | undefined;
  #reading: AbortController | undefined;
  #child: (Element & { changed?: (event: RunEvent) => void }) | undefined;

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("route") && this.route.params.id !== this.#id) this.#begin();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#id = "";
    this.whenLive(() => this.#read());
    this.whenGone(() => this.#end());
  }

  override render() {
    const run = this.run;
    const failed = html`<p-error .error=${this.error} .retry=${() => void this.#read()}></p-error>`;
    if (this.deleted)
      return html`<h1>This run has been deleted</h1>
        <p><a href=${page("/")}>See the others</a></p>`;
    if (!run) return this.error === null ? html`<p role="status">Reading…</p>` : failed;
    if (!this.shown) return html`<h1>${titleOf(run)}</h1>`;
    this.#child = elementOf(this.shown, this.#child, { run, route: this.route });
    return html`${this.error === null ? nothing : failed}${this.#child}`;
  }

  #begin(): void {
    this.#end();
    this.#id = this.route.params.id ?? "";
    this.#child = undefined;
    this.run = null;
    this.error = null;
    this.deleted = false;
    this.#stop = live.runs([this.#id], (event) => this.#changed(event));
    void this.#read();
  }

  #end(): void {
    this.#stop?.();
    this.#reading?.abort();
  }

  async #read(): Promise<void> {
    this.#reading?.abort();
    const reading = (this.#reading = new AbortController());
    try {
      const run = await get<RunRecord>(`/runs/${this.#id}`, { signal: reading.signal });
      const source = RUN_PAGES[run.kind];
      await source?.load?.();
      if (reading !== this.#reading) return;
      this.shown = source?.element ?? "";
      this.run = run;
      this.error = null;
      document.title = `${titleOf(run)} · Perdure`;
    } catch (error) {
      if (isAbort(error) || reading !== this.#reading) return;
      this.deleted = this.run !== null && error instanceof ApiError && error.status === 404;
      this.error = error;
    }
  }

  #changed(event: RunEvent): void {
    if (event.state === "deleted") {
      this.deleted = true;
      return;
    }
    const run = this.run;
    if (run && event.state !== run.state) void this.#read();
    this.#child?.changed?.(event);
  }
}
