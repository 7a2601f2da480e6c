// <p-configurations>: what a solver of binding networks has found: what is proved, and each configuration drawn.

import { css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { path } from "../base.js";
import { Part } from "../element.js";
import type { Configurations, Found } from "../networks.js";
import { count, figure } from "../words.js";
import "./picture.js";

const AT_ONCE = 6; // configurations that are drawn before more are asked for

@customElement("p-configurations")
export class PConfigurations extends Part {
  static override styles = [
    Part.styles,
    css`
      .found {
        list-style: none;
        padding: 0;
        margin: 0;
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(min(34rem, 100%), 1fr));
        gap: var(--gap);
      }
      h3 {
        margin-top: 0;
      }
      summary {
        cursor: pointer;
      }
    `,
  ];

  @property() run = "";
  @property({ attribute: false }) result!: Configurations;
  /** Whether more may be found. */
  @property({ type: Boolean }) live = false;
  @state() private shown = AT_ONCE;

  override render() {
    const { result } = this;
    return html`${result.conflict.length ? this.#conflict() : nothing}
      <dl class="facts">
        <dt>Without constraints</dt>
        <dd>${result.entropy === null ? "not proved" : count(result.entropy, "polymer")}</dd>
        <dt>Upper bound by</dt>
        <dd>${result.bound_source}</dd>
        <dt>Listed</dt>
        <dd>${this.#listed()}</dd>
      </dl>
      <ol class="found">
        ${result.configs.slice(0, this.shown).map((each, at) => this.#one(each, at + 1))}
      </ol>
      ${
        result.configs.length > this.shown
          ? html`<p>
              <button @click=${() => (this.shown += 2 * AT_ONCE)}>
                Draw more: ${this.shown} of ${figure(result.configs.length)} are shown
              </button>
            </p>`
          : nothing
      }`;
  }

  #listed(): string {
    const { result, live } = this;
    const listed = count(result.configs.length, "configuration");
    if (live) return `${listed} so far`;
    if (result.exhausted) return `${listed}, which are all of them`;
    return result.total === null ? listed : `${listed} of ${figure(result.total)}`;
  }

  #conflict() {
    return html`<div class="panel">
      <p><b>No configuration satisfies the constraints.</b> These can't hold together:</p>
      <ul>
        ${this.result.conflict.map((words) => html`<li><code>${words.join(" ")}</code></li>`)}
      </ul>
    </div>`;
  }

  #one(found: Found, number: number) {
    const src = `/runs/${this.run}/configurations/${number}`;
    const title = `Configuration ${number}, ${count(found.polymers_count, "polymer")}`;
    return html`<li class="panel">
      <div class="row spread">
        <h3>${title}</h3>
        <a class="button" download href=${path(src)} aria-label=${`SVG of ${title}`}>SVG</a>
      </div>
      <p-picture
        .src=${src}
        .version=${JSON.stringify(found.bonds) + polymers(found)}
        .alt=${title}
      >
      </p-picture>
      <details>
        <summary>As text</summary>
        <pre tabindex="0">${polymers(found)}</pre>
      </details>
    </li>`;
  }
}

/** Return a configuration in words: a line for all polymers of the same monomers. */
function polymers({ polymers }: Found): string {
  const counts = new Map<string, number>();
  for (const monomers of polymers) {
    const line = monomers.map((words) => `[${words.join(" ")}]`).join(" + ");
    counts.set(line, (counts.get(line) ?? 0) + 1);
  }
  return [...counts].map(([line, copies]) => `${copies} × ${line}`).join("\n");
}

declare global {
  interface HTMLElementTagNameMap {
    "p-configurations": PConfigurations;
  }
}
