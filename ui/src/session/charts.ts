// <p-session-charts>: the chosen equations of a session over all its scenarios, one chart for all or one for each.

import { css, html, nothing, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { ApiError, get } from "../api.js";
import { page } from "../base.js";
import "../charted.js";
import type { Mark, Series, Zoom } from "../parts/chart.js";
import "../parts/choice.js";
import "../parts/error.js";
import { setQuery } from "../router.js";
import type { SessionRecord, SessionResults } from "../types.js";
import { titleOf } from "../words.js";
import {
  appendPage,
  curve,
  equationsOf,
  noResults,
  POINTS,
  seriesOf,
  type Results,
} from "./curves.js";
import { CockpitPart } from "./observer.js";
import { listOf, listText, zoomOf, zoomText } from "./query.js";

const SHOWN_AT_FIRST = 4;
const SYNC = "session";

@customElement("p-session-charts")
export class PSessionCharts extends CockpitPart {
  static override styles = [
    CockpitPart.styles,
    css`
      .many {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr));
        gap: 1rem;
      }
      .top {
        margin-bottom: 0.75rem;
        gap: 0.5rem 1.25rem;
      }
    `,
  ];

  @property({ attribute: false }) query = new URLSearchParams();
  /** A step that charts mark, such as the chosen one of the time line. */
  @property({ attribute: false }) at: number | null = null;

  @state() private parent: { record: SessionRecord; results: Results } | null = null;
  @state() private error: unknown = null;

  #parentId = "";

  override updated(changed: PropertyValues): void {
    super.updated(changed);
    const wanted = (this.#withParent && this.cockpit.record?.parent) || "";
    if (wanted === this.#parentId) return;
    this.#parentId = wanted;
    void this.#readParent(wanted);
  }

  override render() {
    const { record } = this.cockpit;
    if (!record) return nothing;
    const equations = equationsOf(record);
    const shown = this.#shown(record, equations);
    const together = this.query.get("view") === "together";
    return html`
      <div class="row top">
        <p-choice
          label="Equations"
          .groups=${this.#groups(equations)}
          .chosen=${shown}
          @choice=${(event: CustomEvent<string[]>) => setQuery({ show: listText(event.detail) })}
        ></p-choice>
        <label class="check"
          ><input
            type="checkbox"
            .checked=${together}
            @change=${() => setQuery({ view: together ? null : "together" })}
          />
          All in one chart</label
        >
        ${
          record.parent
            ? html`<label class="check"
                  ><input
                    type="checkbox"
                    .checked=${this.#withParent}
                    @change=${() => setQuery({ with: this.#withParent ? "none" : null })}
                  />
                  With its parent,
                  ${titleOf(this.parent?.record ?? { id: record.parent, name: "" })}</label
                >
                <a href=${page(`/compare?runs=${record.parent},${record.id}`)}>Compare them</a>`
            : nothing
        }
      </div>
      <p-error .error=${this.error}></p-error>
      ${
        together
          ? this.#chart("", shown)
          : html`<div class="many">
              ${repeat(
                shown,
                (equation) => equation,
                (equation) => this.#chart(equation, [equation]),
              )}
            </div>`
      }
      ${shown.length ? nothing : html`<p class="faint">Choose an equation to see its curves.</p>`}
    `;
  }

  #chart(heading: string, equations: string[]) {
    if (!equations.length) return nothing;
    return html`<p-chart
      heading=${heading || "All curves"}
      xlabel=${this.#xlabel(equations)}
      sync=${SYNC}
      .series=${this.#series(equations, !heading)}
      .marks=${this.#marks()}
      .zoom=${zoomOf(this.query)}
      .height=${heading ? 220 : 380}
      @zoom=${(event: CustomEvent<Zoom | null>) => setQuery({ zoom: zoomText(event.detail) })}
    ></p-chart>`;
  }

  #series(equations: string[], together: boolean): Series[] {
    const { places, results, models } = this.cockpit;
    const units = Object.assign({}, ...places.map(([manager]) => models[manager]?.units));
    const own = seriesOf({ results, places, equations, units, together });
    if (!this.parent) return own;
    const of = {
      results: this.parent.results,
      suffix: " · parent",
      dashes: together ? places.length : 1,
    };
    return [...own, ...seriesOf({ ...of, places, equations, units, together })];
  }

  #marks(): Mark[] {
    const { record } = this.cockpit;
    const marks: Mark[] = [];
    const fork = record?.parent ? this.#timeOf(record.parent_step ?? 0) : null;
    if (fork !== null) marks.push({ x: fork, label: "fork" });
    const at = this.at === null ? null : this.#timeOf(this.at);
    if (at !== null) marks.push({ x: at, label: `step ${this.at}` });
    return marks;
  }

  #timeOf(step: number): number | null {
    const spec = Object.values(this.cockpit.record?.specs ?? {}).flatMap((it) =>
      Object.values(it),
    )[0];
    return spec && step > 0 ? spec.starttime + (step - 1) * spec.timestep : null;
  }

  #xlabel(equations: string[]): string {
    const { places, results } = this.cockpit;
    const first = places.find((place) => equations.some((it) => curve(results, place, it)));
    const unit = first && this.cockpit.models[first[0]]?.units.time;
    return unit ? `time [${unit}]` : "time";
  }

  #shown(record: SessionRecord, equations: string[]): string[] {
    const asked = listOf(this.query.get("show"));
    if (this.query.has("show")) return asked.filter((it) => equations.includes(it));
    const models = Object.keys(record.scenarios).map((it) => this.cockpit.models[it]);
    const rank = (name: string): number => {
      const kind = ["stock", "output", "flow"].findIndex((it) =>
        models.some((model) => model?.elements[it]?.includes(name)),
      );
      return kind < 0 ? 3 : kind;
    };
    return [...equations].sort((one, other) => rank(one) - rank(other)).slice(0, SHOWN_AT_FIRST);
  }

  /** Return the equations by their kinds, in the order in which models list these. */
  #groups(equations: string[]): Record<string, string[]> {
    const groups: Record<string, string[]> = {};
    const left = new Set(equations);
    for (const manager of Object.keys(this.cockpit.record?.scenarios ?? {}))
      for (const [kind, names] of Object.entries(this.cockpit.models[manager]?.elements ?? {}))
        for (const name of names) if (left.delete(name)) (groups[kind] ??= []).push(name);
    return left.size ? { ...groups, other: [...left] } : groups;
  }

  get #withParent(): boolean {
    return this.query.get("with") !== "none";
  }

  async #readParent(id: string): Promise<void> {
    this.parent = null;
    this.error = null;
    if (!id) return;
    try {
      const [record, { results: columns }] = await Promise.all([
        get<SessionRecord>(`/runs/${id}`),
        get<SessionResults>(`/runs/${id}/results?points=${POINTS}`),
      ]);
      const results: Results = noResults();
      appendPage(results, columns);
      if (id === this.#parentId) this.parent = { record, results };
    } catch (error) {
      // A parent that has been deleted can't be shown, and that is no fault of this session.
      if (!(error instanceof ApiError && error.status === 404)) this.error = error;
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-session-charts": PSessionCharts;
  }
}
