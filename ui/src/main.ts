// <perdure-app>: header, navigation, the page of the route, and whether the server is there.

import { css, html, nothing } from "lit";
import { customElement, query, state } from "lit/decorators.js";
import { get, post } from "./api.js";
import { path, page } from "./base.js";
import { elementOf, Part, valueOf } from "./element.js";
import { live } from "./live.js";
import { notices } from "./notice.js";
import { PAGES } from "./pages.js";
import "./pages/run.js";
import "./parts/error.js";
import { followLinks, route, routes, type Route, type RouteName } from "./router.js";
import "./shared.js";
import { documentSheet } from "./styles.js";
import { setTheme, startTheme, theme, type Theme } from "./theme.js";
import type { Me } from "./types.js";

const NAVIGATION: readonly [string, string, readonly RouteName[]][] = [
  ["/", "Runs", ["runs", "run"]],
  ["/new", "New", ["new", "new-session", "new-experiment", "new-network"]],
  ["/compare", "Compare", ["compare"]],
  ["/system", "System", ["system"]],
];
const NOTICE_FOR = 5_000; // milliseconds
const NO_RUN = "-"; // no run has this id

@customElement("perdure-app")
export class PerdureApp extends Part {
  static override styles = [
    Part.styles,
    css`
      header {
        background: var(--panel);
        border-bottom: 1px solid var(--line);
        padding: 0.4rem 1.25rem;
        display: flex;
        flex-wrap: wrap;
        gap: 0.25rem 1.25rem;
        align-items: center;
      }
      .brand {
        font-weight: 700;
        font-size: 1.1rem;
        letter-spacing: -0.01em;
        color: var(--ink);
        text-decoration: none;
      }
      nav {
        display: flex;
        flex-wrap: wrap;
        gap: 0.15rem;
        flex: 1;
      }
      nav a {
        padding: 0.35rem 0.7rem;
        border-radius: 6px;
        color: var(--ink);
        text-decoration: none;
      }
      nav a:hover {
        background: var(--soft);
      }
      nav a[aria-current] {
        background: var(--soft);
        color: var(--accent);
        font-weight: 600;
      }
      .who {
        display: flex;
        flex-wrap: wrap;
        gap: 0.5rem;
        align-items: center;
      }
      main {
        padding: 1.25rem;
        max-width: 100rem;
        margin: 0 auto;
      }
      main:focus {
        outline: none;
      }
      .lost {
        background: var(--warn-soft);
        border-bottom: 1px solid var(--warn);
        padding: 0.5rem 1.25rem;
      }
      .notice {
        position: fixed;
        bottom: 1rem;
        right: 1rem;
        max-width: calc(100vw - 2rem);
        background: var(--panel);
        border: 1px solid var(--good);
        border-left-width: 4px;
        border-radius: 6px;
        box-shadow: var(--shadow);
        padding: 0.6rem 1rem;
        z-index: 10;
      }
      .skip {
        position: absolute;
        left: -100vw;
      }
      .skip:focus {
        left: 0.5rem;
        top: 0.5rem;
        z-index: 10;
      }
      @media (max-width: 40rem) {
        header {
          padding: 0.4rem 0.75rem;
        }
        main {
          padding: 0.75rem;
        }
        nav {
          order: 3;
          flex-basis: 100%;
        }
        .who {
          margin-left: auto;
        }
      }
    `,
  ];

