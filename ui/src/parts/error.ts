// <p-error .error>: an error where it happened, in words, with what to do.

import { css, html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import { ApiError, UNREACHABLE } from "../api.js";
import { Part } from "../element.js";

/** Shows nothing without an error. With `retry` it has a button that does that. */
@customElement("p-error")
export class PError extends Part {
  static override styles = [
    Part.styles,
    css`
      :host {
        display: contents;
      }
      div {
        border: 1px solid var(--danger);
        border-left-width: 4px;
        background: var(--danger-soft);
        border-radius: 6px;
        padding: 0.6rem 0.9rem;
        margin: 0.5rem 0;
        overflow-wrap: anywhere;
      }
      p {
        margin: 0.2rem 0;
      }
    `,
  ];

  @property({ attribute: false }) error: unknown = null;
  @property({ attribute: false }) retry: (() => void) | null = null;

  override render() {
    if (this.error === null || this.error === undefined) return nothing;
    const todo = whatToDo(this.error);
    return html`<div role="alert">
      <p><strong>${wordsOf(this.error)}</strong></p>
      ${todo ? html`<p>${todo}</p>` : nothing} ${problems(this.error)}
      ${this.retry ? html`<button @click=${this.retry}>Try again</button>` : nothing}
    </div>`;
  }
}

/** Return what an error says. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function whatToDo(error: unknown): string {
  if (!(error instanceof ApiError)) return "";
  if (error.code === UNREACHABLE) return "Nothing that you typed is lost. Try again once it does.";
  if (error.status === 409)
    return "Something else has changed the run meanwhile; look at it again.";
  if (error.status === 429) return "Wait a little, or delete what isn't needed any more.";
  if (error.status === 503) return "The server can't do it now; try again in a moment.";
  if (error.status >= 500) return "The server's log says more about it.";
  return "";
}

function problems(error: unknown) {
  if (!(error instanceof ApiError) || !Array.isArray(error.details.errors)) return nothing;
  const found = error.details.errors.slice(1, 20) as { where?: string; problem?: string }[];
  if (!found.length) return nothing;
  return html`<ul>
    ${found.map((it) => html`<li><code>${it.where}</code> ${it.problem}</li>`)}
  </ul>`;
}

declare global {
  interface HTMLElementTagNameMap {
    "p-error": PError;
  }
}
