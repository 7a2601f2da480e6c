// <p-tree>: the tree of forks that a run belongs to, each drawn from where it begins to differ to where it stands.

import { css, html, nothing, svg, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { ApiError, get } from "../api.js";
import { page } from "../base.js";
import { Part } from "../element.js";
import { live } from "../live.js";
import type { ForkNode, ForkTree, RunEvent } from "../types.js";
import { MOST_COMPARED } from "../session/query.js";
import { figure, titleOf } from "../words.js";
import "./error.js";

const EVERY = 10_000; // milliseconds between two looks for new forks

interface Branch {
  node: ForkNode;
  depth: number;
}

@customElement("p-tree")
export class PTree extends Part {
  static override styles = [
    Part.styles,
    css`
      ol {
        list-style: none;
        margin: 0;
        padding: 0;
      }
      li {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(15rem, 100%), 1fr));
        gap: 0.25rem 0.75rem;
        align-items: center;
        padding: 0.15rem 0;
      }
      li > span {
        display: flex;
        gap: 0.4rem;
        align-items: center;
        min-width: 0;
      }
      a {
        flex: 1;
        min-width: 5rem;
        overflow-wrap: anywhere;
      }
      a[aria-current] {
        font-weight: 700;
        color: var(--ink);
      }
      svg {
        width: 100%;
        height: 14px;
      }
      .indent {
        flex: none;
        width: auto;
      }
      .stem,
      .indent path {
        stroke: var(--line);
        stroke-width: 2;
        fill: none;
      }
      .own {
        stroke: var(--field);
        stroke-width: 6;
      }
      .current .own {
        stroke: var(--accent);
      }
    `,
  ];

  @property() run = "";

  @state() private nodes: ForkNode[] | null = null;
  @state() private chosen: ReadonlySet<string> = new Set();
  @state() private error: unknown = null;

  #reading = 0;
  #unfollow: (() => void) | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.whenGone(() => this.#unfollow?.());
    // Forks that others make announce themselves to nobody who follows these runs.
    this.every(EVERY, () => this.checkVisibility() && void this.refresh());
    this.listen(document, "visibilitychange", () => document.hidden || void this.refresh());
    this.whenLive(() => this.refresh());
  }

  override updated(changed: PropertyValues<this>): void {
    if (changed.has("run")) void this.refresh();
  }

  /** Read the tree once more, for example since there is a new fork. */
  async refresh(): Promise<void> {
    const reading = ++this.#reading;
    try {
      const { nodes } = await get<ForkTree>(`/runs/${this.run}/tree`);
      if (reading !== this.#reading || !this.isConnected) return;
      this.nodes = nodes;
      this.error = null;
      const others = nodes.map(({ id }) => id).filter((id) => id !== this.run);
      const ending = this.#unfollow;
      this.#unfollow = live.runs([this.run, ...others], (event) => this.#take(event));
      ending?.(); // behind it, so that the stream needn't begin anew for the same runs
    } catch (error) {
      // That the server doesn't answer is shown on top of the page.
      if (!(error instanceof ApiError && error.status === 0)) this.error = error;
    }
  }

  override render() {
    if (this.error) return html`<p-error .error=${this.error}></p-error>`;
    const { nodes } = this;
    if (!nodes) return html`<p role="status">Reading…</p>`;
    if (nodes.length < 2)
      return html`<p class="faint">
        There are no forks yet. Choose a step on the time line to make one.
      </p>`;
    const branches = branchesOf(nodes);
    const end = Math.max(1, ...nodes.map(endOf));
    const chosen = nodes.filter(({ id }) => this.chosen.has(id)).map(({ id }) => id);
    return html`
      <ol>
        ${branches.map((branch) => this.#branch(branch, end))}
      </ol>
      <p>
        ${
          chosen.length > MOST_COMPARED
            ? html`<span class="faint">At most ${MOST_COMPARED} can be compared.</span>`
            : chosen.length > 1
              ? html`<a class="button" href=${page(`/compare?runs=${chosen.join(",")}`)}
                  >Compare the ${chosen.length} chosen</a
                >`
              : html`<span class="faint">Choose two or more to compare them.</span>`
        }
      </p>
    `;
  }

  #branch({ node, depth }: Branch, end: number) {
    const current = node.id === this.run;
    const from = startOf(node);
    const percent = (at: number): string => `${1 + (at / end) * 98}%`;
    return html`<li class=${current ? "current" : ""}>
      <span>
        ${
          depth
            ? html`<svg class="indent" width=${depth * 14} height="14" aria-hidden="true">
                ${svg`<path d=${`M${depth * 14 - 9} 0 V8 H${depth * 14}`} />`}
              </svg>`
            : nothing
        }
        <input
          type="checkbox"
          aria-label=${`Choose ${titleOf(node)} to compare`}
          .checked=${this.chosen.has(node.id)}
          @change=${() => this.#toggle(node.id)}
        />
        <a href=${page(`/runs/${node.id}`)} aria-current=${current ? "page" : nothing}
          >${titleOf(node)}</a
        >
        <span class="state ${node.state}">${node.state}</span>
      </span>
      <svg role="img" aria-label=${`from ${placeOf(node, from)} to ${placeOf(node, endOf(node))}`}>
        ${svg`<line class="stem" x1="1%" x2=${percent(from)} y1="7" y2="7" />
          <line class="own" x1=${percent(from)} x2=${percent(endOf(node))} y1="7" y2="7" />`}
      </svg>
    </li>`;
  }

  #toggle(id: string): void {
    const chosen = new Set(this.chosen);
    if (!chosen.delete(id)) chosen.add(id);
    this.chosen = chosen;
  }

  #take({ run, state, step, name }: RunEvent): void {
    const nodes = this.nodes ?? [];
    if (state === "deleted") this.nodes = nodes.filter(({ id }) => id !== run);
    else
      this.nodes = nodes.map((node) =>
        node.id === run
          ? { ...node, state, name: name ?? node.name, position: step ?? node.position }
          : node,
      );
  }
}

/** Return where a fork begins to differ from its parent. */
function startOf(node: ForkNode): number {
  return node.parent === null ? 0 : (node.step ?? node.savepoint ?? 0);
}

function endOf(node: ForkNode): number {
  return Math.max(node.position ?? 0, startOf(node));
}

/** Return a place of a run in words: a step, or the simulation time of an experiment. */
function placeOf({ kind }: ForkNode, at: number): string {
  return kind === "experiment" ? `${figure(at / 1e9)} s` : figure(at);
}

/** Return the runs in the order of a tree: each behind its parent, the older before the younger. */
function branchesOf(nodes: ForkNode[]): Branch[] {
  const known = new Set(nodes.map(({ id }) => id));
  const children = new Map<string | null, ForkNode[]>();
  for (const node of [...nodes].sort((one, other) => one.created - other.created)) {
    const parent = node.parent !== null && known.has(node.parent) ? node.parent : null;
    children.set(parent, [...(children.get(parent) ?? []), node]);
  }
  const branches: Branch[] = [];
  const rest = (children.get(null) ?? []).map((node) => ({ node, depth: 0 })).reverse();
  for (let next = rest.pop(); next; next = rest.pop()) {
    branches.push(next);
    const { node, depth } = next;
    rest.push(
      ...(children.get(node.id) ?? []).map((it) => ({ node: it, depth: depth + 1 })).reverse(),
    );
  }
  return branches;
}

declare global {
  interface HTMLElementTagNameMap {
    "p-tree": PTree;
  }
}
