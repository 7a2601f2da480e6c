// <p-task-past>: the time line of a task: its savepoints, and what it had reported at each place.

import { css, html, nothing, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { get, isAbort } from "../api.js";
import { Part } from "../element.js";
import { ReadAgain } from "../read-again.js";
import type { Json, Progress, Savepoint } from "../types.js";
import { bytes, duration, figure } from "../words.js";
import "./error.js";
import "./timeline.js";
import type { Stop } from "./timeline.js";

const PAUSE = 2_000; // milliseconds between two readings of the savepoints
const KEY_STEPS = 100; // presses of an arrow key along the whole line

/** A report of a task's progress, and when it came; places on the line are milliseconds since the task was made. */
export interface Report {
  at: number;
  progress: Progress;
}

/** A task has no forks: one that goes on from any of its savepoints has the same result. */
@customElement("p-task-past")
export class PTaskPast extends Part {
  static override styles = [
    Part.styles,
    css`
      dl {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr));
        gap: 0.25rem var(--gap);
        margin: 0;
      }
      dt {
        color: var(--faint);
        font-size: 0.85rem;
      }
      dd {
        margin: 0;
        overflow-wrap: anywhere;
      }
    `,
  ];

  /** The id of the task. */
  @property() run = "";
  /** When it was made, and when it changed last; Unix time, in seconds. */
  @property({ type: Number }) begin = 0;
  @property({ type: Number }) newest = 0;
  /** What is known of its progress, oldest first. */
  @property({ attribute: false }) reports: readonly Report[] = [];
  @state() private savepoints: Savepoint[] = [];
  /** The place that is pointed at, or chosen; null for the end, which moves on. */
  @state() private at: number | null = null;
  @state() private error: unknown = null;
  #reading = new ReadAgain((signal) => this.#read(signal), PAUSE);

  override connectedCallback(): void {
    super.connectedCallback();
    this.whenLive(() => this.error !== null && this.#reading.soon());
    if (this.hasUpdated) this.#reading.soon();
    this.whenGone(() => this.#reading.close());
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("run")) {
      this.savepoints = [];
      this.at = this.error = null;
      this.#reading.close();
    }
    if (changed.has("run") || changed.has("newest")) this.#reading.soon();
  }

  override render() {
    const stops = this.savepoints.map(({ created, size }): Stop => {
      return { at: this.#place(created), kind: "savepoint", label: `savepoint, ${bytes(size)}` };
    });
    const end = Math.max(this.#place(this.newest), ...stops.map(({ at }) => at));
    return html`<p-timeline
        no-forks
        .end=${end}
        .length=${end}
        .stops=${stops}
        .words=${shown}
        .stride=${Math.max(1, Math.round(end / KEY_STEPS))}
        @at=${({ detail }: CustomEvent<number>) => (this.at = detail < end ? detail : null)}
        >${this.#values(this.at ?? end)}</p-timeline
      >
      <p-error .error=${this.error} .retry=${() => this.#reading.soon()}></p-error>`;
  }

  /** What it had reported there. */
  #values(at: number) {
    const report = this.reports.findLast((it) => it.at <= at);
    if (!report) return html`<p class="faint">No report of its progress is known from then.</p>`;
    return html`<div role="group" aria-label="Progress at the place">
      <p class="faint">Its progress, as reported ${shown(report.at)}:</p>
      <dl>
        ${Object.entries(report.progress).map(
          ([name, value]) =>
            html`<div>
              <dt>${name.replaceAll("_", " ")}</dt>
              <dd>${words(value)}</dd>
            </div>`,
        )}
      </dl>
    </div>`;
  }

  #place(time: number): number {
    return Math.max(0, Math.round((time - this.begin) * 1000));
  }

  async #read(signal: AbortSignal): Promise<void> {
    try {
      const at = `/runs/${this.run}/savepoints`;
      this.savepoints = (await get<{ savepoints: Savepoint[] }>(at, { signal })).savepoints;
      this.error = null;
    } catch (error) {
      if (!isAbort(error)) this.error = error;
    }
  }
}

function shown(at: number): string {
  return `${duration(at / 1000)} after it was made`;
}

function words(value: Json): unknown {
  if (value === null) return nothing;
  return typeof value === "number" ? figure(value) : JSON.stringify(value);
}

declare global {
  interface HTMLElementTagNameMap {
    "p-task-past": PTaskPast;
  }
}
