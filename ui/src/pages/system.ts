// <page-system>: health, store, queue and workers, with the metrics of this server over time.

import { css, html, nothing } from "lit";
import { customElement, state } from "lit/decorators.js";
import { get } from "../api.js";
import { page, path } from "../base.js";
import { Part } from "../element.js";
import { live } from "../live.js";
import type { Series } from "../parts/chart.js";
import "../charted.js";
import "../parts/error.js";
import { average, noted, quantile, type Rates } from "../readings.js";
import type { Latency, System, SystemServer } from "../types.js";
import { ago, bytes, count, duration, figure, when } from "../words.js";

const EVERY = 3_000; // milliseconds
const QUEUE_STATES = ["waiting", "working", "paused"] as const;

@customElement("page-system")
export class PageSystem extends Part {
  static override styles = [
    Part.styles,
    css`
      .grid {
        grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr));
      }
      .charts {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(min(28rem, 100%), 1fr));
        gap: var(--gap);
        margin-top: var(--gap);
      }
      .panel > h2 {
        margin-top: 0;
      }
      .good {
        color: var(--good);
        font-weight: 600;
      }
      .bad {
        color: var(--danger);
        font-weight: 600;
      }
      section {
        min-width: 0;
      }
    `,
  ];

  @state() private system: System | null = null;
  @state() private rates: Rates[] = [];
  @state() private error: unknown = null;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#read();
    this.every(EVERY, () => void this.#read());
    this.listen(document, "visibilitychange", () => document.hidden || void this.#read());
    this.listen(live, "change", () => void this.#read());
  }

  override render() {
    const { system } = this;
    return html`
      <h1>System</h1>
      <p-error .error=${this.error} .retry=${() => void this.#read()}></p-error>
      ${system ? this.#content(system) : this.error === null ? html`<p role="status">Reading…</p>` : nothing}
    `;
  }

  #content(system: System) {
    const { server } = system;
    return html`
      <div class="grid">
        <section class="panel">
          <h2>Server</h2>
          <dl class="facts">
            <dt>Perdure</dt>
            <dd>${system.version}</dd>
            <dt>Started</dt>
            <dd title=${when(system.started)}>${ago(system.started)}</dd>
            ${server ? this.#host(server) : nothing}
          </dl>
          <p><a href=${path("/docs")} target="_blank">Routes</a></p>
        </section>
        ${server ? this.#store(server) : nothing}
        <section class="panel">
          <h2>Queue</h2>
          ${server ? nothing : html`<p class="faint">Your own tasks and experiments.</p>`}
          ${this.#queue(system)}
        </section>
        ${server?.waiting.length ? this.#waiting(server) : nothing}
      </div>
      ${server ? html`${this.#workers(server)} ${this.#charts()}` : nothing}
    `;
  }

  #host(server: SystemServer) {
    return html`
      <dt>Host</dt>
      <dd>${server.host}</dd>
      <dt>Python</dt>
      <dd>${server.python}</dd>
      <dt>Numbers</dt>
      <dd><code title="The numeric fingerprint of this host">${server.numerics}</code></dd>
      ${
        server.broker === null
          ? nothing
          : html`<dt>Broker</dt>
              <dd class=${server.broker === "up" ? "good" : "bad"}>
                ${server.broker === "up" ? "answers" : "doesn't answer; workers look for runs by themselves"}
              </dd>`
      }
      <dt>Sessions</dt>
      <dd>${figure(server.live_sessions)} in memory</dd>
    `;
  }

  #store({ store, steps }: SystemServer) {
    const parts = Object.entries(store.bytes);
    const kind = store.shared
      ? "shared by servers and workers"
      : store.ephemeral
        ? "in memory: it ends with the server"
        : "a file of this server";
    return html`<section class="panel">
      <h2>Store</h2>
      <dl class="facts">
        <dt>State</dt>
        <dd class=${store.ready ? "good" : "bad"}>
          ${store.ready ? "can be written" : `can't be written: ${store.problem}`}
        </dd>
        <dt>Kind</dt>
        <dd>${kind}</dd>
        ${parts.map(
          ([name, size]) => html`
            <dt>${name}</dt>
            <dd>${bytes(size)}</dd>
          `,
        )}
        <dt>Writes that wait</dt>
        <dd>${figure(store.waiting)}</dd>
        <dt>Steps</dt>
        <dd>${figure(steps.count)} since the start</dd>
        ${this.#latency("Step until durable", steps)} ${this.#latency("Commit", store.commits)}
      </dl>
    </section>`;
  }

  #latency(words: string, latency: Latency) {
    if (!latency.count) return nothing;
    return html`<dt>${words}</dt>
      <dd>
        ${milliseconds(average(latency))} on average, 95 % within
        ${milliseconds(quantile(latency, 0.95))}
      </dd>`;
  }

  #queue({ queue }: System) {
    const runs = (kind: string, name: string) =>
      queue
        .filter((it) => it.kind === kind && it.state === name)
        .reduce((sum, it) => sum + it.runs, 0);
    const kinds = ["task", "experiment"];
    return html`<table>
      <thead>
        <tr>
          <th scope="col">State</th>
          ${kinds.map(
            (kind) =>
              html`<th scope="col" class="number">
                <a href=${page(`/?kind=${kind}&state=created,paused,started`)}>${kind}s</a>
              </th>`,
          )}
        </tr>
      </thead>
      <tbody>
        ${QUEUE_STATES.map(
          (it) => html`
            <tr>
              <th scope="row">${it}</th>
              ${kinds.map((kind) => html`<td class="number">${figure(runs(kind, it))}</td>`)}
            </tr>
          `,
        )}
      </tbody>
    </table>`;
  }

  #waiting({ waiting }: SystemServer) {
    const now = Date.now() / 1000;
    return html`<section class="panel">
      <h2>Waiting for a worker</h2>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Kind</th>
              <th scope="col">Tag</th>
              <th scope="col" class="number">Runs</th>
              <th scope="col">Longest</th>
            </tr>
          </thead>
          <tbody>
            ${waiting.map(
              (it) => html`
                <tr>
                  <td>${it.kind}</td>
                  <td>
                    ${it.tag === null ? "all" : html`<a href=${page(`/?tag=${encodeURIComponent(it.tag)}`)}>${it.tag}</a>`}
                  </td>
                  <td class="number">${figure(it.runs)}</td>
                  <td>${duration(Math.max(0, now - it.since))}</td>
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
    </section>`;
  }

  #workers({ workers }: SystemServer) {
    const started = html`<a href=${page("/?state=started")}>runs that are worked on</a>`;
    if (workers === null)
      return html`<h2>Workers</h2>
        <p>This server works on its runs itself: ${started}.</p>`;
    if (!workers.length)
      return html`<h2>Workers</h2>
        <p class="bad">
          There is no worker: tasks and experiments wait. Start one: <code>perdure worker</code>
        </p>`;
    return html`<h2>Workers</h2>
      <p>${count(workers.length, "worker")}; ${started}.</p>
      <div class="scroll panel" tabindex="0" role="region" aria-label="Workers">
        <table>
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Host</th>
              <th scope="col">Tags</th>
              <th scope="col">Slots</th>
              <th scope="col">Works on</th>
              <th scope="col">Lacks</th>
            </tr>
          </thead>
          <tbody>
            ${workers.map(
              (it) => html`
                <tr>
                  <th scope="row"><code>${it.name.slice(-8)}</code></th>
                  <td>${it.host}</td>
                  <td>${it.tags === null ? "all runs" : it.tags.join(", ")}</td>
                  <td>
                    ${Object.entries(it.slots).map(
                      ([kind, slots]) =>
                        html`<div>${figure(it.busy[kind] ?? 0)} of ${count(slots, kind)}</div>`,
                    )}
                  </td>
                  <td>
                    ${it.runs.map(
                      (run) =>
                        html`<div><a href=${page(`/runs/${run}`)}>${run.slice(0, 12)}</a></div>`,
                    )}
                  </td>
                  <td>${it.lacks.map((words) => html`<div>${words}</div>`)}</td>
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>`;
  }

  #charts() {
    if (this.rates.length < 2) return html`<p class="faint">Charts begin in a few seconds.</p>`;
    return html`<div class="charts">
      ${this.#chart("Steps and answers a second", [
        ["steps", "steps", 1],
        ["answers", "answers", 1],
      ])}
      ${this.#chart(
        "A step until it is durable",
        [
          ["average", "stepMilliseconds", 1],
          ["95 % within", "stepMillisecondsHigh", 1],
        ],
        "ms",
      )}
      ${this.#chart(
        "A commit",
        [
          ["average", "commitMilliseconds", 1],
          ["95 % within", "commitMillisecondsHigh", 1],
        ],
        "ms",
      )}
      ${this.#chart("Size of the store", [["size", "bytes", 1e-6]], "MB")}
    </div>`;
  }

  #chart(heading: string, curves: [string, keyof Rates, number][], unit?: string) {
    const now = this.rates.at(-1)?.at ?? 0;
    const x = this.rates.map(({ at }) => Math.round((at - now) * 10) / 10);
    const series: Series[] = curves.map(([label, name, factor]) => ({
      label,
      x,
      y: this.rates.map((it) => (Number.isNaN(it[name]) ? null : it[name] * factor)),
      unit,
    }));
    return html`<div class="panel">
      <p-chart .series=${series} heading=${heading} xlabel="seconds" .height=${150}></p-chart>
    </div>`;
  }

  async #read(): Promise<void> {
    try {
      const system = await get<System>("/system");
      this.rates = noted(system);
      this.system = system;
      this.error = null;
    } catch (error) {
      this.error = error;
    }
  }
}

function milliseconds(seconds: number): string {
  return `${figure(Math.round(seconds * 1e5) / 100)} ms`;
}
