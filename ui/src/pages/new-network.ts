// <page-new-network>: a binding network is pasted or opened, checked while it is written, and given to the solver.

import { css, html, nothing } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { get, isAbort, post } from "../api.js";
import { Part, valueOf } from "../element.js";
import { keep, kept } from "../keep.js";
import { EXAMPLES, type Network, type NetworkCheck } from "../networks.js";
import "../parts/error.js";
import { RepeatedKey } from "../repeated.js";
import { go, type Route } from "../router.js";
import type { TaskDescription, TaskRecord } from "../types.js";
import { count } from "../words.js";

const HERE = "new-network"; // under which unsent text is kept
const PAUSE = 200; // milliseconds without a key, after which the text is checked
const TASK = "stable_configurations";

type Text = "monomers" | "constraints";

@customElement("page-new-network")
export class PageNewNetwork extends Part {
  static override styles = [
    Part.styles,
    css`
      .texts {
        display: grid;
        grid-template-columns: 3fr 2fr;
        gap: 0 var(--gap);
      }
      @media (max-width: 48rem) {
        .texts {
          grid-template-columns: 1fr;
        }
      }
      textarea {
        font-family: var(--mono);
        font-size: 0.95rem;
        min-height: 14rem;
        resize: vertical;
        white-space: pre;
        overflow: auto;
        tab-size: 4;
      }
      textarea[aria-invalid="true"] {
        border-color: var(--danger);
      }
      select {
        max-width: 16rem;
      }
      .over {
        outline: 2px dashed var(--accent);
        outline-offset: 4px;
      }
      .wrong pre {
        border-color: var(--danger);
      }
      mark {
        background: var(--danger-soft);
        color: var(--danger);
        font-weight: 700;
        text-decoration: underline wavy;
      }
      .right {
        color: var(--good);
      }
      fieldset .grid {
        align-items: end;
      }
    `,
  ];

  @property({ attribute: false }) route!: Route;
  @state() private network: Network = { monomers: "", constraints: "" };
  @state() private check: NetworkCheck | null = null;
  @state() private checkError: unknown = null;
  @state() private offered = true;
  @state() private everything = false;
  @state() private over = false;
  @state() private busy = false;
  @state() private error: unknown = null;
  @query("#open") private opener!: HTMLInputElement;
  #key = new RepeatedKey();
  #opens: Text = "monomers";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #checking: AbortController | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.whenLive(() => this.checkError !== null && this.#look());
    const before = kept<{ monomers: string; constraints: string }>(HERE, "network");
    if (before) this.#set(before);
    this.whenGone(() => {
      clearTimeout(this.#timer);
      this.#checking?.abort();
    });
    // Whether it is offered is only said beforehand; the server says it again when it is asked.
    get<{ tasks: TaskDescription[] }>("/tasks").then(
      ({ tasks }) => (this.offered = tasks.some(({ name }) => name === TASK)),
      () => undefined,
    );
  }

  override render() {
    const wrong = this.check?.error ?? null;
    return html`<h1>New binding network</h1>
      ${
        this.offered
          ? nothing
          : html`<p class="panel">
              This server solves no networks: its operator has switched off tasks. You can check one
              all the same.
            </p>`
      }
      <div class="row">
        <label class="check"
          >Example
          <select @change=${this.#example}>
            <option value="">Choose one…</option>
            ${EXAMPLES.map(({ title }, at) => html`<option value=${at}>${title}</option>`)}
          </select>
        </label>
        <button @click=${() => this.#open("monomers")}>Open monomers…</button>
        <button @click=${() => this.#open("constraints")}>Open constraints…</button>
        <input
          id="open"
          type="file"
          accept=".txt,.tbn,text/plain"
          hidden
          aria-label="A text file"
          @change=${this.#opened}
        />
      </div>
      <form @submit=${this.#solve}>
        <div
          class="texts ${this.over ? "over" : ""}"
          @dragover=${this.#dragged}
          @dragleave=${() => (this.over = false)}
          @drop=${this.#dropped}
        >
          ${this.#text("monomers", "Monomers, one a line", "a* b* >gate\na >x\nb >y", wrong)}
          ${this.#text("constraints", "Constraints, one a line", "NOTFREE x", wrong)}
        </div>
        <div id="check" role="status">${this.#checked()}</div>
        <p-error .error=${this.checkError} .retry=${() => void this.#look()}></p-error>
        ${this.#options()}
        <button
          class="primary"
          ?disabled=${this.busy || !this.check || wrong !== null || !this.offered}
        >
          ${this.busy ? "Sending…" : "Find stable configurations"}
        </button>
        <p-error .error=${this.error}></p-error>
      </form>
      ${this.#help()}`;
  }

