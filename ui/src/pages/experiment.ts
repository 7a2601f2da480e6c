// <page-experiment>: a run of an experiment: steered, watched, read.

import { css, html, nothing, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { get, isAbort, post } from "../api.js";
import { path } from "../base.js";
import { Part } from "../element.js";
import "../parts/datapacks.js";
import "../parts/error.js";
import "../parts/heading.js";
import "../parts/lifecycle.js";
import "../parts/log.js";
import "../parts/progress.js";
import "../parts/timeline.js";
import type { Stop } from "../parts/timeline.js";
import type { Zoom } from "../parts/chart.js";
import { ReadAgain } from "../read-again.js";
import { RepeatedKey } from "../repeated.js";
import { go, setQuery, type Route } from "../router.js";
import { zoomOf, zoomText } from "../session/query.js";
import type {
  DataPackSamples,
  ExperimentRun,
  Json,
  Progress,
  RunEvent,
  Savepoint,
} from "../types.js";
import { count, duration, figure } from "../words.js";

const PAUSE = 2_000; // milliseconds between two readings of the savepoints

@customElement("page-experiment")
export class PageExperiment extends Part {
  static override styles = [
    Part.styles,
    css`
      .times {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr));
        gap: 0.5rem var(--gap);
        margin: 0 0 0.75rem;
      }
      .values {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr));
        gap: 0.25rem var(--gap);
        margin: 0 0 0.75rem;
      }
      .times dt,
      .values dt {
        color: var(--faint);
        font-size: 0.85rem;
      }
      dd {
        margin: 0;
        overflow-wrap: anywhere;
      }
      .times dd {
        font-size: 1.25rem;
        font-variant-numeric: tabular-nums;
      }
      summary {
        cursor: pointer;
        font-weight: 600;
      }
    `,
  ];

  @property({ attribute: false }) run!: ExperimentRun;
  @property({ attribute: false }) route!: Route;
  @state() private latest: Partial<RunEvent> = {};
  @state() private savepoints: Savepoint[] = [];
  @state() private samples: DataPackSamples | null = null;
  /** The place on the time line that is pointed at, or chosen, in nanoseconds. */
  @state() private at: number | null = null;
  @state() private readError: unknown = null;
  @state() private forkError: unknown = null;
  @state() private busy = false;
  #key = new RepeatedKey();
  #shown = "";
  #before: [number, number] | null = null; // simulation and real time of the report before
  #pace: number | null = null; // simulated seconds in a second, between the last two reports
  #reading = new ReadAgain((signal) => this.#read(signal), PAUSE);

  override connectedCallback(): void {
    super.connectedCallback();
    void import("../parts/scene.js");
    this.whenGone(() => this.#reading.close());
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has("run")) return;
    if (this.over) void import("../parts/files.js");
    if (this.run.id !== this.#shown) {
      this.#shown = this.run.id;
      this.#before = this.#pace = null;
      this.savepoints = [];
      this.samples = null;
      this.at = null;
      this.readError = this.forkError = null;
      this.#reading.close();
    }
    this.latest = {};
    this.#noted();
  }

  /** Take an event of the run. */
  changed(event: RunEvent): void {
    this.latest = { ...this.latest, ...event };
    this.#noted();
  }

  private get progress(): Progress {
    return this.latest.progress ?? this.run.progress ?? {};
  }

  private get over(): boolean {
    return ["completed", "stopped", "failed"].includes(this.run.state);
  }

  override render() {
    const { run, route } = this;
    const reason = this.latest.reason ?? run.reason;
    const steered = { ...run, desired: this.latest.desired ?? run.desired };
    return html`<p-heading .run=${run} no-stop
        ><p-lifecycle .run=${steered}></p-lifecycle
      ></p-heading>
      ${reason ? html`<pre tabindex="0">${reason}</pre>` : nothing}
      ${run.missing ? html`<p class="panel">${run.missing}</p>` : nothing} ${this.#times()}
      <p-scene .run=${run} .savepoints=${this.savepoints}></p-scene>
      <section aria-labelledby="packs">
        <h2 id="packs">Data packs</h2>
        <p-datapacks
          .run=${run.id}
          .parent=${run.parent ?? ""}
          .version=${this.#version()}
          .zoom=${zoomOf(route.query)}
          @zoom=${(event: CustomEvent<Zoom | null>) => setQuery({ zoom: zoomText(event.detail) })}
          @sampled=${(event: CustomEvent<DataPackSamples>) => (this.samples = event.detail)}
        ></p-datapacks>
      </section>
      <section aria-labelledby="past">
        <h2 id="past">Time line</h2>
        ${this.#past()}
      </section>
      <section aria-labelledby="lines">
        <h2 id="lines">Log</h2>
        <p-log
          .run=${run.id}
          ?live=${run.state === "started"}
          .level=${route.query.get("level") ?? ""}
          .find=${route.query.get("find") ?? ""}
        ></p-log>
      </section>
      <section aria-labelledby="files">
        <h2 id="files">Files</h2>
        ${
          this.over
            ? html`<p-files .run=${run.id}></p-files>`
            : html`<div class="row">
                <a
                  class="button"
                  download=${`${run.id}.trajectory.jsonl`}
                  href=${path(`/runs/${run.id}/trajectory`)}
                  >Trajectory</a
                ><span class="faint">What it writes is stored when it ends.</span>
              </div>`
        }
      </section>
      ${this.#made()}`;
  }

  #times() {
    const { progress } = this;
    const simulated = number(progress.simulation_time);
    const real = number(progress.real_time);
    const left = number(progress.time_left);
    const steps = number(progress.steps);
    const most = number(progress.max_steps);
    const overall = simulated !== null && real ? simulated / real : null;
    return html`<section class="panel" aria-label="How far it is">
      <dl class="times">
        ${this.#time("Simulation time", simulated === null ? "–" : `${figure(simulated)} s`)}
        ${this.#time("Real time in steps", real === null ? "–" : duration(real))}
        ${this.#time("Real-time factor", overall === null ? "–" : `× ${figure(overall)}`)}
        ${
          this.#pace !== null && this.run.state === "started"
            ? this.#time("Factor just now", `× ${figure(this.#pace)}`)
            : nothing
        }
        ${left === null ? nothing : this.#time("Time left", `${figure(left)} s`)}
        ${steps === null ? nothing : this.#time("Steps", figure(steps))}
        ${this.#time("Attempts", figure(this.latest.attempt ?? this.run.attempt))}
      </dl>
      <p-progress
        .label=${progress.replaying && !this.over ? "Replaying up to its savepoint" : "Simulated"}
        .fraction=${number(progress.fraction)}
        .words=${most === null ? "without a time-out" : `of ${count(most, "step")}:`}
      ></p-progress>
    </section>`;
  }

  #time(words: string, value: string) {
    return html`<div>
      <dt>${words}</dt>
      <dd>${value}</dd>
    </div>`;
  }

  #past() {
    const stops: Stop[] = this.savepoints.map(({ timestamp, name }) => ({
      at: timestamp,
      label: name ?? "savepoint",
      kind: "savepoint",
    }));
    const newest = this.savepoints.at(-1)?.timestamp ?? 0;
    const reached = Math.max(newest, (number(this.progress.simulation_time) ?? 0) * 1e9);
    const left = (number(this.progress.time_left) ?? 0) * 1e9;
    return html`<p-timeline
        snap
        .end=${reached}
        .length=${reached + left}
        .stops=${stops}
        .words=${shown}
        .forking=${this.busy || !stops.length}
        @at=${(event: CustomEvent<number>) => (this.at = event.detail)}
        @fork=${(event: CustomEvent<number>) => void this.#forkAt(event.detail)}
        >${this.#values()}</p-timeline
      >
      <p-error .error=${this.forkError}></p-error>
      <p-error .error=${this.readError} .retry=${() => this.#reading.soon()}></p-error>
      <details @toggle=${() => void import("../parts/savepoints.js")}>
        <summary>${count(this.savepoints.length, "savepoint")}</summary>
        <p-savepoints
          .run=${this.run.id}
          .savepoints=${this.savepoints}
          .words=${(it: Savepoint) => shown(it.timestamp)}
          @changed=${() => this.#reading.soon()}
          @fork=${(event: CustomEvent<Savepoint>) => void this.#forkAt(event.detail.timestamp)}
        ></p-savepoints>
      </details>
      <details @toggle=${() => void import("../parts/fork-files.js")}>
        <summary>Fork with other files</summary>
        <p-fork-files
          .experiment=${this.run.experiment}
          .configuration=${this.run.configuration}
          .script=${this.run.script ?? ""}
          .where=${shown(this.#savepointAt(this.at ?? Infinity)?.timestamp ?? 0)}
          ?disabled=${this.busy || !stops.length}
          @fork=${(event: CustomEvent<Record<string, Json>>) =>
            void this.#forkAt(this.at ?? Infinity, event.detail)}
        ></p-fork-files>
      </details>
      <details @toggle=${() => void import("../parts/tree.js")}>
        <summary>Tree of forks</summary>
        <p-tree .run=${this.run.id}></p-tree>
      </details>`;
  }

  /** What the data packs held at the place on the time line that is pointed at. */
  #values() {
    const { time, series } = this.samples ?? { time: [], series: {} };
    const index = this.at === null ? -1 : time.findLastIndex((it) => it * 1e9 <= this.at!);
    if (index < 0) return nothing;
    return html`<p class="faint">Data packs at ${figure(time[index])} s:</p>
      <dl class="values">
        ${Object.entries(series).map(([name, values]) => this.#time(name, figure(values[index])))}
      </dl>`;
  }

  #made() {
    const { run } = this;
    const parts = Object.entries((this.progress.parts ?? {}) as Record<string, PartOfRun>);
    return html`<details>
      <summary>What it is made of</summary>
      <dl class="facts">
        <dt>Experiment</dt>
        <dd>${run.experiment}, version ${figure(run.version)}</dd>
        <dt>Configuration</dt>
        <dd>${run.configuration}</dd>
        <dt>Script</dt>
        <dd>${run.script ?? "none"}</dd>
        <dt>Seed</dt>
        <dd>${run.seed}</dd>
      </dl>
      ${
        parts.length
          ? html`<table>
              <thead>
                <tr>
                  <th>Part</th>
                  <th>After a crash</th>
                  <th>Why</th>
                </tr>
              </thead>
              <tbody>
                ${parts.map(
                  ([name, { kept, reason }]) =>
                    html`<tr>
                      <td>${name}</td>
                      <td>${kept}</td>
                      <td>${reason ?? ""}</td>
                    </tr>`,
                )}
              </tbody>
            </table>`
          : nothing
      }
    </details>`;
  }

  // Savepoints and forks -------------------------------------------------------------------------

  async #read(signal: AbortSignal): Promise<void> {
    try {
      const at = `/runs/${this.run.id}/savepoints`;
      this.savepoints = (await get<{ savepoints: Savepoint[] }>(at, { signal })).savepoints;
      this.readError = null;
    } catch (error) {
      if (!isAbort(error)) this.readError = error;
    }
  }

  /** Return the newest savepoint up to a time, in nanoseconds. */
  #savepointAt(time: number): Savepoint | undefined {
    return this.savepoints.findLast(({ timestamp }) => timestamp <= time);
  }

  /** Fork there, with these changes. */
  async #forkAt(time: number, changes: Record<string, Json> = {}): Promise<void> {
    const savepoint = this.#savepointAt(time);
    if (this.busy || !savepoint) return;
    this.busy = true;
    this.forkError = null;
    try {
      const body = { savepoint: savepoint.timestamp, ...changes };
      const at = `/runs/${this.run.id}/fork`;
      const { id } = await post<ExperimentRun>(at, body, { key: this.#key.of([at, body]) });
      this.#key.done();
      go(`/runs/${id}`);
    } catch (error) {
      this.forkError = error;
    }
    this.busy = false;
  }

  // Events ---------------------------------------------------------------------------------------

  #noted(): void {
    const simulated = number(this.progress.simulation_time);
    const real = number(this.progress.real_time);
    if (simulated !== null && real !== null) {
      const [simulatedBefore, realBefore] = this.#before ?? [simulated, real];
      if (real > realBefore) this.#pace = (simulated - simulatedBefore) / (real - realBefore);
      this.#before = [simulated, real];
    }
    this.#reading.soon();
  }

  #version(): string {
    return `${this.latest.attempt ?? this.run.attempt} ${String(this.progress.steps)} ${this.run.state}`;
  }
}

type PartOfRun = { kept: string; reason: string | null };

/** Return a time in nanoseconds, in which savepoints count, in words. */
function shown(time: number): string {
  return `${figure(time / 1e9)} s`;
}

function number(value: Json | undefined): number | null {
  return typeof value === "number" ? value : null;
}
