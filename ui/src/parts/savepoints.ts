// <p-savepoints>: the savepoints of a run as a table, to be named, pinned and forked at.

import { css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { patch, post } from "../api.js";
import { Part, valueOf } from "../element.js";
import type { Savepoint } from "../types.js";
import { ago, bytes, when } from "../words.js";
import "./error.js";

/** Fires `changed` when one has changed, and `fork` with one (`detail`). */
@customElement("p-savepoints")
export class PSavepoints extends Part {
  static override styles = [
    Part.styles,
    css`
      td {
        white-space: nowrap;
      }
      td input:not([type="checkbox"]) {
        width: 8rem;
      }
    `,
  ];

  @property() run = "";
  @property({ attribute: false }) savepoints: Savepoint[] = [];
  @property({ attribute: false }) words: (savepoint: Savepoint) => string = ({ step }) =>
    `step ${step}`;
  /** Whether one can be taken now: of a session that hasn't ended. */
  @property({ type: Boolean }) takes = false;

  @state() private error: unknown = null;
  @state() private busy = false;

  override render() {
    return html`
      <p-error .error=${this.error}></p-error>
      ${
        this.takes
          ? html`<form class="row" @submit=${this.#take}>
              <label class="check"
                ><span>Name</span> <input name="name" maxlength="200" placeholder="none"
              /></label>
              <button ?disabled=${this.busy}>Take a savepoint now</button>
            </form>`
          : nothing
      }
      <div class="scroll" tabindex="0" role="region" aria-label="Savepoints">
        <table>
          <thead>
            <tr>
              <th>Where</th>
              <th>Name</th>
              <th>Kept</th>
              <th class="number">Size</th>
              <th>Taken</th>
              <th>Fork</th>
            </tr>
          </thead>
          <tbody>
            ${repeat(
              this.savepoints,
              ({ timestamp }) => timestamp,
              (it) => this.#row(it),
            )}
          </tbody>
        </table>
      </div>
    `;
  }

  #row(savepoint: Savepoint) {
    const where = this.words(savepoint);
    return html`<tr>
      <td>${where}</td>
      <td>
        <input
          aria-label=${`Name of the savepoint at ${where}`}
          maxlength="200"
          .value=${savepoint.name ?? ""}
          @change=${(event: Event) => this.#mark(savepoint, { name: valueOf(event) || null })}
        />
      </td>
      <td>
        <label class="check"
          ><input
            type="checkbox"
            aria-label=${`Keep the savepoint at ${where} for good`}
            .checked=${savepoint.pinned}
            @change=${(event: Event) => this.#mark(savepoint, { pinned: (event.target as HTMLInputElement).checked })}
          />
          ${savepoint.milestone ? "pinned (kept anyway)" : "pinned"}</label
        >
      </td>
      <td class="number">${bytes(savepoint.size)}</td>
      <td title=${when(savepoint.created)}>${ago(savepoint.created)}</td>
      <td>
        <button
          aria-label=${`Fork at ${where}`}
          @click=${() => this.dispatchEvent(new CustomEvent("fork", { detail: savepoint }))}
        >
          Fork
        </button>
      </td>
    </tr>`;
  }

  #take(event: SubmitEvent): void {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const name = new FormData(form).get("name");
    void this.#do(async () => {
      await post(`/runs/${this.run}/savepoints`, name ? { name } : {});
      form.reset();
    });
  }

  #mark(savepoint: Savepoint, change: { name?: string | null; pinned?: boolean }): void {
    void this.#do(() => patch(`/runs/${this.run}/savepoints/${savepoint.timestamp}`, change));
  }

  async #do(work: () => Promise<unknown>): Promise<void> {
    this.busy = true;
    this.error = null;
    try {
      await work();
      this.dispatchEvent(new CustomEvent("changed"));
    } catch (error) {
      this.error = error;
    }
    this.busy = false;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-savepoints": PSavepoints;
  }
}
