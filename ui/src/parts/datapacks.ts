// <p-datapacks>: the numbers in an experiment's data packs over simulation time, a chart for each pack, as they come.

import { css, html } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { get, isAbort } from "../api.js";
import { Part } from "../element.js";
import type { DataPackSamples } from "../types.js";
import "./chart.js";
import type { Series } from "./chart.js";
import "./error.js";

const PAUSE = 1_000; // milliseconds between two readings: a simulation reports once a second

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
  @state() private samples: DataPackSamples | null = null;
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
    const packs = chartsOf(samples);
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
              .series=${series}
            ></p-chart>`,
        )}
      </div>`;
  }

  async #look(): Promise<void> {
    const busy = (this.#busy = new AbortController());
    this.#read = this.#wanted;
    try {
      const { signal } = busy;
      this.samples = await get<DataPackSamples>(`/runs/${this.run}/datapacks`, { signal });
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

/** Return the series of each data pack, whose names begin with its engine and its own name. */
function chartsOf({ time, series }: DataPackSamples): [string, Series[]][] {
  const packs = new Map<string, Series[]>();
  for (const [name, y] of Object.entries(series)) {
    const [engine = "", pack = "", ...place] = name.split("/");
    const title = `${engine}: ${pack}`;
    const label = place.join("/") || pack;
    packs.set(title, [...(packs.get(title) ?? []), { label, x: time, y }]);
  }
  return [...packs];
}

declare global {
  interface HTMLElementTagNameMap {
    "p-datapacks": PDatapacks;
  }
}
