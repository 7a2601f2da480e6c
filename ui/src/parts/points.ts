// <p-points>: the points of a graphical function, moved by dragging, by keyboard, or typed in a table.

import { css, html, nothing, svg } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { Part } from "../element.js";
import { rangeOf } from "../session/ranges.js";
import type { Points } from "../types.js";
import { figure } from "../words.js";

const WIDTH = 320;
const HEIGHT = 180;
const LEFT = 44;
const BOTTOM = 24;
const EDGE = 10;

interface Frame {
  x: [number, number];
  y: [number, number];
}

/** Fires `value` with the new points (`detail`), or null when they are set back. */
@customElement("p-points")
export class PPoints extends Part {
  static override styles = [
    Part.styles,
    css`
      .name {
        display: flex;
        flex-wrap: wrap;
        gap: 0.5rem;
        align-items: center;
      }
      .name button {
        min-height: 0;
        padding: 0 0.5rem;
        font-size: 0.85rem;
      }
      .changed strong::after {
        content: " (not sent)";
        font-weight: 400;
        color: var(--faint);
      }
      svg {
        display: block;
        width: 100%;
        max-width: 30rem;
        height: auto;
        touch-action: none;
        background: var(--paper);
        border: 1px solid var(--line);
        border-radius: 6px;
      }
      text {
        font-size: 10px;
        fill: var(--faint);
      }
      .axis {
        stroke: var(--field);
      }
      .curve {
        fill: none;
        stroke: var(--accent);
        stroke-width: 2;
      }
      .before {
        fill: none;
        stroke: var(--field);
        stroke-dasharray: 4 3;
      }
      circle {
        fill: var(--panel);
        stroke: var(--accent);
        stroke-width: 2;
        cursor: grab;
      }
      circle:focus-visible {
        outline: none;
        fill: var(--accent);
        stroke: var(--ink);
      }
      td input {
        width: 100%;
        min-width: 5rem;
        text-align: right;
      }
      td {
        padding: 0.2rem;
      }
    `,
  ];

  @property() label = "";
  @property({ attribute: false }) value: Points = [];
  @property({ attribute: false }) inForce: Points = [];
  @property({ type: Boolean }) disabled = false;

  @state() private frame: Frame | null = null; // held while a point is dragged
  @state() private spoken = "";
  @query("svg") private picture!: SVGSVGElement;

  #dragged = -1;

  override render() {
    const frame = this.frame ?? frameOf([...this.value, ...this.inForce]);
    const changed = JSON.stringify(this.value) !== JSON.stringify(this.inForce);
    return html`
      <div class="name ${changed ? "changed" : ""}">
        <strong id="name">${this.label}</strong>
        <button ?disabled=${this.disabled} @click=${() => this.#add(this.value.length - 1)}>
          Add a point
        </button>
        ${
          changed
            ? html`<button ?disabled=${this.disabled} @click=${() => this.#fire(null)}>
                Back
              </button>`
            : nothing
        }
      </div>
      <svg
        viewBox="0 0 ${WIDTH} ${HEIGHT}"
        role="group"
        aria-label=${`Points of ${this.label}. Arrow keys move a point, Insert adds one behind it, Delete removes it.`}
        @pointermove=${(event: PointerEvent) => this.#drag(event, frame)}
        @pointerup=${this.#drop}
        @pointercancel=${this.#drop}
        @dblclick=${(event: MouseEvent) => this.#addAt(event, frame)}
      >
        ${this.#axes(frame)}
        ${changed ? svg`<polyline class="before" points=${line(this.inForce, frame)} />` : nothing}
        <polyline class="curve" points=${line(this.value, frame)} />
        ${this.value.map((_, at) => this.#handle(at, frame))}
      </svg>
      <details>
        <summary>Points of ${this.label} as numbers</summary>
        <table>
          <thead>
            <tr>
              <th>x</th>
              <th>y</th>
              <th>Remove</th>
            </tr>
          </thead>
          <tbody>
            ${this.value.map((point, at) => this.#row(point, at))}
          </tbody>
        </table>
      </details>
      <p class="faint" role="status">${this.spoken}</p>
    `;
  }

  #axes({ x, y }: Frame) {
    return svg`
      <line class="axis" x1=${LEFT} y1=${EDGE} x2=${LEFT} y2=${HEIGHT - BOTTOM} />
      <line class="axis" x1=${LEFT} y1=${HEIGHT - BOTTOM} x2=${WIDTH - EDGE} y2=${HEIGHT - BOTTOM} />
      <text x=${LEFT - 4} y=${EDGE + 8} text-anchor="end">${figure(y[1])}</text>
      <text x=${LEFT - 4} y=${HEIGHT - BOTTOM} text-anchor="end">${figure(y[0])}</text>
      <text x=${LEFT} y=${HEIGHT - 8}>${figure(x[0])}</text>
      <text x=${WIDTH - EDGE} y=${HEIGHT - 8} text-anchor="end">${figure(x[1])}</text>`;
  }

