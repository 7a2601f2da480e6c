// <p-files>: the files that a run wrote, as downloads; SVG is shown as an image on request.

import { css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { ApiError, get } from "../api.js";
import { path } from "../base.js";
import { Part } from "../element.js";
import type { FileRecord } from "../types.js";
import { bytes, count } from "../words.js";
import "./error.js";
import "./picture.js";

const AGAIN = 2_000; // milliseconds, while the files are being stored
const AT_ONCE = 200; // files that are listed before more are asked for

@customElement("p-files")
export class PFiles extends Part {
  static override styles = [
    Part.styles,
    css`
      td:first-child {
        overflow-wrap: anywhere;
      }
    `,
  ];

  /** The id of the run, which has ended. */
  @property() run = "";
  @state() private files: FileRecord[] | null = null;
  @state() private pending = false;
  @state() private error: unknown = null;
  @state() private shown: ReadonlySet<string> = new Set();
  @state() private most = AT_ONCE;
  #read = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.#read = "";
    this.requestUpdate();
    this.whenLive(() => this.error !== null && this.#list(this.run));
    this.whenGone(() => clearTimeout(this.#timer));
  }

  override willUpdate(): void {
    if (this.run === this.#read) return;
    this.#read = this.run;
    this.files = null;
    void this.#list(this.run);
  }

  override render() {
    const trajectory = html`<a
      class="button"
      download=${`${this.run}.trajectory.jsonl`}
      href=${path(`/runs/${this.run}/trajectory`)}
      >Trajectory</a
    >`;
    const { files } = this;
    return html`<div class="row">
        ${trajectory}
        ${
          files?.length
            ? html`<a class="button" download href=${path(`/runs/${this.run}/files.zip`)}
                  >All files as a zip</a
                ><span class="faint"
                  >${count(files.length, "file")},
                  ${bytes(files.reduce((sum, it) => sum + it.size, 0))}</span
                >`
            : nothing
        }
      </div>
      <p role="status">
        ${this.pending ? "The files are being stored…" : files?.length === 0 ? "It wrote no files." : ""}
      </p>
      <p-error .error=${this.error} .retry=${() => void this.#list(this.run)}></p-error>
      ${files?.length ? this.#table(files) : nothing}`;
  }

  #table(files: FileRecord[]) {
    return html`<div class="scroll" tabindex="0" role="region" aria-label="List of files">
        <table>
          <thead>
            <tr>
              <th>File</th>
              <th class="number">Size</th>
            </tr>
          </thead>
          <tbody>
            ${files.slice(0, this.most).map((file) => this.#row(file))}
          </tbody>
        </table>
      </div>
      ${
        files.length > this.most
          ? html`<button @click=${() => (this.most += 5 * AT_ONCE)}>List more</button>`
          : nothing
      }`;
  }

  #row(file: FileRecord) {
    const at = `/runs/${this.run}/files/${file.path.split("/").map(encodeURIComponent).join("/")}`;
    const isPicture = /\.svg$/i.test(file.path);
    const shown = this.shown.has(file.path);
    return html`<tr>
      <td>
        <a download href=${path(at)}>${file.path}</a>
        ${
          isPicture
            ? html`<button
                aria-expanded=${shown}
                aria-label=${`Show ${file.path}`}
                @click=${() => this.#toggle(file.path)}
              >
                ${shown ? "Hide" : "Show"}
              </button>`
            : nothing
        }
        ${
          shown
            ? html`<p-picture .src=${at} .version=${file.sha256} .alt=${file.path}></p-picture>`
            : nothing
        }
      </td>
      <td class="number">${bytes(file.size)}</td>
    </tr>`;
  }

  #toggle(name: string): void {
    const shown = new Set(this.shown);
    if (!shown.delete(name)) shown.add(name);
    this.shown = shown;
  }

  async #list(run: string): Promise<void> {
    this.error = null;
    try {
      const { files } = await get<{ files: FileRecord[] }>(`/runs/${run}/files`);
      if (run !== this.#read) return;
      this.files = files;
      this.pending = false;
    } catch (error) {
      this.pending = error instanceof ApiError && error.code === "results_pending";
      if (this.pending) this.#timer = setTimeout(() => void this.#list(run), AGAIN);
      else this.error = error;
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-files": PFiles;
  }
}
