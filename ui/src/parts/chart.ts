// <p-chart>: curves over a common axis, with a legend that switches them, a table of the same data, and a picture.

import { html, nothing, svg, type PropertyValues } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import uPlot from "uplot";

import { Part } from "../element.js";
import { exact, figure } from "../words.js";
import { alone, joined, type Series } from "./chart-data.js";
import { drawMarks, type Mark } from "./chart-marks.js";
import { savePicture } from "./chart-picture.js";
import { chartStyles } from "./chart-styles.js";
import type { Column } from "./table.js";

export type { Series } from "./chart-data.js";
export type { Mark } from "./chart-marks.js";

export type Zoom = [number, number];

/** The number of colours in the palette, `--curve-0` and on. */
export const COLORS = 8;
/** The dashes that tell apart curves of one colour. */
export const DASHES: (number[] | undefined)[] = [undefined, [8, 4], [2, 3], [10, 3, 2, 3], [14, 5]];

const FONT = "12px system-ui, sans-serif";

/** Fires `zoom` with the chosen range (`detail`), null for all of it. */
@customElement("p-chart")
export class PChart extends Part {
  static override styles = [Part.styles, chartStyles];

  @property({ attribute: false }) series: Series[] = [];
  @property({ attribute: false }) marks: Mark[] = [];
  @property({ attribute: false }) zoom: Zoom | null = null;
  @property() heading = "";
  @property() xlabel = "";
  /** Charts with the same text here move their cursors together. */
  @property() sync = "";
  @property({ type: Number }) height = 260;

  @state() private off: ReadonlySet<string> = new Set();
  @state() private index: number | null = null;
  @state() private asTable = false;
  @state() private spoken = "";

  @query(".plot") private frame!: HTMLElement;
  @query(".probe") private probe!: HTMLElement;

  #plot: uPlot | null = null;
  #data: uPlot.AlignedData = [[]];
  #empty = true; // whether no curve has a value
  #drawn = "";
  #resizes = new ResizeObserver(() => this.#resize());

  override connectedCallback(): void {
    super.connectedCallback();
    this.listen(window, "theme", () => this.#plot?.redraw(false, true));
    if (this.hasUpdated) this.requestUpdate("series");
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#resizes.disconnect();
    this.#discard();
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has("series")) return;
    this.#data = joined(this.series);
    this.#empty = !this.series.some(({ y }) => Array.prototype.some.call(y, isValue));
  }

  override updated(changed: PropertyValues): void {
    if (this.asTable) return this.#discard();
    const look = JSON.stringify([
      this.series.map(({ label, unit, color, dash }) => [label, unit, color, dash]),
      [...this.off],
      this.xlabel,
      this.sync,
      this.height,
    ]);
    if (this.#plot === null || look !== this.#drawn) {
      this.#discard();
      this.#drawn = look;
      this.#plot = new uPlot(this.#options(), this.#data, this.frame);
      this.#resizes.observe(this.frame);
    } else if (changed.has("series") || changed.has("zoom")) {
      this.#plot.setData(this.#data, true);
    } else if (changed.has("marks")) {
      this.#plot.redraw(false, false);
    }
  }

