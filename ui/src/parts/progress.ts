// <p-progress>: how far something is, as a bar with words; <p-bounds>: two bounds that come closer to each other.

import { css, html, nothing, svg } from "lit";
import { customElement, property } from "lit/decorators.js";
import { Part } from "../element.js";
import { figure } from "../words.js";

@customElement("p-progress")
export class PProgress extends Part {
  @property() label = "";
  /** From 0 to 1; null where nobody knows. */
  @property({ type: Number }) fraction: number | null = null;
  @property() words = "";

  override render() {
    const { fraction } = this;
    return html`<label
      ><span class="row spread"
        ><span>${this.label}</span
        ><span class="faint"
          >${this.words}${fraction === null ? "" : ` ${Math.floor(fraction * 100)} %`}</span
        ></span
      >
      ${fraction === null ? nothing : html`<progress max="1" .value=${fraction}></progress>`}
    </label>`;
  }
}

const WIDTH = 100;

/** Bounds on a number from 0 to `most`: what is proved to be possible, what is proved not to be, and what is open. */
@customElement("p-bounds")
export class PBounds extends Part {
  static override styles = [
    Part.styles,
    css`
      svg {
        display: block;
        width: 100%;
        height: 1.6rem;
        border-radius: 6px;
        border: 1px solid var(--line);
        background: var(--paper);
      }
      .sure {
        fill: var(--accent);
      }
      .open {
        fill: var(--warn);
        opacity: 0.55;
      }
      b {
        font-variant-numeric: tabular-nums;
      }
    `,
  ];

  @property({ type: Number }) lower = 0;
  @property({ type: Number }) upper = 0;
  /** The end of the scale. */
  @property({ type: Number }) most = 0;
  @property() what = "polymers";

  override render() {
    const { lower, upper, what } = this;
    const scale = WIDTH / Math.max(1, this.most, upper);
    const words =
      lower === upper
        ? `The optimum is proved: ${figure(lower)} ${what}.`
        : `From ${figure(lower)} to ${figure(upper)} ${what}; ${figure(upper - lower)} still open.`;
    return html`<svg
        viewBox="0 0 ${WIDTH} 10"
        preserveAspectRatio="none"
        role="img"
        aria-label=${words}
      >
        ${svg`<rect class="sure" x="0" y="0" width=${lower * scale} height="10"></rect>
        <rect class="open" x=${lower * scale} y="0" width=${(upper - lower) * scale} height="10"></rect>`}
      </svg>
      <p role="status"><b>${words}</b></p>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-progress": PProgress;
    "p-bounds": PBounds;
  }
}
