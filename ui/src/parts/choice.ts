// <p-choice>: several of many names, chosen in a list that opens below its button.

import { css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { Part, valueOf } from "../element.js";

const FEW = 12;

/** Fires `choice` with the chosen names (`detail`), in the order of the groups. */
@customElement("p-choice")
export class PChoice extends Part {
  static override styles = [
    Part.styles,
    css`
      :host {
        min-width: 0;
      }
      summary {
        cursor: pointer;
        font-weight: 600;
      }
      .list {
        max-height: 22rem;
        overflow: auto;
        margin-top: 0.4rem;
      }
      fieldset {
        display: flex;
        flex-wrap: wrap;
        gap: 0.3rem 1rem;
      }
      label.check {
        overflow-wrap: anywhere;
      }
    `,
  ];

  @property() label = "";
  /** Heading → names. */
  @property({ attribute: false }) groups: Record<string, string[]> = {};
  @property({ attribute: false }) chosen: string[] = [];
  @property({ type: Boolean }) open = false;

  @state() private search = "";

  override render() {
    const all = Object.values(this.groups).flat();
    const wanted = this.search.toLowerCase();
    return html`<details ?open=${this.open}>
      <summary>${this.label} (${this.chosen.length} of ${all.length})</summary>
      <div class="row">
        ${
          all.length > FEW
            ? html`<input
                type="search"
                aria-label=${`Find ${this.label.toLowerCase()}`}
                placeholder="Find"
                .value=${this.search}
                @input=${(event: Event) => (this.search = valueOf(event))}
              />`
            : nothing
        }
        <button type="button" @click=${() => this.#fire(all)}>All</button>
        <button type="button" @click=${() => this.#fire([])}>None</button>
      </div>
      <div class="list">
        ${Object.entries(this.groups).map(([heading, names]) => {
          const shown = names.filter((name) => name.toLowerCase().includes(wanted));
          return shown.length
            ? html`<fieldset>
                <legend>${heading}</legend>
                ${shown.map(
                  (name) =>
                    html`<label class="check"
                      ><input
                        type="checkbox"
                        .checked=${this.chosen.includes(name)}
                        @change=${() => this.#toggle(name)}
                      />
                      ${name}</label
                    >`,
                )}
              </fieldset>`
            : nothing;
        })}
      </div>
    </details>`;
  }

  #toggle(name: string): void {
    const all = Object.values(this.groups).flat();
    const chosen = new Set(this.chosen);
    if (!chosen.delete(name)) chosen.add(name);
    this.#fire(all.filter((it) => chosen.has(it)));
  }

  #fire(chosen: string[]): void {
    this.dispatchEvent(new CustomEvent("choice", { detail: [...new Set(chosen)] }));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-choice": PChoice;
  }
}
