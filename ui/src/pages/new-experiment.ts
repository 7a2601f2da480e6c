// <page-new-experiment>: upload an experiment, or take one that is stored, and make a run of it.

import { css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { ApiError, del, get, post, put, send } from "../api.js";
import { path } from "../base.js";
import type { Chosen } from "../dropped.js";
import { Part, valueOf } from "../element.js";
import { confirm } from "../parts/dialog.js";
import "../parts/error.js";
import "../parts/upload.js";
import { RepeatedKey } from "../repeated.js";
import { go, type Route } from "../router.js";
import type { Experiment, ExperimentRun, ExperimentSummary } from "../types.js";
import { bytes, count, tagsOf, when } from "../words.js";
import { zipOf } from "../zip.js";

const NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,79}";
const CONFIGURATION = "simulation_config.json";
const SCRIPT = "main_script.py";

@customElement("page-new-experiment")
export class PageNewExperiment extends Part {
  static override styles = [
    Part.styles,
    css`
      .send {
        align-items: end;
      }
      .send button {
        margin-bottom: 0.6rem;
      }
      .send .field {
        flex: 0 1 20rem;
      }
    `,
  ];

  @property({ attribute: false }) route!: Route;
  @state() private stored: ExperimentSummary[] | null = null;
  @state() private listError: unknown = null;
  @state() private chosen: Chosen | null = null;
  @state() private name = "";
  @state() private uploadError: unknown = null;
  @state() private experiment: Experiment | null = null;
  @state() private error: unknown = null;
  @state() private busy = "";
  #key = new RepeatedKey();

  override connectedCallback(): void {
    super.connectedCallback();
    this.whenLive(() => this.listError !== null && this.#list());
    void this.#list();
  }

  override render() {
    return html`<h1>New experiment</h1>
      <p>
        An experiment is a folder with a <code>${CONFIGURATION}</code>, the files of its engines,
        and a script. A run works in a copy of its own.
      </p>
      <section aria-labelledby="which">
        <h2 id="which">1. The experiment</h2>
        <p-upload
          .chosen=${this.chosen}
          ?disabled=${this.busy !== ""}
          @chosen=${(event: CustomEvent<Chosen>) => this.#picked(event.detail)}
        ></p-upload>
        ${this.chosen ? this.#sending() : nothing}
        <p-error .error=${this.uploadError}></p-error>
        <h3>Or take one that is stored</h3>
        ${this.#storedOnes()}
        <p-error .error=${this.listError} .retry=${() => void this.#list()}></p-error>
      </section>
      ${this.experiment ? this.#making(this.experiment) : nothing}`;
  }

  #sending() {
    return html`<form class="row send" @submit=${this.#send}>
      <label class="field"
        ><span>Name of the experiment</span>
        <input
          required
          pattern=${NAME}
          maxlength="80"
          title="Letters, digits, dots, dashes and underscores; a letter or a digit first."
          .value=${this.name}
          @input=${(event: Event) => (this.name = valueOf(event))}
        />
      </label>
      <button class="primary" ?disabled=${this.busy !== ""}>${this.busy || "Upload"}</button>
    </form>`;
  }

  #storedOnes() {
    if (!this.stored) return this.listError === null ? html`<p>Reading…</p>` : nothing;
    if (!this.stored.length) return html`<p class="faint">None is stored yet.</p>`;
    return html`<div class="scroll" tabindex="0" role="region" aria-label="Stored experiments">
      <table>
        <thead>
          <tr>
            <th>Name</th>
            <th class="number">Size</th>
            <th>Changed</th>
            <th>Take it</th>
          </tr>
        </thead>
        <tbody>
          ${this.stored.map(
            (it) =>
              html`<tr>
                <td>${it.name}</td>
                <td class="number">${bytes(it.size)}</td>
                <td>${when(it.modified)}</td>
                <td>
                  <div class="row">
                    <button
                      aria-label=${`Take ${it.name}`}
                      aria-pressed=${this.experiment?.name === it.name}
                      @click=${() => void this.#take(it.name)}
                    >
                      Take
                    </button>
                    <a
                      class="button"
                      download
                      aria-label=${`Zip of ${it.name}`}
                      href=${path(`/experiments/${it.name}/zip`)}
                      >Zip</a
                    >
                  </div>
                </td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }

