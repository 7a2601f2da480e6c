// <p-lifecycle>: the buttons that bring a task or an experiment to another state, enabled where that is allowed.

import { css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { put } from "../api.js";
import { Part } from "../element.js";
import type { ExperimentRun, State, TaskRecord } from "../types.js";
import { titleOf } from "../words.js";
import { confirm } from "./dialog.js";
import "./error.js";

type Steered = ExperimentRun | TaskRecord;

interface Trigger {
  to: State;
  words: string;
  from: readonly State[];
  primary?: boolean;
  /** Why it should be asked for twice. */
  asks?: string;
}

const LIVE: readonly State[] = ["created", "paused", "started", "completed"];
const EXPERIMENT: readonly Trigger[] = [
  { to: "started", words: "Start", from: ["paused"], primary: true },
  { to: "paused", words: "Pause", from: ["started"] },
  { to: "completed", words: "Complete", from: ["started"] },
  {
    to: "stopped",
    words: "Stop",
    from: LIVE,
    asks: "It can't be started again; a fork of it can.",
  },
  { to: "failed", words: "Fail", from: LIVE, asks: "It counts as failed then, for good." },
];
const TASK: readonly Trigger[] = [
  { to: "paused", words: "Pause", from: ["created", "started"] },
  { to: "started", words: "Go on", from: ["paused"] },
  {
    to: "stopped",
    words: "Terminate",
    from: ["created", "paused", "started"],
    asks: "It is ended for good; what it has found by now stays.",
  },
];

/** What a run is to do is done by its worker; until then the button that was used says so. */
@customElement("p-lifecycle")
export class PLifecycle extends Part {
  static override styles = [
    Part.styles,
    css`
      .waiting {
        color: var(--faint);
      }
    `,
  ];

  @property({ attribute: false }) run!: Steered;
  @state() private asked: State | null = null;
  @state() private error: unknown = null;

  override render() {
    const { run } = this;
    const triggers = run.kind === "experiment" ? EXPERIMENT : TASK;
    const desired = run.desired !== run.state && !ended(run) ? run.desired : null;
    const waiting = this.asked ?? desired;
    return html`<div class="row" role="group" aria-label="State of the run">
        ${triggers.map(({ to, words, from, primary, asks }) => {
          // A task that waits is "created", and so is one that is paused before it has begun.
          const state = run.kind === "task" && desired === "paused" ? "paused" : run.state;
          return html`<button
            class=${primary ? "primary" : to === "stopped" || to === "failed" ? "danger" : ""}
            ?disabled=${this.asked !== null || !from.includes(state)}
            @click=${() => void this.#bring(to, words, asks)}
          >
            ${words}
          </button>`;
        })}
        <span class="waiting" role="status"
          >${waiting ? `It is asked to be ${waiting}…` : nothing}</span
        >
      </div>
      <p-error .error=${this.error}></p-error>`;
  }

  async #bring(to: State, words: string, asks: string | undefined): Promise<void> {
    const { id } = this.run;
    if (asks) {
      const question = { action: words, danger: true, details: asks };
      if (!(await confirm(`${words} ${titleOf(this.run)}?`, question))) return;
    }
    this.asked = to;
    this.error = null;
    try {
      this.run = await put<Steered>(`/runs/${id}/state`, { state: to });
    } catch (error) {
      this.error = error;
    }
    this.asked = null;
  }
}

function ended({ state }: Steered): boolean {
  return state === "completed" || state === "stopped" || state === "failed";
}

declare global {
  interface HTMLElementTagNameMap {
    "p-lifecycle": PLifecycle;
  }
}
