// <p-fork-files>: a fork of an experiment with other files: another script or configuration, or the newest of all.

import { html } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { ApiError, get } from "../api.js";
import { Part } from "../element.js";
import type { Experiment, Json } from "../types.js";
import "./error.js";

/** Fires `fork` with what is to be different (`detail`), as `POST /runs/{id}/fork` takes it. */
@customElement("p-fork-files")
export class PForkFiles extends Part {
  @property() experiment = "";
  @property() configuration = "";
  @property() script = "";
  /** Where the fork begins, in words. */
  @property() where = "";
  @property({ type: Boolean }) disabled = false;

  @state() private paths: string[] = [];
  @state() private error: unknown = null;

  override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (changed.has("experiment")) void this.#read();
  }

  override render() {
    return html`<p-error .error=${this.error} .retry=${() => void this.#read()}></p-error>
      <form @submit=${this.#fork}>
        <p class="faint">
          With another script, or one that has changed, the script starts at its top, on the
          engines, files and time of the savepoint.
        </p>
        <div class="grid">
          ${this.#path("script", "Main script", ".py", this.script)}
          ${this.#path("configuration", "Configuration", ".json", this.configuration)}
        </div>
        <p>
          <label class="check"
            ><input type="checkbox" name="newest" /> Take its files as they are stored now</label
          >
        </p>
        <button ?disabled=${this.disabled}>Fork with these files (${this.where})</button>
      </form>`;
  }

  /** A path that can be typed too: the run's version may have files that aren't stored any more. */
  #path(name: string, label: string, suffix: string, usual: string) {
    return html`<label class="field"
      ><span>${label}</span>
      <input name=${name} list=${`${name}-paths`} placeholder=${usual || "none"} />
      <datalist id=${`${name}-paths`}>
        ${this.paths.filter((it) => it.endsWith(suffix)).map((it) => html`<option value=${it}></option>`)}
      </datalist>
    </label>`;
  }

  #fork(event: SubmitEvent): void {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const changes: Record<string, Json> = {};
    for (const name of ["script", "configuration"]) {
      const path = String(form.get(name)).trim();
      if (path) changes[name] = path;
    }
    if (form.get("newest")) changes.newest = true;
    this.dispatchEvent(new CustomEvent("fork", { detail: changes }));
  }

  async #read(): Promise<void> {
    this.error = null;
    try {
      const { files } = await get<Experiment>(
        `/experiments/${encodeURIComponent(this.experiment)}`,
      );
      this.paths = files.map(({ path }) => path);
    } catch (error) {
      this.paths = [];
      // Runs outlive their experiment; its paths are only suggestions.
      if (!(error instanceof ApiError && error.status === 404)) this.error = error;
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-fork-files": PForkFiles;
  }
}
