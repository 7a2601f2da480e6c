// <p-log>: the lines that a run wrote, as they come, by level and with a search; those in view are drawn.

import { css, html, type PropertyValues } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { get, isAbort } from "../api.js";
import { Part, valueOf } from "../element.js";
import { ReadAgain } from "../read-again.js";
import { setQuery } from "../router.js";
import { styled } from "../styled.js";
import type { LogLine, LogLines } from "../types.js";
import { count, when } from "../words.js";
import "./error.js";

const HEIGHT = 22; // pixels of a line
const EXTRA = 20; // lines drawn above and below those in view
const PAGE = 10_000; // lines in an answer, which is as many as a server keeps by default
const MOST = 10_000; // lines that are kept here
const EVERY = 1_000; // milliseconds between two looks at a run that is at work

const SEVERITY: Record<string, number> = { debug: 0, info: 1, warning: 2, error: 3, critical: 4 };
const LEAST: readonly [string, string][] = [
  ["", "All levels"],
  ["info", "Info and above"],
  ["warning", "Warnings and above"],
  ["error", "Errors only"],
];

@customElement("p-log")
export class PLog extends Part {
  static override styles = [
    Part.styles,
    css`
      .view {
        max-height: 18rem;
        min-height: 4rem;
        overflow: auto;
        background: var(--panel);
        border: 1px solid var(--line);
        border-radius: 8px;
        font-family: var(--mono);
        font-size: 0.85rem;
        margin-top: 0.5rem;
      }
      ol {
        list-style: none;
        margin: 0;
        padding: 0;
        position: relative;
        min-width: max-content;
      }
      li {
        position: absolute;
        left: 0;
        height: ${HEIGHT}px;
        line-height: ${HEIGHT}px;
        display: flex;
        gap: 1ch;
        padding: 0 0.75rem;
      }
      .text {
        white-space: pre;
      }
      .view > p {
        padding: 0 0.75rem;
      }
      .time {
        color: var(--faint);
      }
      .level {
        min-width: 8ch;
      }
      .warning .level {
        color: var(--warn);
        font-weight: 700;
      }
      .error .level,
      .critical .level {
        color: var(--danger);
        font-weight: 700;
      }
      mark {
        background: var(--accent);
        color: var(--accent-ink);
      }
      input[type="search"] {
        flex: 1 1 10rem;
        min-width: 0;
      }
    `,
  ];

  /** The run's id. */
  @property() run = "";
  /** Whether more lines may come. */
  @property({ type: Boolean }) live = false;
  @property() level = "";
  @property() find = "";

  @state() private lines: LogLine[] = [];
  @state() private error: unknown = null;
  @state() private read = false;
  @state() private follow = true;
  @state() private top = 0;
  @state() private height = 300;
  @query(".view") private view!: HTMLElement;
  #reading = new ReadAgain((signal) => this.#read(signal), 0);

