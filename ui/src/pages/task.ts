// <page-task>: a task: how far it is, what it has found by now, what it has written.

import { html, nothing, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { get, isAbort } from "../api.js";
import { path } from "../base.js";
import { Part } from "../element.js";
import { keep, kept } from "../keep.js";
import { isConfigurations, SOLVERS, type Configurations } from "../networks.js";
import "../charted.js";
import type { Series } from "../parts/chart.js";
import "../parts/configurations.js";
import "../parts/error.js";
import "../parts/heading.js";
import "../parts/lifecycle.js";
import "../parts/log.js";
import "../parts/progress.js";
import type { Report } from "../parts/task-past.js";
import { ReadAgain } from "../read-again.js";
import type { Route } from "../router.js";
import type { Json, Progress, RunEvent, TaskRecord, TaskResult } from "../types.js";
import { duration, figure, hasEnded } from "../words.js";

const PAUSE = 500; // milliseconds between two readings of what has been found
const MOST_BOUNDS = 500;
const MOST_REPORTS = 500;
const LONGEST_WORD = 100; // characters of a text in a report that is kept

interface Bound {
  seconds: number;
  lower: number;
  upper: number;
}

@customElement("page-task")
export class PageTask extends Part {
  @property({ attribute: false }) run!: TaskRecord;
  @property({ attribute: false }) route!: Route;
  @state() private latest: Partial<RunEvent> = {};
  @state() private result: Json | undefined = undefined;
  @state() private resultError: unknown = null;
  @state() private bounds: Bound[] = [];
  @state() private reports: Report[] = [];
  #shown = "";
  #reading = new ReadAgain((signal) => this.#read(signal), PAUSE);

  override connectedCallback(): void {
    super.connectedCallback();
    void import("../parts/task-past.js");
    this.whenGone(() => this.#reading.close());
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has("run")) return;
    if (this.run.id !== this.#shown) {
      this.#shown = this.run.id;
      this.result = undefined;
      this.#reading.close();
      this.bounds = kept<Bound[] & Json>(this.run.id, "bounds") ?? [];
      this.reports = kept<Report[] & Json>(this.run.id, "reports") ?? [];
    }
    this.latest = {};
    this.#note(this.run.progress, this.run.seconds);
    this.#report(this.run.progress, this.run.updated);
    this.#look();
  }

  /** Take an event of the run. */
  changed(event: RunEvent): void {
    this.latest = { ...this.latest, ...event };
    this.#note(this.progress, this.seconds);
    this.#report(this.progress, event.updated);
    this.#look();
  }

  private get progress(): Progress | null {
    return this.latest.progress ?? this.run.progress;
  }

  private get seconds(): number {
    return this.latest.seconds ?? this.run.seconds;
  }

  private get solves(): boolean {
    return SOLVERS.has(this.run.task);
  }

  override render() {
    const { run, route } = this;
    const over = hasEnded(run);
    const steered = { ...run, desired: this.latest.desired ?? run.desired };
    return html`<p-heading .run=${run} no-stop
        ><p-lifecycle .run=${steered}></p-lifecycle
      ></p-heading>
      ${run.reason ? html`<pre tabindex="0">${run.reason}</pre>` : nothing}
      ${run.missing ? html`<p class="panel">${run.missing}</p>` : nothing} ${this.#facts(over)}
      ${this.#howFar(over)} ${this.#found(over)}
      <section aria-labelledby="past">
        <h2 id="past">Time line</h2>
        <p-task-past
          .run=${run.id}
          .begin=${run.created}
          .newest=${this.latest.updated ?? run.updated}
          .reports=${this.reports}
        ></p-task-past>
      </section>
      <section aria-labelledby="lines">
        <h2 id="lines">Log</h2>
        <p-log
          .run=${run.id}
          ?live=${!over && run.state === "started"}
          .level=${route.query.get("level") ?? ""}
          .find=${route.query.get("find") ?? ""}
        ></p-log>
      </section>
      <details>
        <summary>Input</summary>
        <pre tabindex="0">${JSON.stringify(run.input, null, 2)}</pre>
      </details>`;
  }

  #facts(over: boolean) {
    const { run } = this;
    const place = this.latest.place !== undefined ? this.latest.place : run.place;
    return html`<dl class="facts">
      ${
        over && run.outcome
          ? html`<dt>Outcome</dt>
              <dd>${run.outcome.replace("_", " ")}</dd>`
          : nothing
      }
      ${
        place && !over
          ? html`<dt>Place in the queue</dt>
              <dd>${figure(place)}</dd>`
          : nothing
      }
      <dt>Running time</dt>
      <dd>
        ${duration(this.seconds)}${run.timeout === null ? "" : ` of ${duration(run.timeout)}`}
      </dd>
      <dt>Attempts</dt>
      <dd>${figure(this.latest.attempt ?? run.attempt)}</dd>
    </dl>`;
  }

  #howFar(over: boolean) {
    const { progress } = this;
    if (this.solves) {
      const { lower, upper } = this.#known();
      if (lower === null || upper === null)
        return over ? nothing : html`<p>Nothing is known yet.</p>`;
      const most = this.bounds[0]?.upper ?? upper;
      return html`<section aria-labelledby="bounds">
        <h2 id="bounds">Bounds</h2>
        <p-bounds .lower=${lower} .upper=${upper} .most=${most}></p-bounds>
        ${over ? nothing : this.#working()}
        ${
          this.bounds.length > 1
            ? html`<p-chart
                heading="Bounds over time"
                xlabel="Running time in s"
                height="180"
                .series=${this.#curves()}
              ></p-chart>`
            : nothing
        }
      </section>`;
    }
    if (!progress) return nothing;
    const fraction = fractionOf(progress);
    return html`<section aria-labelledby="progress">
      <h2 id="progress">Progress</h2>
      ${fraction === null ? nothing : html`<p-progress label="Done" .fraction=${fraction}></p-progress>`}
      <dl class="facts">
        ${Object.entries(progress).map(
          ([name, value]) =>
            html`<dt>${name.replaceAll("_", " ")}</dt>
              <dd>${typeof value === "number" ? figure(value) : JSON.stringify(value)}</dd>`,
        )}
      </dl>
    </section>`;
  }

  /** What the solver is at: a number of polymers that it tests, or a configuration of a list. */
  #working() {
    const { count, k } = this.progress ?? {};
    if (typeof count !== "number" || typeof k !== "number") return nothing;
    return html`<p class="faint">
      It is looking for configuration ${figure(count)}, with ${figure(k)} polymers.
    </p>`;
  }

  #found(over: boolean) {
    const { run, result } = this;
    const some = result !== undefined && result !== null;
    if (!some && !over && this.resultError === null) return nothing;
    const at = `/runs/${run.id}/result${over ? "" : "?partial=true"}`;
    return html`<section aria-labelledby="result">
      <div class="row spread">
        <h2 id="result">${over && run.state === "completed" ? "Result" : "Found by now"}</h2>
        ${
          some
            ? html`<a class="button" href=${path(at)} download=${`${run.id}.json`}
                >Download JSON</a
              >`
            : nothing
        }
      </div>
      <p-error .error=${this.resultError} .retry=${() => this.#reading.soon()}></p-error>
      ${
        !some
          ? this.resultError === null
            ? html`<p>There is none.</p>`
            : nothing
          : isConfigurations(result)
            ? html`<p-configurations
                .run=${run.id}
                .result=${result as unknown as Configurations}
                ?live=${!over}
              ></p-configurations>`
            : html`<pre tabindex="0">${excerpt(result)}</pre>`
      }
    </section>`;
  }

  // What is known --------------------------------------------------------------------------------

  #known(): { lower: number | null; upper: number | null } {
    const result = isConfigurations(this.result)
      ? (this.result as unknown as Configurations)
      : null;
    const progress = this.progress ?? {};
    const of = (name: "lower" | "upper") => {
      const value =
        hasEnded(this.run) && result ? result[name] : (progress[name] ?? result?.[name]);
      return typeof value === "number" ? value : null;
    };
    return { lower: of("lower"), upper: of("upper") };
  }

  #note(progress: Progress | null, seconds: number): void {
    const { lower, upper } = progress ?? {};
    if (!this.solves || typeof lower !== "number" || typeof upper !== "number") return;
    const last = this.bounds.at(-1);
    if (last && last.lower === lower && last.upper === upper) return;
    this.bounds = [...this.bounds, { seconds, lower, upper }].slice(-MOST_BOUNDS);
    keep(
      this.run.id,
      "bounds",
      this.bounds.map((it) => ({ ...it })),
    );
  }

  /** Keep a report for the time line, without what is long. */
  #report(progress: Progress | null, updated: number): void {
    if (!progress) return;
    const brief = Object.fromEntries(
      Object.entries(progress).filter(([, it]) => JSON.stringify(it).length <= LONGEST_WORD),
    );
    if (JSON.stringify(this.reports.at(-1)?.progress) === JSON.stringify(brief)) return;
    const at = Math.max(0, Math.round((updated - this.run.created) * 1000));
    this.reports = [...this.reports, { at, progress: brief }].slice(-MOST_REPORTS);
    keep(this.run.id, "reports", this.reports as unknown as Json);
  }

  #curves(): Series[] {
    const now = {
      ...this.bounds.at(-1)!,
      seconds: Math.max(this.seconds, this.bounds.at(-1)!.seconds),
    };
    const all = [...this.bounds, now].flatMap((it, at, every) => {
      const before = every[at - 1];
      // A bound holds until the next one: each change is a step.
      return before ? [{ ...before, seconds: it.seconds }, it] : [it];
    });
    const x = all.map((it) => it.seconds);
    return [
      { label: "no more than", x, y: all.map((it) => it.upper) },
      { label: "found", x, y: all.map((it) => it.lower) },
    ];
  }

  /** Read what has been found, if it has begun. */
  #look(): void {
    if (hasEnded(this.run) || this.run.state !== "created") this.#reading.soon();
  }

  async #read(signal: AbortSignal): Promise<void> {
    const partial = hasEnded(this.run) ? "" : "?partial=true";
    try {
      const at = `/runs/${this.run.id}/result${partial}`;
      this.result = (await get<TaskResult>(at, { signal })).result;
      this.resultError = null;
    } catch (error) {
      if (!isAbort(error)) this.resultError = error;
    }
  }
}

/** Return how much is done, where a report has a fraction, or the usual words for a part of a whole. */
function fractionOf(progress: Progress): number | null {
  const { fraction, done, total } = progress;
  if (typeof fraction === "number") return Math.min(1, Math.max(0, fraction));
  if (typeof done === "number" && typeof total === "number" && total > 0)
    return Math.min(1, done / total);
  return null;
}

const LONGEST = 100_000; // characters of a result that are shown

function excerpt(result: Json): string {
  const text = JSON.stringify(result, null, 2);
  return text.length > LONGEST
    ? `${text.slice(0, LONGEST)}\n… download it to read all of it`
    : text;
}
