// <p-upload>: an experiment from the disk: a zip or a folder, chosen or dropped.

import { css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { ofDrop, ofFiles, type Chosen } from "../dropped.js";
import { Part } from "../element.js";
import { bytes, count } from "../words.js";

/** Says "chosen" with a `Chosen` as its detail. */
@customElement("p-upload")
export class PUpload extends Part {
  static override styles = [
    Part.styles,
    css`
      .drop {
        border: 2px dashed var(--field);
        border-radius: 8px;
        padding: 1.2rem 1rem;
        text-align: center;
        background: var(--panel);
      }
      .drop.over {
        border-color: var(--accent);
        background: var(--soft);
      }
      .row {
        justify-content: center;
      }
      ul {
        columns: 16rem;
        text-align: left;
        padding-left: 1.2rem;
        margin: 0.5rem 0 0;
        overflow-wrap: anywhere;
      }
    `,
  ];

  @property({ attribute: false }) chosen: Chosen | null = null;
  @property({ type: Boolean }) disabled = false;
  @state() private over = false;
  @state() private reading = false;
  @query("#folder") private folder!: HTMLInputElement;
  @query("#zip") private zip!: HTMLInputElement;

  override firstUpdated(): void {
    this.folder.webkitdirectory = true;
  }

  override render() {
    return html`<div
      class="drop ${this.over ? "over" : ""}"
      @dragover=${this.#dragged}
      @dragleave=${() => (this.over = false)}
      @drop=${this.#dropped}
    >
      <p>Drop a folder or a zip here, or choose one:</p>
      <div class="row">
        <button ?disabled=${this.disabled} @click=${() => this.folder.click()}>
          Choose a folder…
        </button>
        <button ?disabled=${this.disabled} @click=${() => this.zip.click()}>Choose a zip…</button>
      </div>
      <input id="folder" type="file" hidden aria-label="A folder" @change=${this.#picked} />
      <input id="zip" type="file" accept=".zip" hidden aria-label="A zip" @change=${this.#picked} />
      <div role="status">${this.reading ? "Reading the folder…" : this.#found()}</div>
    </div>`;
  }

  #found() {
    const { chosen } = this;
    if (!chosen) return nothing;
    if (chosen.zip) return html`<p><b>${chosen.zip.name}</b>, ${bytes(chosen.zip.size)}</p>`;
    const size = chosen.entries.reduce((sum, { file }) => sum + file.size, 0);
    const shown = chosen.entries.slice(0, 40);
    const more = chosen.entries.length - shown.length;
    return html`<p>
        ${count(chosen.entries.length, "file")},
        ${bytes(size)}${
          chosen.left
            ? `; ${count(chosen.left, "file")} in hidden folders, hidden, or of Python's cache, left out`
            : ""
        }
      </p>
      <ul>
        ${shown.map(({ path }) => html`<li class="mono">${path}</li>`)}
        ${more > 0 ? html`<li>and ${count(more, "other")}</li>` : nothing}
      </ul>`;
  }

  #dragged(event: DragEvent): void {
    event.preventDefault();
    this.over = !this.disabled;
  }

  async #dropped(event: DragEvent): Promise<void> {
    event.preventDefault();
    this.over = false;
    if (this.disabled || !event.dataTransfer) return;
    this.reading = true;
    try {
      this.#choose(await ofDrop(event.dataTransfer));
    } finally {
      this.reading = false;
    }
  }

  #picked(event: Event): void {
    const input = event.target as HTMLInputElement;
    if (input.files?.length) this.#choose(ofFiles(input.files));
    input.value = "";
  }

  #choose(chosen: Chosen): void {
    this.dispatchEvent(new CustomEvent("chosen", { detail: chosen }));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-upload": PUpload;
  }
}
