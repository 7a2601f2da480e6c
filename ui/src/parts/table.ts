// <p-table>: a table of any number of rows, of which those in view are drawn.
//
// Browsers limit the height of an element to some 16 million pixels, which 400,000 rows of 40 pixels need.

import { css, html, nothing, type TemplateResult } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { Part } from "../element.js";
import { styled } from "../styled.js";

export interface Column<Row> {
  name: string;
  /** Words of its head. */
  title: unknown;
  /** As in CSS grid-template-columns. */
  width?: string;
  number?: boolean;
  /** Whether a click on its head asks for another order. */
  sortable?: boolean;
  /** Whether it is left out where there is no room for it. */
  minor?: boolean;
  cell: (row: Row) => TemplateResult | string | typeof nothing;
}

/** Which rows are drawn; `p-table` says "range" with it as the event's detail. */
export interface Range {
  first: number;
  end: number;
}

const EXTRA = 12; // rows drawn above and below those in view

/**
 * A grid with one row in the tab order: arrows, Home, End and Page keys move it, Enter opens a row ("open", detail: its
 * index), space chooses it ("choose", detail: {index, range}), a head that is sortable says "sort" with its name.
 */
@customElement("p-table")
export class PTable<Row = unknown> extends Part {
  static override styles = [
    Part.styles,
    css`
      :host {
        display: flex;
        flex-direction: column;
        min-height: 0;
      }
      .view {
        overflow: auto;
        border: 1px solid var(--line);
        border-radius: 8px;
        background: var(--panel);
        flex: 1;
        min-height: 12rem;
        position: relative;
      }
      .line {
        display: grid;
        grid-template-columns: var(--columns);
        gap: 0 0.75rem;
        padding: 0 0.9rem;
        align-items: center;
        min-width: var(--least, 0);
      }
      .head {
        position: sticky;
        top: 0;
        background: var(--panel);
        border-bottom: 1px solid var(--line);
        font-weight: 600;
        color: var(--faint);
        min-height: 2.4rem;
        z-index: 1;
      }
      .body {
        position: relative;
      }
      .body .line {
        position: absolute;
        left: 0;
        right: 0;
        border-bottom: 1px solid var(--line);
        cursor: default;
      }
      .body .line:hover {
        background: var(--soft);
      }
      .body .line[aria-selected="true"] {
        background: var(--soft);
      }
      .body .line:focus-visible {
        outline-offset: -2px;
      }
      .cell {
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
        min-width: 0;
      }
      .all {
        grid-column: 1 / -1;
      }
      .head button {
        border: 0;
        background: none;
        padding: 0.2rem 0;
        font-weight: 600;
        color: var(--faint);
      }
      .head .number button {
        margin-left: auto;
      }
      @media (max-width: 48rem) {
        .minor {
          display: none;
        }
        .line {
          gap: 0 0.5rem;
          padding: 0 0.6rem;
        }
      }
    `,
  ];

  /** What the table shows, for screen readers. */
  @property() label = "";
  @property({ attribute: false }) columns: Column<Row>[] = [];
  /** How many rows there are. */
  @property({ type: Number }) count = 0;
  /** Returns a row, or undefined while it isn't known yet. */
  @property({ attribute: false }) row: (index: number) => Row | undefined = () => undefined;
  /** Returns what stays the same for a row, wherever it is. */
  @property({ attribute: false }) keyOf: (row: Row) => string = () => "";
  @property({ attribute: false }) chosen: ReadonlySet<string> | null = null;
  /** The column that the rows are in the order of. */
  @property() sorted = "";
  @property({ type: Boolean }) descending = false;
  @property({ type: Number }) rowHeight = 40;
  /** Words for a table without rows. */
  @property() empty = "There is nothing here.";

  @state() private top = 0;
  @state() private height = 600;
  @state() private at = 0;
  @state() private narrow = false;
  @query(".view") private view!: HTMLElement;
  #range: Range = { first: 0, end: 0 };

  override connectedCallback(): void {
    super.connectedCallback();
    const media = matchMedia("(max-width: 48rem)");
    this.narrow = media.matches;
    this.listen(media, "change", () => (this.narrow = media.matches));
    const observer = new ResizeObserver(() => (this.height = this.view?.clientHeight ?? 600));
    void this.updateComplete.then(() => this.view && observer.observe(this.view));
    this.whenGone(() => observer.disconnect());
  }

