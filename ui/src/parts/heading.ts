// <p-heading>: what a run is called, of what kind and in what state it is, and what can be done with any run.

import { css, html, nothing, type PropertyValues } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { del, patch, put } from "../api.js";
import { page } from "../base.js";
import { Part } from "../element.js";
import { notice } from "../notice.js";
import { go } from "../router.js";
import type { RunRecord } from "../types.js";
import { hasEnded, modelOf, tagsOf, titleOf, when } from "../words.js";
import { confirm } from "./dialog.js";
import "./error.js";

/** What it shows is put beside the buttons that stop and delete the run. */
@customElement("p-heading")
export class PHeading extends Part {
  static override styles = [
    Part.styles,
    css`
      header {
        margin-bottom: 1rem;
      }
      h1 {
        margin: 0;
      }
      .row + .row {
        margin-top: 0.5rem;
      }
      form label {
        flex: 1 1 12rem;
      }
    `,
  ];

  @property({ attribute: false }) run!: RunRecord;
  /** Whether it has a button that stops the run. */
  @property({ type: Boolean, attribute: "no-stop" }) noStop = false;

  @state() private editing = false;
  @state() private busy = false;
  @state() private error: unknown = null;
  @query("#name") private nameInput!: HTMLInputElement | null;

  override updated(changed: PropertyValues): void {
    if (changed.has("editing") && this.editing) this.nameInput?.focus();
  }

  override render() {
    const { run } = this;
    return html`<header>
      <div class="row spread">
        <h1>${titleOf(run)}</h1>
        <div class="row">
          <slot></slot>
          <button @click=${() => (this.editing = !this.editing)} aria-expanded=${this.editing}>
            Name and tags
          </button>
          ${
            this.noStop || hasEnded(run)
              ? nothing
              : html`<button ?disabled=${this.busy} @click=${this.#stop}>Stop</button>`
          }
          <button class="danger" ?disabled=${this.busy} @click=${this.#delete}>Delete</button>
        </div>
      </div>
      <div class="row">
        <span class="state ${run.state}">${run.state}</span>
        <span>${run.kind} of ${modelOf({ ...run, damage: null } as never)}</span>
        <span class="faint">made ${when(run.created)}, id <span class="mono">${run.id}</span></span>
        ${
          "parent" in run && run.parent
            ? html`<span
                >fork of <a href=${page(`/runs/${run.parent}`)}>${run.parent.slice(0, 12)}</a></span
              >`
            : nothing
        }
        ${run.tags.map((tag) => html`<a class="tag" href=${page(`/?tag=${encodeURIComponent(tag)}`)}>${tag}</a>`)}
      </div>
      ${this.editing ? this.#form() : nothing}
      <p-error .error=${this.error}></p-error>
    </header>`;
  }

  #form() {
    return html`<form class="row panel" @submit=${this.#save}>
      <label class="field"
        ><span>Name</span>
        <input id="name" name="name" maxlength="200" .value=${this.run.name} />
      </label>
      <label class="field"
        ><span>Tags, separated by spaces</span>
        <input name="tags" .value=${this.run.tags.join(" ")} />
      </label>
      <button class="primary" ?disabled=${this.busy}>Save</button>
    </form>`;
  }

  #save(event: SubmitEvent): void {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const name = String(form.get("name") ?? "");
    const tags = tagsOf(String(form.get("tags") ?? ""));
    void this.#do(async () => {
      this.run = await patch<RunRecord>(`/runs/${this.run.id}`, { name, tags });
      this.editing = false;
    });
  }

  async #stop(): Promise<void> {
    const details = "It takes no more steps then; what it answered stays.";
    if (!(await confirm(`Stop ${titleOf(this.run)}?`, { action: "Stop it", details }))) return;
    await this.#do(() => put(`/runs/${this.run.id}/state`, { state: "stopped" }));
  }

  async #delete(): Promise<void> {
    const details = "All that is stored of it is deleted for good. Its forks stay.";
    const question = { action: "Delete it", danger: true, details };
    if (!(await confirm(`Delete ${titleOf(this.run)}?`, question))) return;
    await this.#do(async () => {
      await del(`/runs/${this.run.id}`);
      notice(`${titleOf(this.run)} was deleted.`);
      go("/");
    });
  }

  async #do(work: () => Promise<unknown>): Promise<void> {
    this.busy = true;
    this.error = null;
    try {
      await work();
    } catch (error) {
      this.error = error;
    }
    this.busy = false;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-heading": PHeading;
  }
}
