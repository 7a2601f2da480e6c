// <p-session-history>: the time line of a session, the values at a step of it, forks, savepoints and the tree of forks.

import { css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";
import { get, post } from "../api.js";
import { keep } from "../keep.js";
import { notice } from "../notice.js";
import "../parts/error.js";
import "../parts/timeline.js";
import type { Stop } from "../parts/timeline.js";
import "../parts/tree.js";
import type { PTree } from "../parts/tree.js";
import { RepeatedKey } from "../repeated.js";
import { go } from "../router.js";
import type { Json, Savepoint, SessionRecord, StepLog } from "../types.js";
import { count, figure, titleOf } from "../words.js";
import { equationsOf, placeName, rowAt } from "./curves.js";
import { CockpitPart } from "./observer.js";
import { inWords, isEmpty } from "./settings.js";

interface Values {
  step: number;
  time: number | null;
  /** By place, then by equation. */
  of: Record<string, Json>[];
}

const PAUSE = 150; // milliseconds that the pointer rests before exact values are read

/** Fires `at` with the step that is shown, null for the last. */
@customElement("p-session-history")
export class PSessionHistory extends CockpitPart {
  static override styles = [
    CockpitPart.styles,
    css`
      .values {
        max-height: 20rem;
        margin-top: 0.5rem;
      }
      thead th {
        position: sticky;
        top: 0;
        background: var(--panel);
      }
      tbody th {
        font-weight: 400;
        color: var(--ink);
        min-width: 9rem;
        overflow-wrap: anywhere;
      }
      form {
        margin: 0.75rem 0;
      }
      .two {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr));
        gap: 1rem;
      }
    `,
  ];

  @state() private at: number | null = null;
  @state() private forkAt: number | null = null;
  @state() private error: unknown = null;
  @state() private busy = false;
  @state() private exact: Values | null = null;
  @query("#fork-name") private forkName!: HTMLInputElement | null;
  @query("p-tree") private tree!: PTree | null;

  readonly #key = new RepeatedKey();
  #of: unknown[] = [];
  #made: Stop[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  override render() {
    const { record, length, savepoints } = this.cockpit;
    if (!record) return nothing;
    return html`
      <h2>Time line</h2>
      <div class="panel">
        <p-timeline
          .end=${record.step}
          .length=${length}
          .forkedAt=${record.parent === null ? null : (record.parent_step ?? 0)}
          .stops=${this.#stops()}
          .words=${(at: number) => this.#words(at)}
          .forking=${this.busy}
          @at=${(event: CustomEvent<number>) => this.#show(event.detail)}
          @fork=${(event: CustomEvent<number>) => this.#ask(event.detail)}
        >
          ${this.forkAt === null ? nothing : this.#form(record, this.forkAt)}
          <p-error .error=${this.error}></p-error>
          ${this.#values(record)}
        </p-timeline>
      </div>
      <div class="two">
        <section>
          <h2>Forks</h2>
          <div class="panel"><p-tree run=${record.id}></p-tree></div>
        </section>
        <section>
          <h2>Savepoints</h2>
          <details class="panel" @toggle=${() => void import("../parts/savepoints.js")}>
            <summary>${count(savepoints.length, "savepoint")}: name, pin, take one</summary>
            <p-savepoints
              run=${record.id}
              .savepoints=${savepoints}
              ?takes=${!this.cockpit.ended}
              @changed=${() => this.cockpit.refreshSavepoints()}
              @fork=${(event: CustomEvent<Savepoint>) => this.#ask(event.detail.step)}
            ></p-savepoints>
          </details>
        </section>
      </div>
    `;
  }

  #form(record: SessionRecord, at: number) {
    const whole = at === record.step && record.state === "completed";
    const stoptime = Math.max(
      ...Object.values(record.specs).flatMap((it) =>
        Object.values(it).map((spec) => spec.stoptime),
      ),
    );
    return html`<form class="panel" @submit=${this.#fork} aria-labelledby="fork-title">
      <h3 id="fork-title">Fork at ${this.#words(at)}</h3>
      <p>
        The fork shares the steps up to here and goes on by itself.
        ${
          isEmpty(this.cockpit.unsent)
            ? "Change its values there."
            : "The changes that aren't sent yet are taken along, to be sent with its first step."
        }
      </p>
      <div class="grid">
        <label class="field"
          ><span>Name</span>
          <input id="fork-name" name="name" maxlength="200" placeholder="none" />
        </label>
        <label class="field"
          ><span>Seed of random draws</span>
          <input name="seed" type="number" min="0" step="1" placeholder=${record.seed} />
        </label>
        <label class="field"
          ><span>It ends at time</span>
          <input
            name="stoptime"
            type="number"
            step="any"
            placeholder=${stoptime}
            ?required=${whole}
          />
        </label>
      </div>
      <div class="row">
        <button class="primary" ?disabled=${this.busy}>Make the fork</button>
        <button type="button" @click=${() => (this.forkAt = null)}>Cancel</button>
      </div>
    </form>`;
  }

  #values(record: SessionRecord) {
    const values = this.#valuesAt(this.at ?? record.step);
    if (!values) return nothing;
    const { places } = this.cockpit;
    const { step, time, of } = values;
    return html`<div
      class="scroll values"
      tabindex="0"
      role="region"
      aria-label="Values at the step"
    >
      <table>
        <thead>
          <tr>
            <th scope="col">Step ${figure(step)}, time ${figure(time)}</th>
            ${places.map((place) => html`<th scope="col" class="number">${placeName(place, places)}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${equationsOf(record).map(
            (name) =>
              html`<tr>
                <th scope="row">${name}</th>
                ${of.map((it) => html`<td class="number">${shownAs(it[name])}</td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }

  /** Return the values at a step: as they were read for it, else the nearest that are here. */
  #valuesAt(step: number): Values | null {
    if (this.exact?.step === step) return this.exact;
    const { places, results } = this.cockpit;
    let shown: Pick<Values, "step" | "time"> | null = null;
    const of = places.map(([manager, scenario]) => {
      const columns = results[manager]?.[scenario];
      const row = columns ? rowAt(columns, step) : -1;
      // A scenario that has ended has no values from there on; the last step is here of each.
      if (!columns || row < 0 || step > (columns.step.at(-1) ?? 0)) return {};
      const found = columns.step[row] ?? 0;
      if (!shown || found > shown.step) shown = { step: found, time: columns.time[row] ?? null };
      return Object.fromEntries(
        Object.entries(columns.values).map(([name, values]) => [name, values[row] ?? null]),
      );
    });
    return shown && { ...(shown as Pick<Values, "step" | "time">), of };
  }

  #show(step: number): void {
    const last = this.cockpit.record?.step ?? 0;
    this.at = step === last ? null : step;
    this.dispatchEvent(new CustomEvent("at", { detail: this.at }));
    clearTimeout(this.#timer);
    // Of long sessions not every row is here.
    if (step > 0 && this.#valuesAt(step)?.step !== step)
      this.#timer = setTimeout(() => void this.#readExact(step), PAUSE);
  }

  async #readExact(step: number): Promise<void> {
    const at = `/runs/${this.cockpit.id}/steps?after=${step - 1}&limit=1`;
    // What is near is shown already; a step that can't be read isn't worth an error.
    const row = await get<StepLog>(at).then(
      ({ steps }) => steps[0],
      () => undefined,
    );
    if (!row || row.step !== step) return;
    const found = this.cockpit.places.map(
      ([manager, scenario]) => row.results[manager]?.[scenario],
    );
    const time = found.find((it) => it !== undefined)?.time ?? null;
    this.exact = { step, time, of: found.map((it) => it?.values ?? {}) };
  }

  #stops(): Stop[] {
    const { savepoints, changes } = this.cockpit;
    if (this.#of[0] === savepoints && this.#of[1] === changes) return this.#made;
    this.#of = [savepoints, changes];
    const kept = savepoints.map(({ step, name }): Stop => {
      return { at: step, kind: "savepoint", label: name ? `savepoint “${name}”` : "savepoint" };
    });
    const set = changes.map(({ step, settings }): Stop => {
      return { at: step, kind: "change", label: `set before: ${inWords(settings, figure)}` };
    });
    return (this.#made = [...kept, ...set]);
  }

  #words(at: number): string {
    return at === 0 ? "the start" : `step ${figure(at)}`;
  }

  #ask(at: number): void {
    this.forkAt = at;
    this.error = null;
    void this.updateComplete.then(() => this.forkName?.focus());
  }

  async #fork(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const given = (name: string): string => String(form.get(name) ?? "").trim();
    const body: Record<string, Json> = { step: this.forkAt };
    if (given("name")) body.name = given("name");
    for (const name of ["seed", "stoptime"]) if (given(name)) body[name] = Number(given(name));
    this.busy = true;
    this.error = null;
    try {
      const { id, unsent } = this.cockpit;
      const made = await post<SessionRecord>(`/runs/${id}/fork`, body, {
        key: this.#key.of([id, body]),
      });
      this.#key.done();
      if (!isEmpty(unsent)) keep(made.id, "unsent", unsent as unknown as Json);
      this.forkAt = null;
      notice(`The fork ${titleOf(made)} was made.`);
      go(`/runs/${made.id}`);
      void this.tree?.refresh();
    } catch (error) {
      this.error = error;
    }
    this.busy = false;
  }
}

function shownAs(value: Json | undefined): string {
  if (value === undefined) return "";
  return typeof value === "number" || value === null ? figure(value) : JSON.stringify(value);
}

declare global {
  interface HTMLElementTagNameMap {
    "p-session-history": PSessionHistory;
  }
}