  #text(part: Text, label: string, placeholder: string, wrong: NetworkCheck["error"]) {
    return html`<label class="field"
      ><span>${label}</span>
      <textarea
        id=${part}
        name=${part}
        rows="12"
        spellcheck="false"
        autocapitalize="off"
        autocomplete="off"
        placeholder=${placeholder}
        aria-describedby="check"
        aria-invalid=${wrong?.part === part ? "true" : "false"}
        .value=${this.network[part]}
        @input=${(event: Event) => this.#set({ ...this.network, [part]: valueOf(event) })}
      ></textarea>
    </label>`;
  }

  #checked() {
    const { check } = this;
    if (!check) return html`<p class="faint">The text is checked while you write it.</p>`;
    const { error } = check;
    const syntax = check.syntax === "stable_tbn" ? "stable_tbn" : "StableConfigs";
    if (!error)
      return html`<p class="right">
        <b>Right.</b> ${count(check.monomers, "monomer")}, ${count(check.sites, "site")},
        ${count(check.domains, "domain")}, ${count(check.constraints, "constraint")}; in the syntax
        of ${syntax}.
      </p>`;
    const line = Array.from(linesOf(this.network[error.part])[error.line - 1] ?? "");
    const at = error.column - 1;
    const end = wordEnd(line, at);
    return html`<div class="wrong">
      <p>
        <b
          >${error.part === "monomers" ? "Monomers" : "Constraints"}, line ${error.line}, column
          ${error.column}:</b
        >
        ${error.message}
        <button type="button" @click=${() => this.#show(error)}>Go there</button>
      </p>
      ${
        line.length
          ? html`<pre>
