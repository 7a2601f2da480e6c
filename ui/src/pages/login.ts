// <page-login>: a token becomes the cookie by which the page asks; then back to where one was.

import { css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { ApiError, post } from "../api.js";
import { page } from "../base.js";
import { Part } from "../element.js";
import { live } from "../live.js";
import "../parts/error.js";
import { back, go, type Route } from "../router.js";

/** The code of the answer of a server without tokens. */
const NOTHING_TO_LOG_IN_TO = "nothing_to_log_in_to";

@customElement("page-login")
export class PageLogin extends Part {
  static override styles = [
    Part.styles,
    css`
      .panel {
        max-width: 28rem;
        margin: 8vh auto 0;
      }
    `,
  ];

  @property({ attribute: false }) route!: Route;
  @state() private error: unknown = null;
  @state() private working = false;
  @query("input") private input!: HTMLInputElement;

  override firstUpdated(): void {
    this.input.focus();
  }

  override render() {
    const needless = this.error instanceof ApiError && this.error.code === NOTHING_TO_LOG_IN_TO;
    return html`<div class="panel">
      <h1>Log in</h1>
      <p>
        The operator of this server has given you a token. This browser keeps a cookie in its place,
        which no page of another server can use.
      </p>
      <form @submit=${this.#submitted}>
        <label class="field">
          <span>Token</span>
          <input
            type="password"
            name="token"
            autocomplete="current-password"
            autocapitalize="none"
            spellcheck="false"
            required
          />
        </label>
        <button class="primary" ?disabled=${this.working}>Log in</button>
      </form>
      <p-error .error=${this.error}></p-error>
      ${needless ? html`<p><a href=${page(back())}>Go on without</a></p>` : nothing}
    </div>`;
  }

  async #submitted(event: Event): Promise<void> {
    event.preventDefault();
    this.working = true;
    this.error = null;
    try {
      await post("/login", { token: this.input.value });
      live.loggedInOrOut();
      go(back(), { replace: true });
    } catch (error) {
      this.error = error;
      this.input.select();
    } finally {
      this.working = false;
    }
  }
}
