// <p-served>: where the server answers, what it serves, and where to go next.

import { css, html, nothing, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { get } from "../api.js";
import { BASE, page, path } from "../base.js";
import { Part } from "../element.js";
import type { ExperimentSummary, ManagerList, TaskDescription } from "../types.js";
import "./error.js";

const LINKS: readonly [string, string][] = [
  ["/docs", "every route, with what it takes and answers"],
  ["/openapi.json", "the same for programs"],
  ["/models", "the models and scenarios that can be run"],
  ["/tasks", "the tasks that can be queued"],
  ["/experiments", "the experiments that can be run"],
  ["/runs", "the runs, as programs read them"],
  ["/metrics", "numbers for Prometheus"],
  ["/ready", "whether the store can be written"],
];
const MOST = 50; // of each kind

@customElement("p-served")
export class PServed extends Part {
  static override styles = [
    Part.styles,
    css`
      summary {
        cursor: pointer;
        font-weight: 600;
      }
      ul {
        margin: 0.25rem 0;
        padding-left: 1.2rem;
      }
      .grid > section > h2 {
        margin-top: 0.5rem;
      }
    `,
  ];

  @property({ type: Boolean }) open = false;
  @state() private managers: ManagerList | null = null;
  @state() private tasks: TaskDescription[] = [];
  @state() private experiments: ExperimentSummary[] = [];
  @state() private error: unknown = null;
  #read = false;

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("open") && this.open) void this.#load();
  }

  override render() {
    return html`<details
      class="panel"
      ?open=${this.open}
      @toggle=${(event: Event) => (this.open = (event.target as HTMLDetailsElement).open)}
    >
      <summary>This server: ${BASE.href.replace(/\/$/, "")}</summary>
      <p-error .error=${this.error} .retry=${() => void this.#load()}></p-error>
      ${this.open ? this.#content() : nothing}
    </details>`;
  }

  #content() {
    return html`<div class="grid">
        <section>
          <h2>Scenario managers</h2>
          ${this.#managers()}
        </section>
        <section>
          <h2>Tasks</h2>
          ${list(this.tasks.map((it) => html`<code>${it.name}</code> ${it.description}`))}
        </section>
        <section>
          <h2>Experiments</h2>
          ${list(this.experiments.map((it) => html`${it.name}`))}
        </section>
        <section>
          <h2>Go on</h2>
          <ul>
            ${LINKS.map(
              ([at, words]) =>
                html`<li><a href=${path(at)} target="_blank">${at}</a> ${words}</li>`,
            )}
          </ul>
        </section>
      </div>
      ${this.#commands()}`;
  }

  #managers() {
    const managers = Object.entries(this.managers?.managers ?? {});
    const unusable = Object.entries(this.managers?.unusable ?? {});
    return list([
      ...managers.map(
        ([name, manager]) =>
          html`<a href=${page("/new/session")}>${name}</a>
            <span class="faint">model ${manager.model}:</span>
            ${Object.keys(manager.scenarios).slice(0, MOST).join(", ")}`,
      ),
      ...unusable.map(
        ([name, reason]) => html`${name} <span class="faint">can't be served: ${reason}</span>`,
      ),
    ]);
  }

  #commands() {
    const [manager] = Object.entries(this.managers?.managers ?? {});
    const scenario = Object.keys(manager?.[1].scenarios ?? {})[0];
    if (!manager || scenario === undefined) return nothing;
    const body = JSON.stringify({ kind: "session", scenarios: { [manager[0]]: [scenario] } });
    const type = "-H 'Content-Type: application/json'";
    return html`<h2>A session, step by step</h2>
      <pre tabindex="0">
curl ${path("/runs")} ${type} \\
-d ${quoted(body)}
curl ${path("/runs/RUN/steps")} ${type} \\
-d '{"steps": 10}'
curl ${path("/runs/RUN/results")}</pre>`;
  }

  async #load(): Promise<void> {
    if (this.#read) return;
    this.#read = true;
    this.error = null;
    // One that isn't allowed here, or can't be read, doesn't hide the others.
    const failed = (error: unknown) => {
      this.#read = false;
      this.error = error;
    };
    await Promise.all([
      get<ManagerList>("/models").then((it) => (this.managers = it), failed),
      get<{ tasks: TaskDescription[] }>("/tasks").then(({ tasks }) => (this.tasks = tasks), failed),
      get<{ experiments: ExperimentSummary[] }>("/experiments").then(
        ({ experiments }) => (this.experiments = experiments),
        failed,
      ),
    ]);
  }
}

function list(items: unknown[]) {
  if (!items.length) return html`<p class="faint">none</p>`;
  return html`<ul>
    ${items.slice(0, MOST).map((it) => html`<li>${it}</li>`)}
    ${items.length > MOST ? html`<li class="faint">and ${items.length - MOST} more</li>` : nothing}
  </ul>`;
}

/** Return a text as one word of a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