  #making({ name, files }: Experiment) {
    const of = (suffix: string) => files.map((it) => it.path).filter((it) => it.endsWith(suffix));
    return html`<section aria-labelledby="run">
      <h2 id="run" tabindex="-1">2. A run of ${name}</h2>
      <p class="faint">
        ${count(files.length, "file")}, ${bytes(files.reduce((sum, it) => sum + it.size, 0))}
      </p>
      <form @submit=${this.#make}>
        <div class="grid">
          ${this.#choice("configuration", "Configuration", of(".json"), CONFIGURATION)}
          ${this.#choice("script", "Main script", of(".py"), SCRIPT)}
          <label class="field"
            ><span>Name of the run</span><input name="name" maxlength="200"
          /></label>
          <label class="field"><span>Tags, separated by spaces</span><input name="tags" /></label>
          <label class="field"
            ><span>Seed of the random draws</span
            ><input name="seed" type="number" min="0" step="1" placeholder="one is made"
          /></label>
        </div>
        <p>
          <label class="check"
            ><input type="checkbox" name="start" checked /> Start it at once</label
          >
        </p>
        <button class="primary" ?disabled=${this.busy !== ""}>
          ${this.busy || "Make the run"}
        </button>
      </form>
      <p-error .error=${this.error}></p-error>
    </section>`;
  }

  #choice(field: string, label: string, paths: string[], usual: string) {
    const all = paths.includes(usual) ? paths : [usual, ...paths];
    return html`<label class="field"
      ><span>${label}</span>
      <select name=${field}>
        ${all.map((it) => html`<option ?selected=${it === usual}>${it}</option>`)}
      </select>
    </label>`;
  }

  #picked(chosen: Chosen): void {
    this.uploadError = null;
    if (!chosen.zip && !chosen.entries.length) {
      this.chosen = null;
      this.uploadError = new Error("There is no file in it that isn't hidden.");
      return;
    }
    this.chosen = chosen;
    this.name = chosen.name;
  }

  async #send(event: Event): Promise<void> {
    event.preventDefault();
    const { chosen, name } = this;
    if (!chosen) return;
    this.uploadError = null;
    try {
      this.busy = "Zipping…";
      const zip = chosen.zip ?? (await zipOf(chosen.entries));
      this.busy = "Uploading…";
      const made = await this.#upload(name, zip);
      if (made) await this.#taken(made);
    } catch (error) {
      this.uploadError = error;
    }
    this.busy = "";
  }

  /** Send a zip; what is stored under its name is replaced only if that is wanted. */
  async #upload(name: string, zip: Blob): Promise<Experiment | null> {
    const to = `/experiments?name=${encodeURIComponent(name)}`;
    const sent = () => send<Experiment>("POST", to, zip, "application/zip");
    try {
      return await sent();
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "experiment_exists") throw error;
    }
    const details = "Runs that were made of it keep the files that they have.";
    const question = { action: "Replace it", danger: true, details };
    if (!(await confirm(`Replace the experiment ${name}, which has other files?`, question)))
      return null;
    await del(`/experiments/${encodeURIComponent(name)}`);
    return sent();
  }

  async #take(name: string): Promise<void> {
    this.listError = null;
    try {
      await this.#taken(await get<Experiment>(`/experiments/${encodeURIComponent(name)}`));
    } catch (error) {
      this.listError = error;
    }
  }

  async #taken(experiment: Experiment): Promise<void> {
    this.experiment = experiment;
    this.error = null;
    if (!this.stored?.some((it) => it.name === experiment.name)) void this.#list();
    await this.updateComplete;
    this.renderRoot.querySelector<HTMLElement>("#run")?.focus();
  }

  async #list(): Promise<void> {
    this.listError = null;
    try {
      this.stored = (await get<{ experiments: ExperimentSummary[] }>("/experiments")).experiments;
    } catch (error) {
      this.listError = error;
    }
  }

  async #make(event: Event): Promise<void> {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const text = (field: string) => String(form.get(field) ?? "").trim();
    this.error = null;
    this.busy = "Loading the engines…";
    try {
      const body = {
        kind: "experiment",
        experiment: this.experiment!.name,
        configuration: text("configuration"),
        script: text("script"),
        name: text("name"),
        tags: tagsOf(text("tags")),
        ...(text("seed") ? { seed: Number(text("seed")) } : {}),
      };
      const run = await post<ExperimentRun>("/runs", body, { key: this.#key.of(body) });
      if (form.get("start") && run.state === "paused")
        await put(`/runs/${run.id}/state`, { state: "started" });
      this.#key.done();
      go(`/runs/${run.id}`);
    } catch (error) {
      this.error = error;
    }
    this.busy = "";
  }
}
