// <page-runs>: all runs, live: filtered, searched, sorted; and those that are chosen, stopped or deleted.

import { css, html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { live as checked } from "lit/directives/live.js";
import { post } from "../api.js";
import { page } from "../base.js";
import { Part, valueOf } from "../element.js";
import { notice } from "../notice.js";
import { confirm } from "../parts/dialog.js";
import "../parts/error.js";
import "../parts/served.js";
import type { Column, PTable, Range } from "../parts/table.js";
import "../parts/table.js";
import { go, setQuery, type Route } from "../router.js";
import { styled } from "../styled.js";
import { RunRows, type Filters } from "../run-rows.js";
import { MOST_COMPARED } from "../session/query.js";
import { KINDS, STATES, type ManyDone, type RunSummary } from "../types.js";
import { ago, count, figure, modelOf, titleOf, when } from "../words.js";

const FILTERS = ["kind", "state", "tag", "q", "sort"] as const;
/** What can be chosen of the states → its words. */
const STATE_WORDS = {
  "created,paused,started": "not ended",
  ...Object.fromEntries(STATES.map((it) => [it, it])),
};
const NEWEST_FIRST = "-created";
const AGES_EVERY = 10_000; // milliseconds
const TYPING = 50; // milliseconds without a key until a search begins
const MOST = 1000; // runs of one request

@customElement("page-runs")
export class PageRuns extends Part {
  static override styles = [
    Part.styles,
    css`
      :host {
        display: flex;
        flex-direction: column;
        gap: 0.75rem;
      }
      h1 {
        margin: 0;
      }
      p-table {
        height: max(20rem, calc(100vh - 19rem));
      }
      form input[type="search"] {
        flex: 1 1 14rem;
        min-width: 8rem;
      }
      form label {
        display: contents;
      }
      select {
        max-width: 100%;
      }
      .chosen {
        background: var(--soft);
        border-color: var(--accent);
        padding: 0.5rem 0.9rem;
      }
      ul {
        margin: 0.25rem 0;
        padding-left: 1.2rem;
      }
    `,
  ];

  @property({ attribute: false }) route!: Route;
  @state() private chosen: ReadonlySet<string> = new Set();
  @state() private failure: unknown = null;
  @state() private refused: ManyDone["runs"] = [];
  @state() private working = false;
  @query("p-table") private table!: PTable<RunSummary>;
  #rows = new RunRows();
  #asked = "";
  #anchor = 0;
  #typing: ReturnType<typeof setTimeout> | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.#asked = "";
    this.listen(this.#rows, "change", () => this.requestUpdate());
    this.whenLive(() => this.#rows.read());
    this.followRuns(null, (event) => this.#rows.changed(event));
    this.every(AGES_EVERY, () => this.requestUpdate());
    this.whenGone(() => this.#rows.close());
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has("route")) return;
    const filters: Filters = {};
    for (const name of FILTERS) {
      const value = this.route.query.get(name);
      if (value) filters[name] = value;
    }
    const asked = JSON.stringify(filters);
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.chosen = new Set(); // what isn't listed any more mustn't be deleted by mistake
    this.#rows.ask(filters);
    if (this.hasUpdated) void this.table.focusRow(0, false);
  }

  override render() {
    const { total, error } = this.#rows;
    const sort = this.route.query.get("sort") ?? NEWEST_FIRST;
    const filtered = FILTERS.some((name) => name !== "sort" && this.route.query.get(name));
    return html`
      <div class="row spread">
        <h1>Runs</h1>
        <a class="button primary" href=${page("/new")}>New run</a>
      </div>
      ${this.#filters()}
      <div class="row spread">
        <span role="status" class="faint"
          >${total === null ? "" : count(total, "run")}${filtered ? " found" : ""}</span
        >
        <button @click=${() => void this.#chooseAll()} ?disabled=${!total}>
          Choose ${total !== null && total > MOST ? `the first ${figure(MOST)}` : "all"}
        </button>
      </div>
      ${this.#bulk()}
      <p-error
        .error=${error ?? this.failure}
        .retry=${error === null ? null : () => this.#rows.read()}
      ></p-error>
      ${this.#refusals()}
      <p-table
        label="Runs"
        .columns=${this.#columns}
        .count=${total ?? 0}
        .row=${(index: number) => this.#rows.row(index)}
        .keyOf=${(run: RunSummary) => run.id}
        .chosen=${this.chosen}
        .sorted=${sort.replace("-", "")}
        ?descending=${sort.startsWith("-")}
        empty=${total === null ? "Reading…" : filtered ? "No run is like that." : "There is no run yet."}
        @range=${({ detail }: CustomEvent<Range>) => this.#rows.show(detail.first, detail.end)}
        @open=${({ detail }: CustomEvent<number>) => this.#open(detail)}
        @choose=${({ detail }: CustomEvent<{ index: number; range: boolean }>) =>
          this.#choose(detail.index, detail.range)}
        @sort=${({ detail }: CustomEvent<string>) => this.#sort(detail)}
      ></p-table>
      <p-served ?open=${total === 0 && !filtered}></p-served>
    `;
  }

  #filters() {
    const value = (name: string) => this.route.query.get(name) ?? "";
    return html`<form class="row" role="search" @submit=${(event: Event) => event.preventDefault()}>
      <label
        ><span class="hidden-text">Search names and ids</span>
        <input
          type="search"
          placeholder="Search names and ids"
          maxlength="200"
          .value=${value("q")}
          @input=${(event: Event) => this.#typed("q", event)}
      /></label>
      ${this.#choice("kind", "Kind", "Every kind", Object.fromEntries(KINDS.map((it) => [it, it])))}
      ${this.#choice("state", "State", "Every state", STATE_WORDS)}
      <label
        ><span class="hidden-text">Tags, separated by commas</span>
        <input
          placeholder="Tags"
          size="12"
          .value=${value("tag")}
          @change=${(event: Event) => setQuery({ tag: valueOf(event).replace(/[\s,]+/g, ",") })}
      /></label>
      <button
        type="button"
        @click=${() => setQuery({ q: null, kind: null, state: null, tag: null })}
        ?disabled=${!["q", "kind", "state", "tag"].some(value)}
      >
        Clear
      </button>
    </form>`;
  }

  #choice(name: string, label: string, all: string, values: Record<string, string>) {
    const now = this.route.query.get(name) ?? "";
    return html`<label
      ><span class="hidden-text">${label}</span>
      <select @change=${(event: Event) => setQuery({ [name]: valueOf(event) })}>
        <option value="" ?selected=${!now}>${all}</option>
        ${Object.entries(values).map(
          ([value, words]) =>
            html`<option value=${value} ?selected=${value === now}>${words}</option>`,
        )}
      </select></label
    >`;
  }

  #bulk() {
    if (!this.chosen.size) return nothing;
    const ids = [...this.chosen];
    return html`<div class="panel chosen row" role="group" aria-label="Chosen runs">
      <strong>${count(ids.length, "run")} chosen</strong>
      <button ?disabled=${this.working} @click=${() => void this.#stop(ids)}>Stop</button>
      <button class="danger" ?disabled=${this.working} @click=${() => void this.#delete(ids)}>
        Delete
      </button>
      ${
        ids.length >= 2 && ids.length <= MOST_COMPARED
          ? html`<a class="button" href=${page(`/compare?runs=${ids.join(",")}`)}>Compare</a>`
          : nothing
      }
      <button class="plain" @click=${() => (this.chosen = new Set())}>Choose none</button>
    </div>`;
  }

  #refusals() {
    if (!this.refused.length) return nothing;
    const shown = this.refused.slice(0, 20);
    return html`<div class="panel" role="alert">
      <strong>${count(this.refused.length, "run")} stayed as before:</strong>
      <ul>
        ${shown.map((it) => html`<li><code>${it.run}</code> ${it.error?.message}</li>`)}
        ${this.refused.length > shown.length ? html`<li>and others</li>` : nothing}
      </ul>
      <button @click=${() => (this.refused = [])}>Close</button>
    </div>`;
  }

  readonly #columns: Column<RunSummary>[] = [
    {
      name: "chosen",
      title: html`<span class="hidden-text">Chosen</span>`,
      width: "1.5rem",
      cell: (run) =>
        html`<input
          type="checkbox"
          tabindex="-1"
          aria-label="Choose ${titleOf(run)}"
          .checked=${checked(this.chosen.has(run.id))}
          @click=${(event: MouseEvent) => this.#clicked(run, event)}
        />`,
    },
    {
      name: "name",
      title: "Name",
      width: "minmax(5rem, 2fr)",
      sortable: true,
      cell: (run) =>
        html`<a tabindex="-1" href=${page(`/runs/${run.id}`)} title=${run.id}>${titleOf(run)}</a>`,
    },
    { name: "kind", title: "Kind", width: "6.5rem", minor: true, cell: (run) => run.kind },
    { name: "model", title: "Model", minor: true, cell: modelOf },
    {
      name: "state",
      title: "State",
      width: "6.6rem",
      cell: (run) =>
        html`<span class="state ${run.state}" title=${run.outcome?.replace("_", " ") ?? run.state}
          >${run.outcome === "timed_out" ? "timed out" : run.state}</span
        >`,
    },
    { name: "progress", title: "Progress", width: "10rem", minor: true, cell: progressOf },
    { name: "owner", title: "Owner", width: "6rem", minor: true, cell: (run) => run.owner },
    {
      name: "tags",
      title: "Tags",
      minor: true,
      cell: (run) => html`${run.tags.map((tag) => html`<span class="tag">${tag}</span> `)}`,
    },
    {
      name: "created",
      title: "Age",
      width: "5.6rem",
      sortable: true,
      cell: (run) => html`<span title=${when(run.created)}>${ago(run.created)}</span>`,
    },
    {
      name: "updated",
      title: "Updated",
      width: "6.5rem",
      sortable: true,
      minor: true,
      cell: (run) => html`<span title=${when(run.updated)}>${ago(run.updated)}</span>`,
    },
  ];

  #typed(name: string, event: Event): void {
    clearTimeout(this.#typing);
    const value = valueOf(event);
    this.#typing = setTimeout(() => setQuery({ [name]: value }), TYPING);
  }

  #sort(name: string): void {
    const now = this.route.query.get("sort") ?? NEWEST_FIRST;
    const first = name === "name" ? name : `-${name}`;
    const other = name === "name" ? `-${name}` : name;
    const next = now === first ? other : first;
    setQuery({ sort: next === NEWEST_FIRST ? null : next });
  }

  #open(index: number): void {
    const run = this.#rows.row(index);
    if (run) go(`/runs/${run.id}`);
  }

  #clicked(run: RunSummary, event: MouseEvent): void {
    const line = (event.target as HTMLElement).closest<HTMLElement>("[data-at]");
    const index = Number(line?.dataset.at);
    if (this.#rows.row(index)?.id === run.id) this.#choose(index, event.shiftKey);
  }

  #choose(index: number, range: boolean): void {
    const run = this.#rows.row(index);
    if (!run) return;
    const chosen = new Set(this.chosen);
    if (range) {
      const [first, last] = [Math.min(index, this.#anchor), Math.max(index, this.#anchor)];
      this.#rows.ids(first, last + 1).forEach((id) => chosen.add(id));
    } else if (!chosen.delete(run.id)) chosen.add(run.id);
    this.#anchor = index;
    this.chosen = chosen;
  }

  async #chooseAll(): Promise<void> {
    await this.#doing(async () => {
      this.chosen = new Set(await this.#rows.firstIds(MOST));
    });
  }

  async #stop(ids: string[]): Promise<void> {
    const details = "What they have computed stays readable. A stopped run can't be started again.";
    if (await confirm(`Stop ${count(ids.length, "run")}?`, { action: "Stop", details }))
      await this.#all("/stop", ids, "stopped");
  }

  async #delete(ids: string[]): Promise<void> {
    const details = "All that is stored of them is deleted, too. This can't be undone.";
    const question = { action: "Delete", danger: true, details };
    if (await confirm(`Delete ${count(ids.length, "run")}?`, question))
      await this.#all("/delete", ids, "deleted");
  }

  async #all(at: string, ids: string[], done: string): Promise<void> {
    await this.#doing(async () => {
      const answers: ManyDone["runs"] = [];
      for (let first = 0; first < ids.length; first += MOST) {
        const runs = ids.slice(first, first + MOST);
        answers.push(...(await post<ManyDone>(at, { runs })).runs);
      }
      this.refused = answers.filter((it) => it.error);
      this.chosen = new Set(this.refused.map((it) => it.run));
      const number = answers.length - this.refused.length;
      if (number) notice(`${count(number, "run")} ${done}.`);
      this.#rows.read();
    });
  }

  async #doing(action: () => Promise<void>): Promise<void> {
    this.working = true;
    this.failure = null;
    try {
      await action();
    } catch (error) {
      this.failure = error;
    } finally {
      this.working = false;
    }
  }
}

function progressOf(run: RunSummary): TemplateResult | string | typeof nothing {
  if (run.kind === "session") return count(run.step, "step");
  const progress = run.progress ?? {};
  const { fraction, simulation_time: time } = progress;
  const at = typeof time === "number" ? `at ${figure(time)} s` : "";
  if (typeof fraction === "number" && run.state !== "completed")
    return html`<progress
        max="1"
        .value=${fraction}
        aria-label="Progress"
        title=${`${figure(Math.round(fraction * 100))} %`}
        ${styled({ width: at ? "4rem" : "100%" })}
      ></progress>
      ${at}`;
  if (at) return at;
  if (run.attempt > 1) return `attempt ${figure(run.attempt)}`;
  return "";
}
