// <p-datapacks>: the numbers in an experiment's data packs over simulation time, a chart for each pack, as they come.

import { css, html } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { ApiError, get, isAbort } from "../api.js";
import { Part } from "../element.js";
import type { DataPackSamples } from "../types.js";
import "../charted.js";
import type { Series, Zoom } from "./chart.js";
import "./error.js";

const PAUSE = 1_000; // milliseconds between two readings: a simulation reports once a second

/** Says "sampled" with what it has read, and "zoom" with the range that was chosen in one of its charts. */
@customElement("p-datapacks")
export class PDatapacks extends Part {
  static override styles = [
    Part.styles,
    css`
      .charts {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr));
        gap: var(--gap);
      }
    `,
  ];

  /** The run's id. */
  @property() run = "";
  /** Whatever is another one when there are new numbers. */
  @property() version = "";
  /** The run that this one was forked from, whose curves are shown with its own; empty for none. */
  @property() parent = "";
  @property({ attribute: false }) zoom: Zoom | null = null;
  @state() private samples: DataPackSamples | null = null;
  @state() private former: DataPackSamples | null = null;
  @state() private error: unknown = null;
  #wanted = "";
  #read = "";
  #busy: AbortController | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.#read = "";
    this.requestUpdate();
    this.whenGone(() => {
      this.#busy?.abort();
      this.#busy = undefined;
    });
  }

  override willUpdate(): void {
    this.#wanted = `${this.run} ${this.version}`;
    if (!this.#busy && this.#wanted !== this.#read) void this.#look();
  }

  override render() {
    const failed = html`<p-error .error=${this.error} .retry=${() => void this.#look()}></p-error>`;
    const { samples } = this;
    if (!samples) return failed;
    const packs = chartsOf(samples, this.former);
    if (!packs.length)
      return html`${failed}
        <p class="faint">There are no numbers in data packs yet; they come once a second.</p>`;
    return html`${failed}
      <div class="charts">
        ${packs.map(
          ([name, series]) =>
            html`<p-chart
              class="panel"
              heading=${name}
              xlabel="Simulation time in s"
              sync=${`packs of ${this.run}`}
              height="200"
              .zoom=${this.zoom}
              .series=${series}
              @zoom=${(event: CustomEvent<Zoom | null>) => this.#say("zoom", event.detail)}
            ></p-chart>`,
        )}
      </div>`;
  }

  #say(name: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  async #look(): Promise<void> {
    const busy = (this.#busy = new AbortController());
    this.#read = this.#wanted;
    try {
      const { signal } = busy;
      const read = (run: string) => get<DataPackSamples>(`/runs/${run}/datapacks`, { signal });
      // A parent that has been deleted has no curves any more.
      const former = this.parent
        ? read(this.parent).catch((error: unknown) => {
            if (isAbort(error) || !(error instanceof ApiError) || error.status !== 404) throw error;
            return null;
          })
        : null;
      this.samples = await read(this.run);
      this.#say("sampled", this.samples);
      this.former = await former;
      this.error = null;
    } catch (error) {
      if (isAbort(error)) return;
      this.error = error;
    }
    setTimeout(() => {
      if (this.#busy !== busy) return;
      this.#busy = undefined;
      if (this.#wanted !== this.#read) void this.#look();
    }, PAUSE);
  }
}

/** Return the series of each data pack, whose names begin with its engine and its own name; and the parent's. */
function chartsOf(own: DataPackSamples, former: DataPackSamples | null): [string, Series[]][] {
  const packs = new Map<string, Series[]>();
  const add = ({ time, series }: DataPackSamples, of: string, look: Partial<Series>) => {
    for (const [name, y] of Object.entries(series)) {
      const [engine = "", pack = "", ...place] = name.split("/");
      const title = `${engine}: ${pack}`;
      const label = (place.join("/") || pack) + of;
      packs.set(title, [...(packs.get(title) ?? []), { label, x: time, y, ...look }]);
    }
  };
  add(own, "", {});
  if (former) add(former, " · parent", { dash: [8, 4] });
  return [...packs];
}

declare global {
  interface HTMLElementTagNameMap {
    "p-datapacks": PDatapacks;
  }
}
