// <p-scene .run .savepoints>: the scene of an experiment's engine, as it is now and at each savepoint.

import { css, html, nothing, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { ApiError, UNREACHABLE, fetched, get, isAbort } from "../api.js";
import { Part, valueOf } from "../element.js";
import { route, setQuery } from "../router.js";
import type { Savepoint, Scene, SceneList, State } from "../types.js";
import { figure } from "../words.js";
import "./error.js";

const EVERY = 250; // milliseconds between two pictures
const BUSY = 1_000; // milliseconds until it is asked again when too many scenes are drawn
const SIZES = [320, 640]; // pixels of the width
const ENGINE = "scene"; // the parameters of the query that hold what is shown
const AT = "scene-at";

/** The picture that is shown. */
interface Shown {
  url: string;
  engine: string;
  timestamp: number;
}

/**
 * Shows nothing if no engine has a scene. Pictures are only asked for while the element can be seen; of a run that
 * isn't started, only when something may have changed. `savepoints` are those of the run, oldest first.
 */
@customElement("p-scene")
export class PScene extends Part {
  static override styles = [
    Part.styles,
    css`
      figure {
        margin: 0.5rem 0;
        background: var(--panel);
        border: 1px solid var(--line);
        border-radius: 8px;
        overflow: hidden;
        display: grid;
        place-items: center;
        min-height: 12rem;
      }
      img {
        display: block;
        max-width: 100%;
        max-height: min(30rem, 70vh);
      }
      .old img {
        opacity: 0.6;
      }
      .range {
        flex: 1 1 14rem;
        display: block;
      }
      .range input {
        width: 100%;
        display: block;
      }
      .range > span {
        font-weight: 600;
      }
      .where {
        font-variant-numeric: tabular-nums;
      }
    `,
  ];

  @property({ attribute: false }) run: { id: string; state: State } = { id: "", state: "created" };
  @property({ attribute: false }) savepoints: Savepoint[] = [];
  @state() private scenes: Scene[] = [];
  @state() private engine = "";
  /** The timestamp of the savepoint that is shown; null shows the run as it is now. */
  @state() private at: number | null = null;
  @state() private shown: Shown | null = null;
  @state() private hint = "";
  @state() private error: unknown = null;
  @state() private lost = false;
  #tag = "";
  #looked = ""; // what the last answer was to
  #busy = false;
  #pauseUntil = 0;
  #inView = false;
  #listing = "";

  override connectedCallback(): void {
    super.connectedCallback();
    const watching = new IntersectionObserver((entries) => {
      this.#inView = entries.at(-1)?.isIntersecting ?? false;
      this.#look();
    });
    watching.observe(this);
    this.whenGone(() => watching.disconnect());
    this.whenGone(() => this.#show(null));
    this.every(EVERY, () => this.#look());
    this.whenLive(() => this.#again());
    this.#listing = "";
    this.requestUpdate();
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (this.run.id && this.run.id !== this.#listing) {
      this.#listing = this.run.id;
      this.#reset();
      void this.#list();
    } else if (changed.has("run") && this.hint) {
      this.#again(); // another state may be one that can be drawn
    }
    if (this.at !== null && this.savepoints.length && this.#index === this.savepoints.length)
      this.#choose(null); // it isn't kept any more
  }

  override updated(): void {
    this.#look();
  }

  override render() {
    if (!this.scenes.length)
      return this.error === null ? nothing : html`<p-error .error=${this.error}></p-error>`;
    const { shown } = this;
    return html`<h2>Scene</h2>
      ${this.scenes.length > 1 ? this.#engines() : nothing}
      ${this.error === null ? nothing : html`<p-error .error=${this.error}></p-error>`}
      ${this.hint ? html`<p class="panel" role="status">${this.hint}</p>` : nothing}
      ${
        shown || !this.hint
          ? html`<figure class=${this.lost ? "old" : ""}>
              ${shown ? html`<img src=${shown.url} alt=${`The scene of ${shown.engine}`} />` : html`<span class="faint">Drawing…</span>`}
            </figure>`
          : nothing
      }
      ${this.#controls()}`;
  }

  #engines() {
    return html`<label class="field"
      ><span>Engine</span>
      <select @change=${(event: Event) => this.#take(valueOf(event))}>
        ${this.scenes.map(
          (it) =>
            html`<option value=${it.engine} ?selected=${it.engine === this.engine}>
              ${it.engine} (${it.world})
            </option>`,
        )}
      </select></label
    >`;
  }

  #controls() {
    const last = this.savepoints.length;
    const { shown } = this;
    return html`<div class="row">
      <label class="range"
        ><span>Savepoint</span>
        <input
          type="range"
          min="0"
          max=${last}
          step="1"
          .value=${String(this.#index)}
          aria-valuetext=${this.#words(this.at)}
          ?disabled=${!last}
          @input=${(event: Event) => this.#slid((event.target as HTMLInputElement).valueAsNumber)}
      /></label>
      <button ?disabled=${this.at === null} @click=${() => this.#choose(null)}>Now</button>
      ${
        shown
          ? html`<a
              class="button"
              href=${shown.url}
              download=${`${shown.engine}-${shown.timestamp / 1e9}s.png`}
              >Save picture</a
            >`
          : nothing
      }
      <span class="where">${this.#words(this.at)}${this.#seen()}</span>
    </div>`;
  }

  /** The place of what is chosen among the savepoints; behind them is the run as it is now. */
  get #index(): number {
    const found = this.savepoints.findIndex((it) => it.timestamp === this.at);
    return this.at === null || found < 0 ? this.savepoints.length : found;
  }

  #words(at: number | null): string {
    if (at === null) return this.run.state === "started" ? "Now, live" : "Now";
    const number = this.#index + 1;
    const name = this.savepoints[this.#index]?.name;
    const called = name ? `“${name}”, ` : "";
    return `${called}savepoint ${figure(number)} of ${figure(this.savepoints.length)}`;
  }

  #seen(): string {
    return this.shown ? `: ${figure(this.shown.timestamp / 1e9)} s of simulation time` : "";
  }

  async #list(): Promise<void> {
    const id = this.run.id;
    try {
      const { scenes } = await get<SceneList>(`/runs/${id}/scenes`);
      if (id !== this.run.id) return;
      this.scenes = scenes;
      this.error = null;
      const { query } = route();
      const chosen = scenes.find((it) => it.engine === query.get(ENGINE)) ?? scenes[0];
      const at = Number(query.get(AT) ?? NaN);
      this.at = Number.isSafeInteger(at) && at >= 0 ? at : null;
      this.engine = chosen?.engine ?? "";
      this.hint = chosen?.hint ?? "";
    } catch (error) {
      if (isAbort(error) || id !== this.run.id) return;
      if (error instanceof ApiError && error.code === UNREACHABLE) this.#listing = "";
      else this.error = error;
    }
  }

  #reset(): void {
    this.scenes = [];
    this.error = null;
    this.hint = this.engine = "";
    this.at = null;
    this.#show(null);
    this.#tag = this.#looked = "";
  }

  #take(engine: string): void {
    this.engine = engine;
    this.hint = this.scenes.find((it) => it.engine === engine)?.hint ?? "";
    setQuery({ [ENGINE]: engine === this.scenes[0]?.engine ? null : engine });
    this.#show(null);
    this.#again();
  }

  #slid(index: number): void {
    this.#choose(this.savepoints[index]?.timestamp ?? null);
  }

  #choose(at: number | null): void {
    this.at = at;
    this.hint = "";
    setQuery({ [AT]: at === null ? null : String(at) });
    this.#again();
  }

  #again(): void {
    if (!this.#listing) void this.requestUpdate();
    this.#looked = "";
    this.#pauseUntil = 0;
    this.#look();
  }

  /** What a picture that is asked for now shows, as far as it is known before. */
  get #wanted(): string {
    const width = SIZES.find((it) => it >= this.clientWidth) ?? SIZES.at(-1);
    const newest = this.at ?? `${this.run.state} ${this.savepoints.at(-1)?.timestamp}`;
    return `${this.run.id} ${this.engine} ${newest} ${width}`;
  }

  /** Ask for a picture, if one is wanted, may be another one, and can be seen. */
  #look(): void {
    if (!this.engine || this.#busy || !this.#inView || document.hidden || !this.isConnected) return;
    if (Date.now() < this.#pauseUntil) return;
    const isLive = this.at === null && this.run.state === "started";
    const wanted = this.#wanted;
    if (wanted === this.#looked && !(isLive && !this.hint)) return;
    this.#busy = true;
    const began = Date.now();
    void this.#draw(wanted).finally(() => {
      this.#busy = false;
      if (this.#wanted !== this.#looked) this.#look();
      else if (isLive) setTimeout(() => this.#look(), began + EVERY - Date.now());
    });
  }

  async #draw(wanted: string): Promise<void> {
    const { engine } = this;
    const width = Number(wanted.split(" ").at(-1));
    const query = new URLSearchParams({
      engine,
      width: String(width),
      height: String((width * 3) / 4),
    });
    if (this.at !== null) query.set("savepoint", String(this.at));
    const headers: Record<string, string> = this.#tag ? { "If-None-Match": this.#tag } : {};
    try {
      const answer = await fetched(`/runs/${this.run.id}/scene?${query}`, { headers });
      const picture = await answer.blob();
      if (engine !== this.engine || !this.isConnected) return;
      this.#tag = answer.headers.get("ETag") ?? "";
      this.#show({
        url: URL.createObjectURL(picture),
        engine,
        timestamp: Number(answer.headers.get("Scene-Timestamp")),
      });
      this.#fine(wanted);
    } catch (error) {
      this.#failed(error, wanted);
    }
  }

  #failed(error: unknown, wanted: string): void {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 304) {
      this.#fine(wanted);
      return;
    }
    this.lost = true;
    if (error.code === UNREACHABLE || error.code === "too_many_scenes") {
      this.#pauseUntil = Date.now() + BUSY;
      if (error.code !== UNREACHABLE) this.hint = `${error.message} It is asked again by itself.`;
      this.#looked = "";
      return;
    }
    this.#looked = wanted;
    if (error.code === "scene_unavailable") this.hint = error.message;
    else if (error.code !== "savepoint_not_found" || this.at === null) this.error = error;
    else this.#choose(null);
  }

  #fine(wanted: string): void {
    this.#looked = wanted;
    this.hint = "";
    this.error = null;
    this.lost = false;
  }

  #show(shown: Shown | null): void {
    const former = this.shown;
    this.shown = shown;
    if (!shown) this.#tag = "";
    // The former picture is shown until the new one is rendered.
    if (former) void this.updateComplete.then(() => URL.revokeObjectURL(former.url));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "p-scene": PScene;
  }
}
