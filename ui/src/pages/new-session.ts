// <page-new-session>: a session made of managers, scenarios and equations that are picked.

import { css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { get, post } from "../api.js";
import { Part, valueOf } from "../element.js";
import { keep, kept } from "../keep.js";
import "../parts/choice.js";
import "../parts/error.js";
import { RepeatedKey } from "../repeated.js";
import { go, type Route } from "../router.js";
import type { Json, Manager, ManagerList, SessionRecord } from "../types.js";
import { count, figure, tagsOf } from "../words.js";

/** What is picked and typed; it survives a reload. */
type Draft = {
  scenarios: Record<string, string[]>;
  /** By manager; none means all. */
  outputs: Record<string, string[]>;
  name: string;
  tags: string;
  seed: string;
  dt: string;
};

const EMPTY: Draft = { scenarios: {}, outputs: {}, name: "", tags: "", seed: "", dt: "" };

@customElement("page-new-session")
export class PageNewSession extends Part {
  static override styles = [
    Part.styles,
    css`
      .manager {
        margin-bottom: 0.75rem;
      }
      h2 {
        margin: 0;
      }
      .scenarios {
        display: flex;
        flex-wrap: wrap;
        gap: 0.4rem 1.25rem;
      }
    `,
  ];

  @property({ attribute: false }) route!: Route;

  @state() private list: ManagerList | null = null;
  @state() private draft: Draft = { ...EMPTY, ...kept<Draft>("new-session", "draft") };
  @state() private error: unknown = null;
  @state() private busy = false;
  @state() private search = "";

  readonly #key = new RepeatedKey();

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#read();
  }

  override render() {
    const managers = Object.entries(this.list?.managers ?? {}).filter(([name]) =>
      name.toLowerCase().includes(this.search.toLowerCase()),
    );
    const chosen = this.#chosen();
    const scenarios = chosen.flatMap(([, names]) => names).length;
    return html`
      <h1>New session</h1>
      <p>Pick scenarios; each step then answers all of them.</p>
      <p-error .error=${this.error} .retry=${this.list ? null : () => void this.#read()}></p-error>
      ${this.list ? nothing : html`<p role="status">Reading the models…</p>`}
      ${
        Object.keys(this.list?.managers ?? {}).length > 8
          ? html`<label class="field"
              ><span>Find a model</span
              ><input
                type="search"
                .value=${this.search}
                @input=${(event: Event) => (this.search = valueOf(event))}
            /></label>`
          : nothing
      }
      <form @submit=${this.#create}>
        ${managers.map(([name, manager], at) => this.#manager(name, manager, at))}
        ${this.#unusable()}
        <section class="panel">
          <h2>Details</h2>
          <div class="grid">
            ${this.#field("name", "Name", { maxlength: 200, placeholder: "none" })}
            ${this.#field("tags", "Tags, separated by spaces", { placeholder: "none" })}
            ${this.#field("seed", "Seed of random draws", { type: "number", min: 0, placeholder: "one is made" })}
            ${this.#field("dt", "Time between two answers", { type: "number", min: 0, placeholder: "each scenario's own" })}
          </div>
          <div class="row">
            <button class="primary" ?disabled=${this.busy || !scenarios}>Start the session</button>
            <span class="faint" role="status"
              >${scenarios ? `${count(scenarios, "scenario")} picked` : "Pick at least one scenario."}</span
            >
          </div>
        </section>
      </form>
    `;
  }

  #manager(name: string, manager: Manager, at: number) {
    const picked = this.draft.scenarios[name] ?? [];
    const { starttime, stoptime, dt } = manager.run_specs;
    const outputs = this.draft.outputs[name] ?? [];
    return html`<section class="panel manager" aria-labelledby=${`manager-${at}`}>
      <div class="row spread">
        <h2 id=${`manager-${at}`}>${name}</h2>
        <span class="faint"
          >${manager.engine === "system_dynamics" ? "system dynamics" : manager.engine}, time
          ${figure(starttime)} to ${figure(stoptime)} in steps of ${figure(dt)}</span
        >
      </div>
      ${manager.problems.map((problem) => html`<p class="faint">${problem}</p>`)}
      <fieldset>
        <legend>Scenarios</legend>
        <div class="scenarios">
          ${Object.keys(manager.scenarios).map(
            (scenario) =>
              html`<label class="check"
                ><input
                  type="checkbox"
                  .checked=${picked.includes(scenario)}
                  @change=${() => this.#toggle(name, scenario)}
                />
                ${scenario}</label
              >`,
          )}
        </div>
      </fieldset>
      ${
        picked.length
          ? html`<p-choice
                label=${`Equations of ${name}`}
                .groups=${manager.elements}
                .chosen=${outputs}
                @choice=${(event: CustomEvent<string[]>) =>
                  this.#change({ outputs: { ...this.draft.outputs, [name]: event.detail } })}
              ></p-choice>
              <p class="faint">${outputs.length ? "" : "None picked: all are answered."}</p>`
          : nothing
      }
    </section>`;
  }

  #unusable() {
    const all = Object.entries(this.list?.unusable ?? {});
    if (!all.length) return nothing;
    return html`<section class="panel manager">
      <h2>Models that can't be used</h2>
      <ul>
        ${all.map(([name, reason]) => html`<li><strong>${name}</strong>: ${reason}</li>`)}
      </ul>
    </section>`;
  }

  #field(
    name: "name" | "tags" | "seed" | "dt",
    label: string,
    { type = "text", min, maxlength, placeholder = "" }: FieldOptions,
  ) {
    return html`<label class="field"
      ><span>${label}</span>
      <input
        type=${type}
        min=${min ?? nothing}
        step=${type === "number" ? (name === "seed" ? 1 : "any") : nothing}
        maxlength=${maxlength ?? nothing}
        placeholder=${placeholder}
        .value=${this.draft[name]}
        @input=${(event: Event) => this.#change({ [name]: valueOf(event) })}
      />
    </label>`;
  }

  #toggle(manager: string, scenario: string): void {
    const all = Object.keys(this.list?.managers[manager]?.scenarios ?? {});
    const picked = new Set(this.draft.scenarios[manager]);
    if (!picked.delete(scenario)) picked.add(scenario);
    const scenarios = { ...this.draft.scenarios, [manager]: all.filter((it) => picked.has(it)) };
    this.#change({ scenarios });
  }

  #change(change: Partial<Draft>): void {
    this.draft = { ...this.draft, ...change };
    keep("new-session", "draft", this.draft);
  }

  /** Return the managers that scenarios are picked of, as far as they are still there. */
  #chosen(): [string, string[]][] {
    return Object.entries(this.draft.scenarios)
      .map(([manager, names]): [string, string[]] => {
        const known = this.list?.managers[manager]?.scenarios ?? {};
        return [manager, names.filter((name) => name in known)];
      })
      .filter(([, names]) => names.length);
  }

  /** Pick the first scenario of the manager that a link has named, unless something is picked. */
  #choose(name: string | null): void {
    const scenarios = Object.keys(this.list?.managers[name ?? ""]?.scenarios ?? {}).slice(0, 1);
    if (name !== null && scenarios.length && !this.#chosen().length)
      this.draft = { ...this.draft, scenarios: { [name]: scenarios } };
  }

  async #read(): Promise<void> {
    this.error = null;
    try {
      this.list = await get<ManagerList>("/models");
      this.#choose(this.route.query.get("manager"));
    } catch (error) {
      this.error = error;
    }
  }

  async #create(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const { name, tags, seed, dt } = this.draft;
    const chosen = this.#chosen();
    // Those that a manager has no choice of are all answered; then the others' are named one by one.
    const several = chosen.some(([manager]) => this.draft.outputs[manager]?.length);
    const outputs = !several
      ? []
      : chosen.flatMap(([manager]) => {
          const picked = this.draft.outputs[manager] ?? [];
          return picked.length
            ? picked
            : Object.values(this.list?.managers[manager]?.elements ?? {}).flat();
        });
    const body: Record<string, Json> = {
      kind: "session",
      scenarios: Object.fromEntries(chosen),
      outputs: [...new Set(outputs)],
      name: name.trim(),
      tags: tagsOf(tags),
    };
    if (seed) body.seed = Number(seed);
    if (dt) body.dt = Number(dt);
    this.busy = true;
    this.error = null;
    try {
      const made = await post<SessionRecord>("/runs", body, { key: this.#key.of(body) });
      this.#key.done();
      keep("new-session", "draft", null);
      go(`/runs/${made.id}`);
    } catch (error) {
      this.error = error;
    }
    this.busy = false;
  }
}

interface FieldOptions {
  type?: "text" | "number";
  min?: number;
  maxlength?: number;
  placeholder?: string;
}

declare global {
  interface HTMLElementTagNameMap {
    "page-new-session": PageNewSession;
  }
}