  override connectedCallback(): void {
    super.connectedCallback();
    this.every(EVERY, () => this.live && this.#reading.soon());
    const observer = new ResizeObserver(() => (this.height = this.view?.clientHeight || 300));
    void this.updateComplete.then(() => this.view && observer.observe(this.view));
    this.whenGone(() => {
      observer.disconnect();
      this.#reading.close();
    });
    this.whenLive(() => this.#reading.soon());
    if (this.hasUpdated) this.#reading.soon();
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("run")) {
      this.#reading.close();
      this.lines = [];
      this.read = false;
      this.#reading.soon();
    } else if (changed.has("live") && !this.live) {
      this.#reading.soon(); // what it wrote at its very end comes with, or after, the news of it
    }
  }

  override updated(): void {
    if (!this.follow || !this.view) return;
    const bottom = this.view.scrollHeight - this.view.clientHeight;
    if (Math.abs(this.view.scrollTop - bottom) > 1) this.view.scrollTop = bottom;
  }

  /**
   * Read the lines that are new, and the last known one again: after a crash, lines that came after the savepoint are
   * taken away, and others get their numbers.
   */
  async #read(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        const last = this.lines.at(-1);
        const after = last ? last.number - 1 : 0;
        const at = `/runs/${this.run}/logs?after=${after}&limit=${PAGE}`;
        const { lines, next } = await get<LogLines>(at, { signal });
        const [same, ...others] = lines;
        if (last && !(same && isSame(same, last))) {
          this.lines = [];
          continue;
        }
        const fresh = last ? others : lines;
        if (fresh.length) this.lines = [...this.lines, ...fresh].slice(-MOST);
        this.read = true;
        this.error = null;
        if (next === null) break;
      }
    } catch (error) {
      if (!isAbort(error)) this.error = error;
    }
  }

  override render() {
    const shown = this.#shown();
    const first = Math.max(0, Math.floor(this.top / HEIGHT) - EXTRA);
    const end = Math.min(shown.length, Math.ceil((this.top + this.height) / HEIGHT) + EXTRA);
    const gone = (this.lines[0]?.number ?? 1) - 1;
    return html`<div class="row">
        <label class="check"
          ><span class="hidden-text">Level</span>
          <select @change=${(event: Event) => setQuery({ level: valueOf(event) })}>
            ${LEAST.map(([value, words]) => html`<option value=${value} ?selected=${value === this.level}>${words}</option>`)}
          </select>
        </label>
        <input
          type="search"
          aria-label="Search the lines"
          placeholder="Search"
          .value=${this.find}
          @input=${(event: Event) => setQuery({ find: valueOf(event) })}
        />
        <label class="check"
          ><input
            type="checkbox"
            .checked=${this.follow}
            @change=${(event: Event) => (this.follow = (event.target as HTMLInputElement).checked)}
          />
          Follow</label
        >
        <span class="faint" role="status"
          >${
            shown.length === this.lines.length
              ? count(shown.length, "line")
              : `${count(shown.length, "line")} of ${this.lines.length}`
          }${gone > 0 ? `; ${count(gone, "older line")} no longer kept` : ""}</span
        >
      </div>
      <p-error .error=${this.error} .retry=${() => this.#reading.soon()}></p-error>
      <div class="view" tabindex="0" role="region" aria-label="Log lines" @scroll=${this.#scrolled}>
        ${
          shown.length
            ? html`<ol ${styled({ height: `${shown.length * HEIGHT}px` })}>
                ${shown.slice(first, end).map((line, at) => this.#line(line, first + at, shown.length))}
              </ol>`
            : html`<p class="faint">
                ${!this.read ? "" : this.lines.length ? " No line is like that." : " It has written nothing."}
              </p>`
        }
      </div>`;
  }

  #line({ time, level, text }: LogLine, at: number, all: number) {
    const top = `${at * HEIGHT}px`;
    return html`<li class=${level} aria-setsize=${all} aria-posinset=${at + 1} ${styled({ top })}>
      <span class="time" title=${when(time)}>${clock(time)}</span>
      <span class="level">${level}</span>
      <span class="text">${this.#marked(text)}</span>
    </li>`;
  }

  #marked(text: string) {
    const at = this.find ? text.toLowerCase().indexOf(this.find.toLowerCase()) : -1;
    if (at < 0) return text;
    const end = at + this.find.length;
    return html`${text.slice(0, at)}<mark>${text.slice(at, end)}</mark>${text.slice(end)}`;
  }

  #shown(): LogLine[] {
    if (!this.level && !this.find) return this.lines;
    const least = SEVERITY[this.level] ?? 0;
    const sought = this.find.toLowerCase();
    return this.lines.filter(
      ({ level, text }) => (SEVERITY[level] ?? 1) >= least && text.toLowerCase().includes(sought),
    );
  }

  #scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.view;
    // Whoever scrolls up wants to read; whoever scrolls to the end wants to see what comes.
    const atEnd = scrollHeight - clientHeight - scrollTop < HEIGHT;
    if (scrollTop < this.top && !atEnd) this.follow = false;
    else if (atEnd) this.follow = true;
    this.top = scrollTop;
  }
}

const moment = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hourCycle: "h23",
});

function isSame(one: LogLine, other: LogLine): boolean {
  return one.number === other.number && one.time === other.time && one.text === other.text;
}

function clock(seconds: number): string {
  return moment.format(seconds * 1000);
}

declare global {
  interface HTMLElementTagNameMap {
    "p-log": PLog;
  }
}