  override render() {
    const unit = this.#unit;
    const name = this.heading || this.series.map(({ label }) => label).join(", ") || "Chart";
    return html`
      <div class="head">
        ${
          this.heading
            ? html`<h3>
                ${this.heading}${unit ? html` <small class="faint">[${unit}]</small>` : nothing}
              </h3>`
            : nothing
        }
        <div class="tools">
          ${
            this.zoom && !this.asTable
              ? html`<button @click=${this.#all}>All times</button>`
              : nothing
          }
          <button
            aria-pressed=${this.asTable}
            aria-label=${`Table of ${name}`}
            @click=${this.#flip}
          >
            Table
          </button>
          <button aria-label=${`PNG of ${name}`} ?disabled=${this.asTable} @click=${this.#save}>
            PNG
          </button>
        </div>
      </div>
      ${
        this.asTable
          ? this.#table(name)
          : html`<div
                class="plot"
                role="group"
                tabindex="0"
                aria-label=${`${name}. Arrow keys read values, plus and minus zoom, Escape shows all; the button Table shows the numbers.`}
                @keydown=${this.#key}
                @blur=${() => this.#plot?.setCursor({ left: -10, top: -10 })}
              ></div>
              ${this.#empty ? html`<p class="faint">There are no values yet.</p>` : nothing}`
      }
      <ul class="legend" aria-label="Curves">
        ${this.series.map((series, at) => this.#entry(series, at))}
      </ul>
      <span class="probe" hidden></span>
      <p class="hidden-text" role="status">${this.spoken}</p>
    `;
  }

  #all(): void {
    this.#choose(null);
    this.frame.focus(); // the button goes
  }

  /** The unit of all curves, shown once beside the heading; nothing if they have several. */
  get #unit(): string | undefined {
    const unit = this.series[0]?.unit;
    return this.heading && this.series.every((it) => it.unit === unit) ? unit : undefined;
  }

  #flip(): void {
    this.asTable = !this.asTable;
    if (this.asTable) void import("./table.js");
  }

  #entry(series: Series, at: number) {
    const value = this.index === null ? undefined : this.#data[at + 1]?.[this.index];
    return html`<li>
      <label>
        <input
          type="checkbox"
          .checked=${!this.off.has(series.label)}
          @change=${() => this.#toggle(series.label)}
        />
        <svg width="28" height="10" aria-hidden="true">
          ${svg`<line x1="1" y1="5" x2="27" y2="5" stroke=${this.#colorOf(at)} stroke-width="2.5"
            stroke-dasharray=${series.dash?.join(" ") ?? "none"} />`}
        </svg>
        <span
          >${series.label}${
            series.unit && series.unit !== this.#unit
              ? html` <small>[${series.unit}]</small>`
              : nothing
          }</span
        >
      </label>
      <span class="value">${value === undefined || value === null ? "" : figure(value)}</span>
    </li>`;
  }

  #table(name: string) {
    const [x, ...columns] = this.#data;
    const column = (
      title: string,
      values: ArrayLike<number | null | undefined>,
      at: number,
    ): Column<number> => ({
      name: String(at),
      title,
      number: true,
      width: "minmax(8rem, 1fr)",
      cell: (row) => exact(values[row]),
    });
    const heads = this.series.map(({ label, unit }) => (unit ? `${label} [${unit}]` : label));
    return html`<p-table
      class="numbers"
      label=${name}
      .columns=${[column(this.xlabel || "x", x, 0), ...columns.map((it, at) => column(heads[at] ?? "", it, at + 1))]}
      .count=${x.length}
      .row=${(row: number) => row}
      .keyOf=${String}
      .rowHeight=${30}
    ></p-table>`;
  }

  #options(): uPlot.Options {
    const axis = {
      stroke: () => this.#css("--faint"),
      grid: this.#lines(1),
      ticks: this.#lines(1),
      font: FONT,
    };
    return {
      width: Math.max(this.frame.clientWidth, 100),
      height: this.height,
      legend: { show: false },
      scales: { x: { time: false, range: (_, min, max) => this.#range(min, max) } },
      axes: [
        {
          ...axis,
          label: this.xlabel,
          labelFont: FONT,
          labelSize: 20,
          size: 34,
          values: (_, all) => all.map(figure),
        },
        {
          ...axis,
          size: (_, texts) => 22 + 7 * Math.max(2, ...(texts ?? []).map((it) => it.length)),
          values: (_, all) => all.map(figure),
        },
      ],
      series: [
        {},
        ...this.series.map((series, at) => ({
          label: series.label,
          show: !this.off.has(series.label),
          stroke: () => this.#css(this.#colorOf(at)),
          width: 2,
          ...(series.dash ? { dash: series.dash } : {}),
          points: {
            show: (u: uPlot) => (u.data[0].length < 3 ? true : undefined) as boolean,
            filter: (u: uPlot, of: number, show: boolean) =>
              show ? null : alone(u.data[of] ?? []),
          },
        })),
      ],
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false, dist: 5 },
        bind: { dblclick: () => () => (this.#choose(null), null) },
        ...(this.sync
          ? {
              sync: {
                key: this.sync,
                scales: ["x", null],
                filters: {
                  pub: (type: string) => type.startsWith("mousem") || type === "mouseleave",
                },
              },
            }
          : {}),
      },
      hooks: {
        setCursor: [(u) => this.#moved(u)],
        setSelect: [(u) => this.#selected(u)],
        draw: [(u) => drawMarks(u, this.marks, this.#css("--faint"))],
      },
    } as uPlot.Options;
  }

  #lines(width: number): uPlot.Axis.Grid {
    return { stroke: () => this.#css("--line"), width };
  }

  #range(min: number | null, max: number | null): uPlot.Range.MinMax {
    if (this.zoom) return this.zoom;
    if (min === null || max === null) return [0, 1];
    return min === max ? [min - 0.5, max + 0.5] : [min, max];
  }

  #moved(u: uPlot): void {
    const index = u.cursor.idx ?? null;
    this.index = index;
  }

  #selected(u: uPlot): void {
    const { left, width } = u.select;
    if (width < 5) return;
    const zoom: Zoom = [u.posToVal(left, "x"), u.posToVal(left + width, "x")];
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.#choose(zoom);
  }

  #choose(zoom: Zoom | null): void {
    this.zoom = zoom;
    this.dispatchEvent(new CustomEvent("zoom", { detail: zoom }));
  }

  #toggle(label: string): void {
    const off = new Set(this.off);
    if (!off.delete(label)) off.add(label);
    this.off = off;
  }

  #key(event: KeyboardEvent): void {
    const x = this.#data[0];
    if (!this.#plot || x.length === 0) return;
    const step = event.shiftKey ? 10 : 1;
    const { min, max } = this.#plot.scales.x as { min: number; max: number };
    const moves: Record<string, () => void> = {
      ArrowRight: () => this.#read((this.index ?? -1) + step),
      ArrowLeft: () => this.#read((this.index ?? x.length) - step),
      Home: () => this.#read(0),
      End: () => this.#read(x.length - 1),
      "+": () => this.#choose(this.#around(min, max, 0.5)),
      "-": () => this.#choose(this.#around(min, max, 2)),
      Escape: () => this.#choose(null),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  }

  /** Returns the range that is `factor` times as wide, around the cursor or the middle; null if that is everything. */
  #around(min: number, max: number, factor: number): Zoom | null {
    const x = this.#data[0];
    const middle = this.index === null ? (min + max) / 2 : x[this.index]!;
    const half = ((max - min) * factor) / 2;
    const zoom: Zoom = [Math.max(middle - half, x[0]!), Math.min(middle + half, x[x.length - 1]!)];
    return zoom[0] === x[0] && zoom[1] === x[x.length - 1] ? null : zoom;
  }

  /** Puts the cursor on a row and says its values. */
  #read(index: number): void {
    const at = Math.min(Math.max(index, 0), this.#data[0].length - 1);
    const x = this.#data[0][at]!;
    this.#plot!.setCursor({ left: this.#plot!.valToPos(x, "x"), top: 10 });
    const values = this.series.flatMap(({ label }, of) => {
      const value = this.#data[of + 1]?.[at];
      return this.off.has(label) || value == null ? [] : [`${label} ${figure(value)}`];
    });
    this.spoken = `${this.xlabel || "x"} ${figure(x)}: ${values.join(", ")}`;
  }

  #colorOf(at: number): string {
    return this.series[at]?.color ?? `var(--curve-${at % COLORS})`;
  }

  /** Returns a colour as a canvas takes it; a name of a custom property stands for its value. */
  #css(color: string): string {
    this.probe.style.color = color.startsWith("--") ? `var(${color})` : color;
    return getComputedStyle(this.probe).color;
  }

  #resize(): void {
    const width = this.frame?.clientWidth ?? 0;
    if (this.#plot && width > 0 && width !== this.#plot.width)
      this.#plot.setSize({ width, height: this.height });
  }

  #discard(): void {
    this.#resizes.disconnect();
    this.#plot?.destroy();
    this.#plot = null;
  }

  #save(): void {
    if (!this.#plot) return;
    const lines = this.series.flatMap(({ label, unit, dash }, at) =>
      this.off.has(label)
        ? []
        : [
            {
              label: unit ? `${label} [${unit}]` : label,
              dash,
              color: this.#css(this.#colorOf(at)),
            },
          ],
    );
    const colors = { paper: this.#css("--panel"), ink: this.#css("--ink") };
    savePicture(this.#plot.ctx.canvas, this.heading || "chart", lines, colors);
  }
}

function isValue(value: number | null): boolean {
  return value !== null;
}

declare global {
  interface HTMLElementTagNameMap {
    "p-chart": PChart;
  }
}
