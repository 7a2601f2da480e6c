// <page-compare>: runs side by side: what differs, their curves over each other, and the difference of the curves.

import { css, html, nothing, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { get, isAbort } from "../api.js";
import { page } from "../base.js";
import { Part, valueOf } from "../element.js";
import { live } from "../live.js";
import "../charted.js";
import { COLORS, DASHES, type Series } from "../parts/chart.js";
import "../parts/choice.js";
import "../parts/error.js";
import { ReadAgain } from "../read-again.js";
import { setQuery, type Route } from "../router.js";
import { compared, placesOfAll, ranked, type Compared } from "../session/compared.js";
import { apart, curve, placeName } from "../session/curves.js";
import { differences } from "../session/differences.js";
import { listOf, listText, MOST_COMPARED, zoomOf, zoomText } from "../session/query.js";
import type { Place } from "../session/settings.js";
import type { Manager, ManagerList, RunList, RunRecord, RunSummary } from "../types.js";
import { modelOf, titleOf } from "../words.js";

const SHOWN_AT_FIRST = 2;
const REST = 1_000; // milliseconds between two readings of runs that go on
const PAUSE = 250; // milliseconds after the last key, before runs are searched

@customElement("page-compare")
export class PageCompare extends Part {
  static override styles = [
    Part.styles,
    css`
      section {
        margin-bottom: 1rem;
      }
      h2 {
        margin-top: 0;
      }
      .curves {
        gap: 0.5rem 1.25rem;
        margin-bottom: 0.75rem;
      }
      .many {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr));
        gap: 1rem;
      }
      th,
      td {
        min-width: 5.5rem;
        overflow-wrap: anywhere;
      }
      th:first-child {
        min-width: 9rem;
      }
      .found {
        list-style: none;
        padding: 0;
        margin: 0.5rem 0 0;
      }
      .found li {
        padding: 0.15rem 0;
      }
    `,
  ];

  @property({ attribute: false }) route!: Route;

  @state() private runs: Compared[] = [];
  @state() private error: unknown = null;
  @state() private found: RunSummary[] = [];
  @state() private searched = "";
  @state() private reading = false;
  @state() private equations: string[] = [];
  @state() private models: Record<string, Manager> = {};

  #shown = "";
  #runs = new ReadAgain((signal) => this.#read(signal), REST);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #follow: (() => void) | undefined;

  get #ids(): string[] {
    return listOf(this.route.query.get("runs")).slice(0, MOST_COMPARED);
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.whenGone(() => this.#runs.close());
    this.whenGone(() => this.#follow?.());
    this.#shown = "";
    void this.#search("");
    void this.#readModels();
  }

  override updated(changed: PropertyValues): void {
    if (!changed.has("route")) return;
    const ids = this.#ids.join(",");
    if (ids !== this.#shown) {
      this.#shown = ids;
      this.#follow?.();
      this.#follow = ids ? live.runs(this.#ids, () => this.#runs.soon()) : undefined;
      this.#runs.close();
      this.#runs.soon();
    }
  }

  override render() {
    return html`
      <h1>Compare</h1>
      <p-error .error=${this.error} .retry=${() => this.#runs.soon()}></p-error>
      ${this.#chosen()}
      ${this.reading && !this.runs.length ? html`<p role="status">Reading…</p>` : nothing}
      ${this.runs.length > 1 ? [this.#differences(), this.#curves()] : nothing}
    `;
  }

  #chosen() {
    const ids = this.#ids;
    return html`<section class="panel">
      <h2>Runs</h2>
      ${
        this.runs.length
          ? html`<ul class="found">
              ${this.runs.map(
                ({ record }, at) =>
                  html`<li class="row">
                    <a href=${page(`/runs/${record.id}`)}>${titleOf(record)}</a>
                    <span class="state ${record.state}">${record.state}</span>
                    ${at === 0 ? html`<span class="faint">the others are compared with it</span>` : nothing}
                    <button
                      aria-label=${`Leave out ${titleOf(record)}`}
                      @click=${() => this.#choose(ids.filter((id) => id !== record.id))}
                    >
                      Leave out
                    </button>
                  </li>`,
              )}
            </ul>`
          : nothing
      }
      ${this.runs.length < 2 ? html`<p>Choose at least two runs.</p>` : nothing}
      ${
        listOf(this.route.query.get("runs")).length > MOST_COMPARED
          ? html`<p>Only the first ${MOST_COMPARED} are compared.</p>`
          : nothing
      }
      ${
        ids.length < MOST_COMPARED
          ? html`<details ?open=${ids.length < 2}>
              <summary>Add a run</summary>
              <label class="field"
                ><span>Name or id</span>
                <input
                  type="search"
                  .value=${this.searched}
                  @input=${(event: Event) => this.#typed(valueOf(event))}
                />
              </label>
              <ul class="found">
                ${this.found
                  .filter(({ id }) => !ids.includes(id))
                  .map(
                    (run) =>
                      html`<li class="row">
                        <button
                          aria-label=${`Add ${titleOf(run)}`}
                          @click=${() => this.#choose([...ids, run.id])}
                        >
                          Add
                        </button>
                        <span>${titleOf(run)}</span>
                        <span class="faint">${run.kind} of ${modelOf(run)}</span>
                      </li>`,
                  )}
              </ul>
            </details>`
          : nothing
      }
    </section>`;
  }

  #differences() {
    const found = differences(this.runs, this.models);
    return html`<section class="panel">
      <h2>What differs</h2>
      ${
        found.length
          ? html`<div class="scroll" tabindex="0" role="region" aria-label="What differs">
              <table>
                <thead>
                  <tr>
                    <th scope="col">What</th>
                    ${this.runs.map(({ record }) => html`<th scope="col">${titleOf(record)}</th>`)}
                  </tr>
                </thead>
                <tbody>
                  ${found.map(
                    ({ what, values }) =>
                      html`<tr>
                        <th scope="row">${what}</th>
                        ${values.map((value) => html`<td>${value}</td>`)}
                      </tr>`,
                  )}
                </tbody>
              </table>
            </div>`
          : html`<p>Nothing but their names.</p>`
      }
    </section>`;
  }

  #curves() {
    const { equations } = this;
    if (!equations.length) return nothing;
    const { query } = this.route;
    const asked = listOf(query.get("show")).filter((it) => equations.includes(it));
    const shown = query.has("show") ? asked : equations.slice(0, SHOWN_AT_FIRST);
    const difference = query.get("difference") !== "none";
    return html`<section class="panel">
      <h2>Curves</h2>
      <div class="row curves">
        <p-choice
          label="Equations"
          .groups=${{ Equations: equations }}
          .chosen=${shown}
          @choice=${(event: CustomEvent<string[]>) => setQuery({ show: listText(event.detail) })}
        ></p-choice>
        <label class="check"
          ><input
            type="checkbox"
            .checked=${difference}
            @change=${() => setQuery({ difference: difference ? "none" : null })}
          />
          Differences from ${this.runs[0] ? titleOf(this.runs[0].record) : "the first"}</label
        >
      </div>
      <div class="many">
        ${repeat(
          shown,
          (equation) => equation,
          (equation) => [
            this.#chart(equation, this.#series(equation)),
            difference ? this.#chart(`${equation}, difference`, this.#apart(equation)) : nothing,
          ],
        )}
      </div>
    </section>`;
  }

  #chart(heading: string, series: Series[]) {
    const unit = this.#unitOf("time");
    return html`<p-chart
      heading=${heading}
      xlabel=${unit ? `time [${unit}]` : "time"}
      sync="compare"
      .series=${series}
      .zoom=${zoomOf(this.route.query)}
      @zoom=${(event: CustomEvent) => setQuery({ zoom: zoomText(event.detail) })}
    ></p-chart>`;
  }

  /** Return the unit that an equation has in the models of all runs; none if they differ. */
  #unitOf(name: string): string | undefined {
    const managers = new Set(placesOfAll(this.runs).map(([manager]) => manager));
    const units = new Set([...managers].map((manager) => this.models[manager]?.units[name]));
    return units.size === 1 ? [...units][0] : undefined;
  }

  #series(equation: string): Series[] {
    const places = placesOfAll(this.runs);
    return this.runs.flatMap(({ record, results }, row) =>
      places.flatMap((place, column) => {
        const found = curve(results, place, equation);
        if (!found) return [];
        return [{ ...found, ...this.#look(record, row, places, column, equation) }];
      }),
    );
  }

  /** Return how far each run is from the first one, where both have a value at the same time. */
  #apart(equation: string): Series[] {
    const places = placesOfAll(this.runs);
    const [first, ...others] = this.runs;
    return others.flatMap(({ record, results }, row) =>
      places.flatMap((place, column) => {
        const own = curve(results, place, equation);
        const base = first && curve(first.results, place, equation);
        if (!own || !base) return [];
        return [{ ...apart(own, base), ...this.#look(record, row + 1, places, column, equation) }];
      }),
    );
  }

  #look(record: RunRecord, row: number, places: Place[], column: number, equation: string) {
    const place = places[column];
    const of = places.length > 1 && place ? ` · ${placeName(place, places)}` : "";
    return {
      label: titleOf(record) + of,
      unit: this.#unitOf(equation),
      color: `var(--curve-${row % COLORS})`,
      dash: DASHES[column % DASHES.length],
    };
  }

  #choose(ids: string[]): void {
    setQuery({ runs: ids.length ? listText(ids) : null });
  }

  #typed(text: string): void {
    this.searched = text;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#search(text), PAUSE);
  }

  async #search(text: string): Promise<void> {
    try {
      const q = text ? `&q=${encodeURIComponent(text)}` : "";
      const { runs } = await get<RunList>(`/runs?limit=20${q}`);
      if (text === this.searched) this.found = runs;
    } catch (error) {
      this.error = error;
    }
  }

  async #readModels(): Promise<void> {
    // Without them curves have no units; whatever else is wrong is shown by what reads the runs.
    this.models = await get<ManagerList>("/models").then(
      ({ managers }) => managers,
      () => ({}),
    );
  }

  async #read(signal: AbortSignal): Promise<void> {
    this.error = null;
    this.reading = true;
    try {
      const runs = await Promise.all(this.#ids.map((id) => compared(id, signal)));
      this.runs = runs;
      this.equations = ranked(runs);
    } catch (error) {
      if (isAbort(error)) return;
      this.error = error;
    }
    this.reading = false;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "page-compare": PageCompare;
  }
}
