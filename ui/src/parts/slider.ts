// <p-slider>: a number that is dragged or typed, with what is in force beside it.

import { css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import { Part, valueOf } from "../element.js";
import { rangeOf, type Range } from "../session/ranges.js";
import { figure } from "../words.js";

/** Fires `value` with the number (`detail`) while it is moved, or null when it is set back. */
@customElement("p-slider")
export class PSlider extends Part {
  static override styles = [
    Part.styles,
    css`
      .line {
        display: grid;
        grid-template-columns: minmax(0, 1fr) 7rem;
        gap: 0.1rem 0.6rem;
        align-items: center;
        padding: 0.3rem 0;
      }
      .name {
        grid-column: 1 / -1;
        display: flex;
        flex-wrap: wrap;
        gap: 0 0.5rem;
        align-items: baseline;
        overflow-wrap: anywhere;
      }
      .name .faint {
        font-size: 0.85rem;
      }
      .name button {
        min-height: 0;
        padding: 0 0.5rem;
        font-size: 0.85rem;
        margin-left: auto;
      }
      input[type="range"] {
        width: 100%;
        margin: 0;
        min-height: 1.6rem;
      }
      input[type="number"] {
        width: 100%;
        text-align: right;
        font-variant-numeric: tabular-nums;
      }
      .changed label {
        font-weight: 600;
      }
      .bounds {
        display: flex;
        justify-content: space-between;
        font-size: 0.75rem;
      }
    `,
  ];

  @property() label = "";
  @property() unit = "";
  @property({ attribute: false }) value: number | undefined;
  /** What is in force; where `value` is another one, it can be set back. */
  @property({ attribute: false }) inForce: number | undefined;
  /** Other values that the range is to hold, such as those of other scenarios. */
  @property({ attribute: false }) others: number[] = [];
  /** What is said beside the name, such as that scenarios differ. */
  @property() note = "";
  @property({ type: Boolean }) disabled = false;

  #range: Range | undefined;

  override render() {
    const { value, inForce } = this;
    const { min, max, step } = this.#rangeFor(value);
    const changed = value !== inForce;
    const unit = this.unit ? ` [${this.unit}]` : "";
    return html`<div class="line ${changed ? "changed" : ""}">
      <div class="name">
        <label for="number">${this.label}${unit}</label>
        ${
          changed
            ? html`<span class="faint"
                  >not sent; in force ${inForce === undefined ? "nothing" : figure(inForce)}</span
                ><button
                  aria-label=${`Set ${this.label} back`}
                  ?disabled=${this.disabled}
                  @click=${this.#back}
                >
                  Back
                </button>`
            : this.note
              ? html`<span class="faint">${this.note}</span>`
              : nothing
        }
      </div>
      <div>
        <input
          type="range"
          aria-label=${this.label + unit}
          min=${min}
          max=${max}
          step="any"
          .value=${String(value ?? min)}
          aria-valuetext=${value === undefined ? "nothing" : figure(value)}
          ?disabled=${this.disabled}
          @input=${(event: Event) => this.#moved(event, min, step)}
          @keydown=${(event: KeyboardEvent) => this.#key(event, min, max, step)}
        />
        <div class="bounds faint" aria-hidden="true">
          <span>${figure(min)}</span><span>${figure(max)}</span>
        </div>
      </div>
      <input
        id="number"
        type="number"
        step="any"
        .value=${value === undefined ? "" : String(value)}
        ?disabled=${this.disabled}
        @change=${this.#typed}
      />
    </div>`;
  }

  /** Return the range; it grows with what is typed, and stays while the handle is moved. */
  #rangeFor(value: number | undefined): Range {
    const inside =
      this.#range &&
      (value === undefined || (value >= this.#range.min && value <= this.#range.max));
    const known = [value, this.inForce, ...this.others].filter((it) => it !== undefined);
    if (!inside) this.#range = rangeOf(known);
    return this.#range ?? rangeOf(known);
  }

  #moved(event: Event, min: number, step: number): void {
    const raw = Number(valueOf(event));
    this.#fire(rounded(raw, min, step));
  }

  /** Moves by steps; a range of any step would move by hundredths that are no round numbers. */
  #key(event: KeyboardEvent, min: number, max: number, step: number): void {
    const value = this.value ?? min;
    const moves: Record<string, number> = {
      ArrowRight: value + step,
      ArrowUp: value + step,
      ArrowLeft: value - step,
      ArrowDown: value - step,
      PageUp: value + 10 * step,
      PageDown: value - 10 * step,
      Home: min,
      End: max,
    };
    const to = moves[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#fire(Math.min(Math.max(rounded(to, min, step), min), max));
  }

  #typed(event: Event): void {
    const { value, valueAsNumber } = event.target as HTMLInputElement;
    if (value === "" || !Number.isFinite(valueAsNumber)) this.#fire(null);
    else this.#fire(valueAsNumber);
    this.requestUpdate();
  }

  #back(): void {
    this.#fire(null);
    this.renderRoot.querySelector("input")?.focus(); // the button goes
  }

  #fire(value: number | null): void {
    this.dispatchEvent(new CustomEvent("value", { detail: value }));
  }
}

/** Return the nearest whole number of steps from `min`, without the dust of binary fractions. */
function rounded(value: number, min: number, step: number): number {
  return Number((min + Math.round((value - min) / step) * step).toPrecision(12));
}

declare global {
  interface HTMLElementTagNameMap {
    "p-slider": PSlider;
  }
}