${line.slice(0, at).join("")}<mark>${line.slice(at, end).join("") || " "}</mark>${line.slice(end).join("")}</pre>`
          : nothing
      }
    </div>`;
  }

  #options() {
    return html`<fieldset>
      <legend>What to find</legend>
      <div class="grid">
        <label class="field"
          ><span>How many, the best first</span
          ><input name="gen" type="number" min="1" step="1" value="1" ?disabled=${this.everything}
        /></label>
        <label class="field"
          ><span>Least number of polymers</span
          ><input name="min_polymers" type="number" min="0" step="1" value="0"
        /></label>
        <label class="field"
          ><span>Time-out in seconds</span
          ><input
            name="timeout"
            type="number"
            min="0.1"
            step="any"
            placeholder="that of the server"
        /></label>
        <label class="field"><span>Name</span><input name="name" maxlength="200" /></label>
      </div>
      <p class="row">
        <label class="check"
          ><input
            type="checkbox"
            name="all"
            @change=${(event: Event) => (this.everything = (event.target as HTMLInputElement).checked)}
          />
          All of them with the most polymers</label
        >
        <label class="check"><input type="checkbox" name="count" /> Count them</label>
        <label class="check"
          ><input type="checkbox" name="connected" /> Bonds hold each polymer together</label
        >
      </p>
    </fieldset>`;
  }

  #help() {
    return html`<details>
      <summary>How a network is written</summary>
      <p>
        A line is a monomer: its sites, and its name last. <code>a</code> and <code>a*</code> bind
        each other; <code>a:s</code> is a site called <code>s</code>; <code>&gt;m</code> calls the
        monomer <code>m</code>; <code>#</code> begins a comment. With counts,
        <code>2[3(a) b &gt;m]</code> is two copies of a monomer with four sites.
      </p>
      <p>
        A constraint is a word and names: <code>TOGETHER m n</code>, <code>NOTTOGETHER m n</code>,
        <code>FREE m</code>, <code>NOTFREE m</code>, <code>PAIRED s t</code>,
        <code>NOTPAIRED s t</code>, <code>ANYPAIRED s</code>, <code>NOTANYPAIRED s</code>.
      </p>
    </details>`;
  }

  // The texts ------------------------------------------------------------------------------------

  #set(network: Network): void {
    this.network = network;
    keep(HERE, "network", { ...network });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), PAUSE);
  }

  async #look(): Promise<void> {
    this.#checking?.abort();
    this.checkError = null;
    if (!this.network.monomers.trim() && !this.network.constraints.trim()) {
      this.check = null;
      return;
    }
    const { signal } = (this.#checking = new AbortController());
    try {
      this.check = await post<NetworkCheck>("/networks/check", this.network, { signal });
    } catch (error) {
      if (isAbort(error)) return;
      this.check = null;
      this.checkError = error;
    }
  }

  #show({ part, line, column }: NonNullable<NetworkCheck["error"]>): void {
    const area = this.renderRoot.querySelector<HTMLTextAreaElement>(`#${part}`);
    if (!area) return;
    const lines = linesOf(area.value);
    const before = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    const written = Array.from(lines[line - 1] ?? "");
    const start = before + written.slice(0, column - 1).join("").length;
    const end = before + written.slice(0, wordEnd(written, column - 1)).join("").length;
    area.focus();
    area.setSelectionRange(start, end);
  }

  #example(event: Event): void {
    const select = event.target as HTMLSelectElement;
    const example = EXAMPLES[Number(select.value)];
    if (select.value && example)
      this.#set({ monomers: example.monomers, constraints: example.constraints });
    select.value = "";
  }

  #open(part: Text): void {
    this.#opens = part;
    this.opener.click();
  }

  async #opened(): Promise<void> {
    const [file] = this.opener.files ?? [];
    if (file) this.#set({ ...this.network, [this.#opens]: await textOf(file) });
    this.opener.value = "";
  }

  #dragged(event: DragEvent): void {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    this.over = true;
  }

  async #dropped(event: DragEvent): Promise<void> {
    this.over = false;
    const [file] = event.dataTransfer?.files ?? [];
    if (!file) return;
    event.preventDefault();
    const area = (event.target as Element).closest("textarea");
    const part: Text = area?.id === "constraints" ? "constraints" : "monomers";
    this.#set({ ...this.network, [part]: await textOf(file) });
  }

  // The task -------------------------------------------------------------------------------------

  async #solve(event: Event): Promise<void> {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const number = (field: string) => Number(form.get(field) || 0);
    const all = form.has("all");
    this.busy = true;
    this.error = null;
    try {
      const input = {
        monomers: linesOf(this.network.monomers),
        constraints: linesOf(this.network.constraints),
        gen: all ? 1 : Math.max(1, number("gen")),
        min_polymers: number("min_polymers"),
        all,
        count: form.has("count"),
        connected: form.has("connected"),
      };
      const body = {
        kind: "task",
        task: TASK,
        input,
        name: String(form.get("name") ?? "").trim(),
        ...(form.get("timeout") ? { timeout: number("timeout") } : {}),
      };
      const run = await post<TaskRecord>("/runs", body, { key: this.#key.of(body) });
      this.#key.done();
      go(`/runs/${run.id}`);
    } catch (error) {
      this.error = error;
    }
    this.busy = false;
  }
}

/** Return lines as the server counts them. */
function linesOf(text: string): string[] {
  return text.split(/\r\n|\r|\n/);
}

/** Return where the word ends that begins at a place; columns count characters, not UTF-16 units. */
function wordEnd(line: readonly string[], at: number): number {
  let end = at + 1;
  while (end < line.length && !/\s/u.test(line[end]!)) end++;
  return end;
}

async function textOf(file: File): Promise<string> {
  return (await file.text()).replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n");
}
