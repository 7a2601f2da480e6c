// <p-picture>: an SVG that a run has made. It is only ever an image, in which nothing runs and nothing is loaded.

import { css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { fetched, isAbort } from "../api.js";
import { Part } from "../element.js";
import "./error.js";

const LARGEST = 5_000_000; // bytes

@customElement("p-picture")
export class PPicture extends Part {
  static override styles = [
    Part.styles,
    css`
      img {
        display: block;
        max-width: 100%;
        height: auto;
        background: #fff;
        border: 1px solid var(--line);
        border-radius: 6px;
      }
      .place {
        min-height: 6rem;
      }
    `,
  ];

  /** A path of the API that answers the SVG. */
  @property() src = "";
  @property() alt = "";
  /** Whatever is another one when the picture is. */
  @property() version = "";

  @state() private url = "";
  @state() private error: unknown = null;
  #shown = "";
  #reading: AbortController | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.#shown = "";
    this.requestUpdate();
    this.whenLive(() => this.error !== null && this.#load());
    this.whenGone(() => {
      this.#reading?.abort();
      this.#show("");
    });
  }

  override willUpdate(): void {
    const wanted = `${this.src} ${this.version}`;
    if (wanted === this.#shown) return;
    this.#shown = wanted;
    void this.#load();
  }

  override render() {
    return html`${
        this.url
          ? html`<img src=${this.url} alt=${this.alt} />`
          : this.error === null
            ? html`<p class="place faint">Drawing…</p>`
            : nothing
      }<p-error .error=${this.error} .retry=${() => void this.#load()}></p-error>`;
  }

  async #load(): Promise<void> {
    this.#reading?.abort();
    const { signal } = (this.#reading = new AbortController());
    this.error = null;
    try {
      const answer = await fetched(this.src, { signal });
      if (Number(answer.headers.get("Content-Length") ?? 0) > LARGEST) {
        await answer.body?.cancel();
        throw new Error("The picture is too large to be shown; download it.");
      }
      const data = await answer.blob();
      if (signal.aborted) return;
      this.#show(URL.createObjectURL(new Blob([data], { type: "image/svg+xml" })));
    } catch (error) {
      if (isAbort(error)) return;
      this.#show("");
      this.error = error;
    }
  }

  #show(url: string): void {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = url;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-picture": PPicture;
  }
}
