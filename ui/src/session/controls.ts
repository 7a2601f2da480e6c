// <p-session-controls>: a step, several, all that are left, or so many a second; and where the session stands.

import { css, html, nothing } from "lit";
import { customElement, state } from "lit/decorators.js";
import { valueOf } from "../element.js";
import { path } from "../base.js";
import { keep, kept } from "../keep.js";
import { live } from "../live.js";
import "../parts/error.js";
import { count, figure, titleOf } from "../words.js";
import { CockpitPart } from "./observer.js";
import { each } from "./settings.js";

const RATES = [0.5, 1, 2, 5, 10, 20, 50, 100];

@customElement("p-session-controls")
export class PSessionControls extends CockpitPart {
  static override styles = [
    CockpitPart.styles,
    css`
      .stand {
        display: flex;
        flex-wrap: wrap;
        gap: 0.25rem 1rem;
        margin-top: 0.6rem;
        align-items: center;
      }
      progress {
        flex: 1 1 10rem;
      }
      input {
        width: 6rem;
      }
      .unsent {
        color: var(--warn);
        font-weight: 600;
      }
      button[aria-disabled="true"] {
        cursor: not-allowed;
        color: var(--faint);
        background: none;
        border: 1px dashed var(--line);
      }
      .buttons {
        gap: 0.5rem 1rem;
      }
    `,
  ];

  @state() private many = 10;
  @state() private rate = 5;

  override connectedCallback(): void {
    super.connectedCallback();
    this.listen(live, "change", () => this.requestUpdate());
    this.many = kept<number>("session", "many") ?? this.many;
    this.rate = kept<number>("session", "rate") ?? this.rate;
  }

  override render() {
    const { cockpit } = this;
    const { record, activity, length } = cockpit;
    if (!record) return nothing;
    // A button that is disabled while it works would lose the focus.
    const busy = activity !== "idle" || cockpit.ended;
    const unsent = each(cockpit.unsent).length;
    return html`
      <div class="row buttons">
        <button class="primary" aria-disabled=${busy} @click=${() => busy || cockpit.step(1)}>
          Step
        </button>
        <span class="row">
          <input
            type="number"
            min="1"
            max="10000"
            aria-label="How many steps"
            .value=${String(this.many)}
            @change=${this.#setMany}
          />
          <button aria-disabled=${busy} @click=${() => busy || cockpit.step(this.many)}>
            Take ${count(this.many, "step")}
          </button>
        </span>
        <button aria-disabled=${busy} @click=${() => busy || cockpit.toEnd()}>
          Run to the end
        </button>
        <span class="row">
          <select aria-label="Steps a second" @change=${this.#setRate}>
            ${RATES.map((it) => html`<option value=${it} ?selected=${it === this.rate}>${figure(it)} a second</option>`)}
          </select>
          <button aria-disabled=${busy} @click=${() => busy || cockpit.play(() => this.rate)}>
            Play
          </button>
        </span>
        <button
          aria-disabled=${activity === "idle" || cockpit.pausing}
          @click=${() => cockpit.pause()}
        >
          Pause
        </button>
        <a
          class="button"
          href=${path(`/runs/${record.id}/results?format=csv`)}
          download=${`${titleOf(record)}.csv`}
          >CSV</a
        >
      </div>
      <div class="stand">
        <span role="status"
          >Step ${figure(record.step)} of ${figure(length)}${this.#time()} · ${this.#doing()}</span
        >
        <progress aria-label="Steps taken" max=${length} .value=${record.step}></progress>
        ${
          unsent
            ? html`<span class="row"
                ><span class="unsent">${count(unsent, "change")} not sent, for the next step</span>
                <button ?disabled=${activity !== "idle"} @click=${() => cockpit.discard()}>
                  Discard
                </button></span
              >`
            : nothing
        }
      </div>
      ${cockpit.notice ? html`<p role="status" class="panel">${cockpit.notice}</p>` : nothing}
      <p-error .error=${cockpit.error}></p-error>
    `;
  }

  #time(): string {
    const times = Object.values(this.cockpit.results)
      .flatMap((scenarios) => Object.values(scenarios))
      .map(({ time }) => time.at(-1) ?? -Infinity);
    const last = Math.max(...times);
    return Number.isFinite(last) ? `, time ${figure(last)}` : "";
  }

  #doing(): string {
    const { activity, pausing, record } = this.cockpit;
    if (activity === "waiting" || (activity !== "idle" && live.state === "lost"))
      return "waiting for the server; the steps are sent again by themselves";
    if (activity !== "idle") return pausing ? "pausing" : "running";
    if (record?.state === "completed") return "every scenario has ended";
    if (record?.state === "stopped") return record.reason || "stopped";
    return "ready";
  }

  #setMany(event: Event): void {
    const { valueAsNumber } = event.target as HTMLInputElement;
    if (valueAsNumber >= 1) this.many = Math.min(Math.round(valueAsNumber), 10_000);
    keep("session", "many", this.many);
    this.requestUpdate();
  }

  #setRate(event: Event): void {
    this.rate = Number(valueOf(event));
    keep("session", "rate", this.rate);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-session-controls": PSessionControls;
  }
}