  @state() private route: Route = route();
  @state() private lost = false;
  @state() private notice = "";
  @state() private failure: unknown = null;
  @state() private loaded = new Set<string>();
  @state() private me: Me | null = null;
  @state() private theme: Theme = theme();
  @query("main") private main!: HTMLElement;
  #shown: Element | undefined;
  #unwatch: (() => void) | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.listen(routes, "change", () => this.#routed());
    this.listen(live, "change", () => (this.lost = live.state === "lost"));
    this.listen(notices, "notice", (event) => this.#say((event as CustomEvent<string>).detail));
    followLinks();
    this.whenGone(() => this.#unwatch?.());
    void this.#load();
    void this.#meet();
    this.#watch();
  }

  override render() {
    return html`
      <header>
        <button class="skip" @click=${() => this.main.focus()}>Skip to the content</button>
        <a class="brand" href=${page("/")}>Perdure</a>
        <nav aria-label="Pages">
          ${NAVIGATION.filter(([, , names]) => names.some((it) => PAGES[it])).map(
            ([to, words, names]) =>
              html`<a
                href=${page(to)}
                aria-current=${names.includes(this.route.name) ? "page" : nothing}
                >${words}</a
              >`,
          )}
        </nav>
        <div class="who">
          ${this.#who()}
          <label>
            <span class="hidden-text">Colours</span>
            <select @change=${this.#themed}>
              ${(["system", "light", "dark"] as const).map(
                (it) =>
                  html`<option value=${it} ?selected=${it === this.theme}>
                    ${{ system: "Auto", light: "Light", dark: "Dark" }[it]}
                  </option>`,
              )}
            </select>
          </label>
        </div>
      </header>
      <div role="status">
        ${
          this.lost
            ? html`<div class="lost">
                The server doesn't answer. The page goes on by itself once it does; nothing that you
                typed is lost. <button @click=${() => live.retry()}>Try now</button>
              </div>`
            : nothing
        }
      </div>
      <main id="main" tabindex="-1">${this.#page()}</main>
      <div role="status">
        ${this.notice ? html`<div class="notice">${this.notice}</div>` : nothing}
      </div>
    `;
  }

  #page() {
    if (this.failure !== null)
      return html`<p-error .error=${this.failure} .retry=${() => void this.#load()}></p-error>`;
    const source = PAGES[this.route.name];
    if (!source)
      return html`<h1>There is nothing here</h1>
        <p>No page has this address. <a href=${page("/")}>See the runs</a></p>`;
    if (!this.loaded.has(source.element)) return nothing;
    return (this.#shown = elementOf(source.element, this.#shown, { route: this.route }));
  }

  #who() {
    const me = this.me;
    if (!me?.token_needed) return nothing;
    return html`<span>${me.owner}${me.administrator ? ", administrator" : ""}</span>
      <button @click=${this.#leave}>Log out</button>`;
  }

  async #routed(): Promise<void> {
    const before = this.route.name;
    this.route = route();
    if (this.route.name === before) return;
    this.#watch();
    if (before === "login") void this.#meet();
    await this.#load();
    this.main.focus({ preventScroll: true });
  }

  /** Keep the stream of events open on every page but the login: it notices when the server is lost. */
  #watch(): void {
    if (this.route.name !== "login") this.#unwatch ??= live.runs([NO_RUN], () => undefined);
    else {
      this.#unwatch?.();
      this.#unwatch = undefined;
    }
  }

  async #load(): Promise<void> {
    const source = PAGES[this.route.name];
    document.title = source ? `${source.title} · Perdure` : "Perdure";
    this.failure = null;
    if (!source || this.loaded.has(source.element)) return;
    try {
      await source.load?.();
      this.loaded = new Set(this.loaded).add(source.element);
    } catch (error) {
      this.failure = new Error("A part of the page couldn't be loaded.", { cause: error });
    }
  }

  async #meet(): Promise<void> {
    if (this.route.name === "login") return;
    // Who one is only decorates the header; whatever else is asked says what is wrong.
    this.me = await get<Me>("/me").catch(() => null);
  }

  async #leave(): Promise<void> {
    try {
      await post("/logout");
      live.loggedInOrOut();
      location.assign(path("/ui/login"));
    } catch (error) {
      this.failure = error;
    }
  }

  #themed(event: Event): void {
    this.theme = valueOf(event) as Theme;
    setTheme(this.theme);
  }

  #say(text: string): void {
    this.notice = text;
    setTimeout(() => {
      if (this.notice === text) this.notice = "";
    }, NOTICE_FOR);
  }
}

const sheet = documentSheet.styleSheet;
if (sheet) document.adoptedStyleSheets.push(sheet);
startTheme();