  #handle(at: number, frame: Frame) {
    const [x, y] = this.value[at] ?? [0, 0];
    return svg`<circle
      cx=${toX(x, frame)} cy=${toY(y, frame)} r="7"
      tabindex=${this.disabled ? -1 : 0}
      role="slider"
      aria-orientation="vertical"
      aria-label=${`${this.label}, point ${at + 1} of ${this.value.length}`}
      aria-valuemin=${frame.y[0]} aria-valuemax=${frame.y[1]} aria-valuenow=${y}
      aria-valuetext=${`${figure(y)} at ${figure(x)}`}
      aria-disabled=${this.disabled}
      @pointerdown=${(event: PointerEvent) => this.#grab(event, at, frame)}
      @keydown=${(event: KeyboardEvent) => this.#key(event, at, frame)}
    />`;
  }

  #row([x, y]: [number, number], at: number) {
    const cell = (value: number, which: 0 | 1) =>
      html`<td>
        <input
          type="number"
          step="any"
          aria-label=${`${which ? "y" : "x"} of point ${at + 1}`}
          .value=${String(value)}
          ?disabled=${this.disabled}
          @change=${(event: Event) => this.#typed(event, at, which)}
        />
      </td>`;
    return html`<tr>
      ${cell(x, 0)}${cell(y, 1)}
      <td>
        <button
          aria-label=${`Remove point ${at + 1}`}
          ?disabled=${this.disabled || this.value.length < 2}
          @click=${() => this.#remove(at)}
        >
          Remove
        </button>
      </td>
    </tr>`;
  }

  #grab(event: PointerEvent, at: number, frame: Frame): void {
    if (this.disabled) return;
    this.#dragged = at;
    this.frame = frame;
    this.picture.setPointerCapture(event.pointerId);
    (event.currentTarget as SVGElement).focus();
    event.preventDefault();
  }

  #drag(event: PointerEvent, frame: Frame): void {
    if (this.#dragged < 0) return;
    const [x, y] = this.#at(event, frame);
    this.#move(this.#dragged, x, y, frame);
  }

  #drop(): void {
    this.#dragged = -1;
    this.frame = null;
  }

  #at(event: MouseEvent, { x, y }: Frame): [number, number] {
    const box = this.picture.getBoundingClientRect();
    const right = ((event.clientX - box.left) / box.width) * WIDTH;
    const down = ((event.clientY - box.top) / box.height) * HEIGHT;
    const across = (right - LEFT) / (WIDTH - LEFT - EDGE);
    const up = (HEIGHT - BOTTOM - down) / (HEIGHT - BOTTOM - EDGE);
    return [x[0] + across * (x[1] - x[0]), y[0] + up * (y[1] - y[0])];
  }

  #key(event: KeyboardEvent, at: number, frame: Frame): void {
    if (this.disabled) return;
    const [x, y] = this.value[at] ?? [0, 0];
    const times = event.shiftKey ? 10 : 1;
    const right = ((frame.x[1] - frame.x[0]) / 100) * times;
    const up = ((frame.y[1] - frame.y[0]) / 100) * times;
    const actions: Record<string, () => void> = {
      ArrowUp: () => this.#move(at, x, y + up, frame),
      ArrowDown: () => this.#move(at, x, y - up, frame),
      ArrowRight: () => this.#move(at, x + right, y, frame),
      ArrowLeft: () => this.#move(at, x - right, y, frame),
      Insert: () => this.#add(at),
      Delete: () => this.#remove(at),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  /** Moves a point, between its neighbours and on round numbers. */
  #move(at: number, x: number, y: number, frame: Frame): void {
    const before = this.value[at - 1]?.[0] ?? -Infinity;
    const behind = this.value[at + 1]?.[0] ?? Infinity;
    const fine = (range: [number, number]): number => (range[1] - range[0]) / 200;
    const to = round(x, fine(frame.x));
    const kept = to > before && to < behind ? to : (this.value[at]?.[0] ?? to);
    this.#replace(at, [[kept, round(y, fine(frame.y))]]);
  }

  /** Adds a point behind another one, halfway to the next. */
  #add(at: number): void {
    const here = this.value[at] ?? [0, 0];
    const next = this.value[at + 1];
    const last = this.value[at - 1];
    const step = last ? here[0] - last[0] : 1;
    const point: [number, number] = next
      ? [(here[0] + next[0]) / 2, (here[1] + next[1]) / 2]
      : [here[0] + step, here[1]];
    this.#replace(at, this.value[at] ? [here, point] : [point]);
    this.spoken = `A point at ${figure(point[0])} was added.`;
  }

  #addAt(event: MouseEvent, frame: Frame): void {
    if (this.disabled || (event.target as Element).tagName === "circle") return;
    const [x, y] = this.#at(event, frame);
    const point: [number, number] = [
      round(x, (frame.x[1] - frame.x[0]) / 200),
      round(y, (frame.y[1] - frame.y[0]) / 200),
    ];
    if (this.value.some((it) => it[0] === point[0])) return;
    this.#fire([...this.value, point].sort((one, other) => one[0] - other[0]));
  }

  #remove(at: number): void {
    if (this.value.length < 2) return;
    this.spoken = `Point ${at + 1} was removed.`;
    this.#replace(at, []);
  }

  #typed(event: Event, at: number, which: 0 | 1): void {
    const { valueAsNumber } = event.target as HTMLInputElement;
    const point: [number, number] = [...(this.value[at] ?? [0, 0])];
    if (Number.isFinite(valueAsNumber)) point[which] = valueAsNumber;
    const points = this.value.map((it, index) => (index === at ? point : it));
    const ascend = points.every(
      (it, index) => index === 0 || it[0] > (points[index - 1]?.[0] ?? 0),
    );
    if (ascend) this.#fire(points);
    else this.spoken = "The x of the points must ascend; the number was set back.";
    this.requestUpdate("value");
  }

  #replace(at: number, by: Points): void {
    this.#fire([...this.value.slice(0, at), ...by, ...this.value.slice(at + 1)]);
  }

  #fire(value: Points | null): void {
    this.dispatchEvent(new CustomEvent("value", { detail: value }));
  }
}

