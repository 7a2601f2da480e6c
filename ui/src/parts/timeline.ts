// <p-timeline>: the time line of a run: how far it is, its savepoints, what was changed on the way, and a place on it.

import { css, html, nothing, svg, type PropertyValues } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { Part } from "../element.js";

/** Something on the line. */
export interface Stop {
  at: number;
  label: string;
  /** Savepoints stand below the line, changes of settings above it. */
  kind: "savepoint" | "change";
}

const HEIGHT = 56;
const MIDDLE = 28;
const EDGE = 12;
const NEAR = 6; // pixels

/**
 * Fires `at` (`detail`: the place under the pointer, else the chosen one) and `fork` (`detail`: the chosen place).
 * What is inside the element is shown below the line, such as the values at that place.
 */
@customElement("p-timeline")
export class PTimeline extends Part {
  static override styles = [
    Part.styles,
    css`
      svg {
        display: block;
        width: 100%;
        height: ${HEIGHT}px;
        cursor: pointer;
        touch-action: pan-y;
        border-radius: 6px;
      }
      .all {
        stroke: var(--line);
        stroke-width: 6;
        stroke-linecap: round;
      }
      .done {
        stroke: var(--accent);
        stroke-width: 6;
        stroke-linecap: round;
      }
      .savepoint {
        fill: var(--info);
      }
      .change {
        fill: var(--warn);
      }
      .here {
        stroke: var(--ink);
        stroke-width: 2;
      }
      .shown {
        stroke: var(--faint);
        stroke-dasharray: 3 3;
      }
      .fork {
        stroke: var(--faint);
        stroke-width: 2;
      }
      .keys {
        display: flex;
        flex-wrap: wrap;
        gap: 0 1rem;
        font-size: 0.85rem;
        margin: 0;
      }
      .keys svg {
        display: inline-block;
        width: 12px;
        height: 12px;
        vertical-align: -1px;
        cursor: auto;
      }
    `,
  ];

  /** Where the run stands. */
  @property({ type: Number }) end = 0;
  /** Where it will end, if that is known. */
  @property({ type: Number }) length = 0;
  /** The chosen place; null for where the run stands. */
  @property({ type: Number }) at: number | null = null;
  /** Where it begins to differ from the run it was forked from. */
  @property({ attribute: false }) forkedAt: number | null = null;
  @property({ attribute: false }) stops: Stop[] = [];
  /** Whether only savepoints can be chosen, as of experiments. */
  @property({ type: Boolean }) snap = false;
  /** Whether it can't be forked anywhere. */
  @property({ type: Boolean, attribute: "no-forks" }) noForks = false;
  /** How far an arrow key goes. */
  @property({ type: Number }) stride = 1;
  @property({ attribute: false }) words: (at: number) => string = (at) => `step ${at}`;
  @property({ attribute: false }) forking = false;

  @state() private width = 600;
  @state() private under: number | null = null;
  @query(".track") private track!: SVGSVGElement;

  readonly #resizes = new ResizeObserver(() => (this.width = this.track.clientWidth || this.width));

  override firstUpdated(): void {
    this.#resizes.observe(this.track);
  }

  override connectedCallback(): void {
    super.connectedCallback();
    if (this.hasUpdated) this.#resizes.observe(this.track);
    this.whenGone(() => this.#resizes.disconnect());
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("end") && this.at !== null && this.at > this.end) this.at = null;
  }

