// <p-datapacks>: the numbers in an experiment's data packs over simulation time, a chart for each pack, as they come.

import { css, html, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { ApiError, get, isAbort } from "../api.js";
import { Part } from "../element.js";
import { ReadAgain } from "../read-again.js";
import type { DataPackSamples } from "../types.js";
import "../charted.js";
import type { Series, Zoom } from "./chart.js";
import "./error.js";

const PAUSE = 1_000; // milliseconds between two readings: a simulation reports once a second
const PARENT_EVERY = 10; // readings between two of the parent, which changes rarely

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
  #readings = 0; // of this run
  #again = new ReadAgain((signal) => this.#read(signal), PAUSE);

  override connectedCallback(): void {
    super.connectedCallback();
    this.whenLive(() => this.error !== null && this.#again.soon());
    if (this.hasUpdated) this.#again.soon();
    this.whenGone(() => this.#again.close());
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("run")) {
      this.samples = this.former = null;
      this.#readings = 0;
      this.#again.close();
    }
    if (changed.has("run") || changed.has("version")) this.#again.soon();
  }

  override render() {
    const failed = html`<p-error
      .error=${this.error}
      .retry=${() => this.#again.soon()}
    ></p-error>`;
    const { samples } = this;
    if (!samples) return failed;
    const packs = chartsOf(samples, this.former);
    if (!packs.length)
      return html`${failed}
        <p class="faint">There are no numbers in data packs yet; they come once a second.</p>`;
    return html`${failed}
      <div class="charts">
        ${repeat(
          packs,
          ([name]) => name,
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

  async #read(signal: AbortSignal): Promise<void> {
    try {
      const read = (run: string) => get<DataPackSamples>(`/runs/${run}/datapacks`, { signal });
      const turn = this.#readings % PARENT_EVERY === 0;
      const former = this.parent && turn ? read(this.parent).catch(gone) : this.former;
      this.samples = await read(this.run);
      this.#say("sampled", this.samples);
      this.former = await former;
      this.error = null;
      this.#readings++;
    } catch (error) {
      if (!isAbort(error)) this.error = error;
    }
  }
}

/** Take a run that has been deleted for one without curves. */
function gone(error: unknown): null {
  if (error instanceof ApiError && error.status === 404) return null;
  throw error;
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
