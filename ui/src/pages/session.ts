// <page-session>: the cockpit of a session: steps, sliders, curves, its time line and its forks.

import { css, html, nothing, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { Part } from "../element.js";
import "../parts/heading.js";
import type { Route } from "../router.js";
import "../session/charts.js";
import { Cockpit } from "../session/cockpit.js";
import "../session/controls.js";
import "../session/history.js";
import "../session/values.js";
import type { SessionRecord } from "../types.js";

@customElement("page-session")
export class PageSession extends Part {
  static override styles = [
    Part.styles,
    css`
      .cockpit {
        display: grid;
        grid-template-columns: minmax(15rem, 20rem) minmax(0, 1fr);
        gap: 1rem;
        align-items: start;
      }
      .steps {
        margin-bottom: 1rem;
      }
      h2 {
        margin-top: 0;
      }
      @media (max-width: 60rem) {
        .cockpit {
          grid-template-columns: minmax(0, 1fr);
        }
        .curves {
          order: -1;
        }
      }
    `,
  ];

  @property({ attribute: false }) run!: SessionRecord;
  @property({ attribute: false }) route!: Route;

  @state() private cockpit: Cockpit | null = null;
  @state() private at: number | null = null;

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("run") && this.run.id !== this.cockpit?.id) this.#open();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    if (this.hasUpdated) this.#open();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.cockpit?.close();
  }

  override render() {
    const { cockpit } = this;
    if (!cockpit) return nothing;
    const { query } = this.route;
    return html`
      <p-heading .run=${cockpit.record ?? this.run}></p-heading>
      <section class="panel steps" aria-label="Steps">
        <p-session-controls .cockpit=${cockpit}></p-session-controls>
      </section>
      <div class="cockpit">
        <section class="panel">
          <h2>Values</h2>
          <p-session-values .cockpit=${cockpit} scope=${query.get("for") ?? ""}></p-session-values>
        </section>
        <section class="panel curves">
          <h2>Curves</h2>
          <p-session-charts .cockpit=${cockpit} .query=${query} .at=${this.at}></p-session-charts>
        </section>
      </div>
      <p-session-history
        .cockpit=${cockpit}
        @at=${(event: CustomEvent<number | null>) => (this.at = event.detail)}
      ></p-session-history>
    `;
  }

  #open(): void {
    this.cockpit?.close();
    const cockpit = new Cockpit(this.run.id);
    cockpit.addEventListener("change", () => cockpit === this.cockpit && this.requestUpdate());
    this.cockpit = cockpit;
    this.at = null;
    cockpit.open();
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "page-session": PageSession;
  }
}