  override render() {
    const here = this.#here;
    const shown = this.under ?? here;
    return html`
      <svg
        class="track"
        viewBox="0 0 ${this.width} ${HEIGHT}"
        role="slider"
        tabindex="0"
        aria-label="Time line"
        aria-valuemin="0"
        aria-valuemax=${this.end}
        aria-valuenow=${here}
        aria-valuetext=${[this.words(here), ...this.#labels(here)].join(", ")}
        @pointermove=${(event: PointerEvent) => this.#over(this.#placeOf(event))}
        @pointerleave=${() => this.#over(null)}
        @click=${(event: MouseEvent) => this.#choose(this.#placeOf(event))}
        @keydown=${this.#key}
      >
        <line class="all" x1=${EDGE} x2=${this.width - EDGE} y1=${MIDDLE} y2=${MIDDLE} />
        <line class="done" x1=${EDGE} x2=${this.#x(this.end)} y1=${MIDDLE} y2=${MIDDLE} />
        ${this.forkedAt === null ? nothing : this.#vertical(this.forkedAt, "fork", 14)}
        ${this.#drawn().map((stop) => this.#stop(stop))}
        ${this.under === null ? nothing : this.#vertical(this.under, "shown", 4)}
        ${this.#vertical(here, "here", 8)}
      </svg>
      <div class="row spread">
        <p class="keys faint">
          <span
            ><svg aria-hidden="true"><path class="savepoint" d="M6 1 L11 11 L1 11 Z" /></svg>
            savepoint</span
          >
          ${
            this.snap || this.noForks
              ? nothing
              : html`<span
                  ><svg aria-hidden="true"><circle class="change" cx="6" cy="6" r="4" /></svg>
                  change of settings</span
                >`
          }
        </p>
        <span>${[this.words(shown), ...this.#labels(shown)].join(" · ")}</span>
        ${
          this.noForks
            ? nothing
            : html`<button ?disabled=${this.forking} @click=${() => this.#fire("fork", here)}>
                Fork here (${this.words(here)})
              </button>`
        }
      </div>
      <slot></slot>
    `;
  }

  #stop({ at, kind, label }: Stop) {
    const x = this.#x(at);
    return kind === "savepoint"
      ? svg`<path class="savepoint" d=${`M${x} ${MIDDLE + 6} l5 10 l-10 0 Z`}><title>${label}</title></path>`
      : svg`<circle class="change" cx=${x} cy=${MIDDLE - 11} r="4"><title>${label}</title></circle>`;
  }

  #vertical(at: number, name: string, reach: number) {
    const x = this.#x(at);
    return svg`<line class=${name} x1=${x} x2=${x} y1=${reach} y2=${HEIGHT - reach} />`;
  }

  /** Return the stops to draw: of those that would cover each other, the first. */
  #drawn(): Stop[] {
    const taken = new Set<string>();
    return this.stops.filter(({ at, kind }) => {
      const key = kind + Math.round(this.#x(at) / 2);
      return !taken.has(key) && taken.add(key);
    });
  }

  #labels(at: number): string[] {
    return this.stops.filter((stop) => stop.at === at).map(({ label }) => label);
  }

  /** The chosen place: where the run stands, or its last savepoint, until another is. */
  get #here(): number {
    return this.at ?? (this.snap ? (this.#places().at(-1) ?? this.end) : this.end);
  }

  get #scale(): number {
    return Math.max(this.length, this.end, 1);
  }

  #x(at: number): number {
    return EDGE + (at / this.#scale) * (this.width - 2 * EDGE);
  }

  #placeOf(event: MouseEvent): number {
    const left = event.clientX - this.track.getBoundingClientRect().left;
    const at = ((left - EDGE) / (this.width - 2 * EDGE)) * this.#scale;
    const near = this.#nearest(at);
    if (near !== null && (this.snap || Math.abs(this.#x(near) - left) < NEAR)) return near;
    return Math.min(Math.max(Math.round(at), 0), this.end);
  }

  #nearest(at: number): number | null {
    const places = this.#places();
    if (!places.length) return null;
    return places.reduce((one, other) => (Math.abs(other - at) < Math.abs(one - at) ? other : one));
  }

  /** Return what can be snapped to, ascending. */
  #places(): number[] {
    const stops = this.snap ? this.stops.filter(({ kind }) => kind === "savepoint") : this.stops;
    return stops.map(({ at }) => at).sort((one, other) => one - other);
  }

  #over(at: number | null): void {
    if (at === this.under) return;
    this.under = at;
    this.#fire("at", at ?? this.#here);
  }

  #choose(at: number): void {
    this.at = at;
    this.under = null;
    this.#fire("at", at);
  }

  #key(event: KeyboardEvent): void {
    const here = this.#here;
    const places = this.#places();
    const next = places.find((it) => it > here) ?? this.end;
    const last = places.findLast((it) => it < here) ?? 0;
    const moves: Record<string, number> = {
      ArrowRight: this.snap ? next : here + this.stride,
      ArrowUp: this.snap ? next : here + this.stride,
      ArrowLeft: this.snap ? last : here - this.stride,
      ArrowDown: this.snap ? last : here - this.stride,
      PageUp: next,
      PageDown: last,
      Home: this.snap ? (places[0] ?? 0) : 0,
      End: this.end,
    };
    const to = moves[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#choose(Math.min(Math.max(to, 0), this.end));
  }

  #fire(name: "at" | "fork", at: number): void {
    this.dispatchEvent(new CustomEvent(name, { detail: at }));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-timeline": PTimeline;
  }
}