/** Return the part of the plane that is shown: all points, and room to drag them up and down. */
function frameOf(points: Points): Frame {
  const xs = points.map(([x]) => x);
  const low = Math.min(...xs);
  const high = Math.max(...xs);
  const x: [number, number] = !points.length
    ? [0, 1]
    : low === high
      ? [low - 1, high + 1]
      : [low, high];
  const { min, max } = rangeOf(points.map(([, y]) => y));
  return { x, y: [min, max] };
}

function toX(x: number, frame: Frame): number {
  return LEFT + ((x - frame.x[0]) / (frame.x[1] - frame.x[0])) * (WIDTH - LEFT - EDGE);
}

function toY(y: number, frame: Frame): number {
  const up = (y - frame.y[0]) / (frame.y[1] - frame.y[0]);
  return HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - EDGE);
}

function line(points: Points, frame: Frame): string {
  return points.map(([x, y]) => `${toX(x, frame)},${toY(y, frame)}`).join(" ");
}

/** Return the nearest number that is a round one at this distance. */
function round(value: number, distance: number): number {
  const digits = 10 ** Math.floor(Math.log10(distance));
  return Number((Math.round(value / digits) * digits).toPrecision(12));
}

declare global {
  interface HTMLElementTagNameMap {
    "p-points": PPoints;
  }
}