  /** Go to a row: draw it, and give it the focus. */
  async focusRow(index: number, focus = true): Promise<void> {
    this.at = Math.max(0, Math.min(index, this.count - 1));
    const head = this.renderRoot.querySelector<HTMLElement>(".head")?.offsetHeight ?? 0;
    const from = this.at * this.rowHeight;
    if (from < this.view.scrollTop) this.view.scrollTop = from;
    const least = from + this.rowHeight + head - this.view.clientHeight;
    if (least > this.view.scrollTop) this.view.scrollTop = least;
    this.top = this.view.scrollTop;
    await this.updateComplete;
    const line = this.renderRoot.querySelector<HTMLElement>(`[data-at="${this.at}"]`);
    if (focus) line?.focus({ preventScroll: true });
  }

  override render() {
    const columns = this.columns.filter((it) => !(this.narrow && it.minor));
    const widths = columns.map((it) => it.width ?? "minmax(0, 1fr)").join(" ");
    const first = Math.max(0, Math.floor(this.top / this.rowHeight) - EXTRA);
    const end = Math.min(this.count, Math.ceil((this.top + this.height) / this.rowHeight) + EXTRA);
    this.#drawn({ first, end });
    // The row in the tab order is one that is drawn, even if the table was scrolled past it.
    const seen = Math.min(Math.ceil(this.top / this.rowHeight), this.count - 1);
    const stop = this.at >= first && this.at < end ? this.at : seen;
    const rows = [];
    for (let index = first; index < end; index++) rows.push(this.#line(index, columns, stop));
    return html`<div
      class="view"
      role="grid"
      aria-label=${this.label}
      aria-rowcount=${this.count + 1}
      aria-multiselectable=${this.chosen ? "true" : nothing}
      tabindex=${this.count ? nothing : 0}
      ${styled({ "--columns": widths })}
      @scroll=${() => (this.top = this.view.scrollTop)}
    >
      <div class="line head" role="row" aria-rowindex="1">
        ${columns.map((column) => this.#head(column))}
      </div>
      <div
        class="body"
        role="rowgroup"
        ${styled({ height: `${Math.max(1, this.count) * this.rowHeight}px` })}
        @keydown=${this.#keyed}
      >
        ${
          this.count
            ? rows
            : html`<div class="line" role="row" ${styled({ height: `${this.rowHeight}px` })}>
                <span role="gridcell" class="faint all">${this.empty}</span>
              </div>`
        }
      </div>
    </div>`;
  }

  #head(column: Column<Row>) {
    const sorted = column.name === this.sorted;
    const order = sorted ? (this.descending ? "descending" : "ascending") : "none";
    return html`<span
      role="columnheader"
      class="cell ${column.number ? "number" : ""}"
      aria-sort=${column.sortable ? order : nothing}
    >
      ${
        column.sortable
          ? html`<button @click=${() => this.#say("sort", column.name)}>
              ${column.title}<span aria-hidden="true"
                >${sorted ? (this.descending ? " ↓" : " ↑") : ""}</span
              >
            </button>`
          : column.title
      }
    </span>`;
  }

  #line(index: number, columns: Column<Row>[], stop: number) {
    const row = this.row(index);
    const chosen = row !== undefined && this.chosen?.has(this.keyOf(row));
    return html`<div
      class="line"
      role="row"
      data-at=${index}
      aria-rowindex=${index + 2}
      aria-selected=${this.chosen ? (chosen ? "true" : "false") : nothing}
      tabindex=${index === stop ? 0 : -1}
      ${styled({ top: `${index * this.rowHeight}px`, height: `${this.rowHeight}px` })}
      @focus=${() => (this.at = index)}
      @dblclick=${() => this.#say("open", index)}
    >
      ${columns.map(
        (column) =>
          html`<span role="gridcell" class="cell ${column.number ? "number" : ""}"
            >${row === undefined ? html`<span class="faint">…</span>` : column.cell(row)}</span
          >`,
      )}
    </div>`;
  }

  #keyed(event: KeyboardEvent): void {
    const page = Math.max(1, Math.floor(this.height / this.rowHeight) - 2);
    const moves: Record<string, number> = {
      ArrowDown: this.at + 1,
      ArrowUp: this.at - 1,
      PageDown: this.at + page,
      PageUp: this.at - page,
      Home: 0,
      End: this.count - 1,
    };
    // Controls in a cell keep their keys, except for those that move from row to row.
    const onRow = (event.target as HTMLElement).getAttribute("role") === "row";
    const to = moves[event.key];
    if (to !== undefined) void this.focusRow(to);
    else if (event.key === "Enter" && onRow) this.#say("open", this.at);
    else if (event.key === " " && onRow && this.chosen)
      this.#say("choose", { index: this.at, range: event.shiftKey });
    else return;
    event.preventDefault();
  }

  #drawn(range: Range): void {
    if (range.first === this.#range.first && range.end === this.#range.end) return;
    this.#range = range;
    // After the rendering, since whoever listens may change what is rendered.
    queueMicrotask(() => this.#say("range", range));
  }

  #say(name: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-table": PTable;
  }
}
