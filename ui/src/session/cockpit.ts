// One session as the page holds it: what is stored of it, what isn't sent yet, and what is under way.
//
// The server has the truth: this is filled from it, follows the events of the run, and fetches what is missing.

import { ApiError, get, isAbort, UNREACHABLE } from "../api.js";
import { keep, kept } from "../keep.js";
import { live } from "../live.js";
import type {
  AllSettings,
  Json,
  Manager,
  ManagerList,
  Points,
  RunEvent,
  Savepoint,
  SessionRecord,
  SessionResults,
  SettingsChange,
  SettingsPage,
  StepsTaken,
} from "../types.js";
import { append, appendPage, placesOf, noResults, POINTS, type Results } from "./curves.js";
import { pendingOf, prepare, send, type Pending } from "./sending.js";
import {
  isEmpty,
  settingAfter,
  settingIn,
  without,
  withSetting,
  type Place,
  type SettingKind,
} from "./settings.js";

export type Activity = "idle" | "stepping" | "playing" | "to-end" | "waiting";

const CHUNK = 100; // steps of one request when running to the end, at least
const REQUESTS = 50; // about so many requests for a long session
const MOST_STEPS = 10_000;
const SECONDS_A_REQUEST = 0.1; // at higher rates several steps go in one request

/** Says "change" whenever something of it is another. */
export class Cockpit extends EventTarget {
  record: SessionRecord | null = null;
  models: Record<string, Manager> = {};
  results: Results = noResults();
  changes: SettingsChange[] = [];
  savepoints: Savepoint[] = [];
  unsent: AllSettings;
  activity: Activity = "idle";
  error: unknown = null;
  /** What another browser did, in words. */
  notice = "";

  #leaving = new AbortController();
  #unfollow: (() => void) | undefined;
  #on = false; // whether to go on with the next request
  #newest = 0; // the last step that an event announced
  #syncing: Promise<void> | undefined;
  #again = false;

  constructor(readonly id: string) {
    super();
    this.unsent = (kept<Json & object>(id, "unsent") as AllSettings | undefined) ?? {};
  }

  get places(): Place[] {
    return this.record ? placesOf(this.record) : [];
  }

  get ended(): boolean {
    const state = this.record?.state;
    return state === "completed" || state === "stopped" || state === "failed";
  }

  /** How many steps the longest scenario has in all. */
  get length(): number {
    const specs = Object.values(this.record?.specs ?? {}).flatMap((it) => Object.values(it));
    const steps = specs.map(
      ({ starttime, stoptime, timestep }) =>
        Math.floor((stoptime - starttime) / timestep + 1e-9) + 1,
    );
    return Math.max(this.record?.step ?? 0, ...steps);
  }

  /** Follow the run, read all of it, and finish what a former page began. */
  open(): void {
    const { signal } = this.#leaving;
    this.#unfollow = live.runs([this.id], (event) => this.#take(event));
    live.addEventListener("change", () => live.state === "live" && void this.#resume(), { signal });
    void this.#resume();
  }

  close(): void {
    this.#on = false;
    this.#leaving.abort(new DOMException("The page was left.", "AbortError"));
    this.#unfollow?.();
  }

  // Values ---------------------------------------------------------------------------------------

  /** Return what a setting is: what isn't sent yet, else what is in force. */
  value(place: Place, kind: SettingKind, name: string): number | Points | undefined {
    return settingIn(this.unsent, place, kind, name) ?? this.inForce(place, kind, name);
  }

  /** Return what a setting is after the last step. */
  inForce(place: Place, kind: SettingKind, name: string): number | Points | undefined {
    const step = this.record?.step ?? 0;
    const spec = this.record?.specs[place[0]]?.[place[1]];
    return settingAfter(this.models[place[0]], spec, this.changes, step, place, kind, name);
  }

  /** Set something from the next step on; undefined, or what is in force, undoes that. */
  set(places: readonly Place[], kind: SettingKind, name: string, value?: number | Points): void {
    for (const place of places) {
      const same = JSON.stringify(value) === JSON.stringify(this.inForce(place, kind, name));
      this.unsent = withSetting(this.unsent, place, kind, name, same ? undefined : value);
    }
    this.#keepUnsent();
  }

  discard(): void {
    this.unsent = {};
    this.#keepUnsent();
  }

  // Steps ----------------------------------------------------------------------------------------

  /** Take some steps. */
  async step(steps: number): Promise<void> {
    await this.#while("stepping", async () => void (await this.#takeSteps(steps)));
  }

  /** Take steps until every scenario has ended, or until `pause`. */
  async toEnd(): Promise<void> {
    await this.#while("to-end", async () => {
      let steps = Math.min(Math.max(CHUNK, Math.ceil(this.length / REQUESTS)), MOST_STEPS);
      for (let more = true; this.#on && more;) {
        try {
          more = await this.#takeSteps(steps);
        } catch (error) {
          const limited = error instanceof ApiError && error.code === "limit_exceeded";
          if (!limited || steps === 1) throw error;
          steps = Math.floor(steps / 2);
        }
      }
    });
  }

  /** Take so many steps a second, until the end or `pause`. */
  async play(rate: () => number): Promise<void> {
    await this.#while("playing", async () => {
      for (let due = performance.now(); this.#on;) {
        const steps = Math.max(1, Math.round(rate() * SECONDS_A_REQUEST));
        if (!(await this.#takeSteps(steps))) return;
        due = Math.max(due + (steps / rate()) * 1_000, performance.now());
        await new Promise((done) => setTimeout(done, due - performance.now()));
      }
    });
  }

  /** Let what is under way be the last request. */
  pause(): void {
    this.#on = false;
    this.#changed();
  }

  get pausing(): boolean {
    return this.activity !== "idle" && !this.#on;
  }

  /** Read what is new, and finish what a former page of this tab began. */
  async #resume(): Promise<void> {
    await this.sync();
    const pending = pendingOf(this.id);
    if (!pending || !this.record || this.activity !== "idle") return;
    this.#set("stepping");
    await this.#guarded(async () => void (await this.#send(pending)));
    this.#set("idle");
  }

  async #while(activity: Activity, work: () => Promise<void>): Promise<void> {
    if (this.activity !== "idle") return;
    this.error = null;
    this.notice = "";
    this.#on = true;
    this.#set(activity);
    await this.#guarded(work);
    this.#on = false;
    this.#set("idle");
    if (this.#newest > (this.record?.step ?? 0)) await this.sync();
    else await this.#guarded(() => this.#readSavepoints());
  }

  /** Take steps in one request; returns whether more can follow. */
  async #takeSteps(steps: number): Promise<boolean> {
    const left = this.length - (this.record?.step ?? 0);
    const count = Math.max(1, Math.min(steps, left));
    return this.#send(prepare(this.id, this.unsent, count, this.record?.step ?? 0));
  }

  async #send(pending: Pending): Promise<boolean> {
    const before = this.activity;
    const waiting = (): void => this.#set("waiting");
    try {
      const taken = await send(this.id, pending, this.#leaving.signal, waiting);
      this.#add(taken, pending);
      return !taken.finished;
    } catch (error) {
      if (error instanceof ApiError && error.code === "position_conflict") {
        await this.sync();
        this.notice = `Another browser has taken steps: the session stands at step ${this.record?.step}. What you set is kept.`;
        return false;
      }
      await this.sync();
      throw error;
    } finally {
      if (this.activity === "waiting") this.#set(before);
    }
  }

  #add(taken: StepsTaken, { body }: Pending): void {
    append(this.results, taken.steps);
    const first = taken.steps[0];
    const last = taken.steps.at(-1);
    if (this.record && last) {
      const state = taken.finished ? "completed" : "started";
      const step = Math.max(this.record.step, last.step);
      this.record = { ...this.record, step, state: this.ended ? this.record.state : state };
    }
    if (first && body.settings && !this.changes.some(({ step }) => step === first.step))
      this.changes = [...this.changes, { step: first.step, settings: body.settings }];
    if (body.settings) {
      this.unsent = without(this.unsent, body.settings);
      this.#keepUnsent();
    }
    this.#changed();
  }

  // Reading --------------------------------------------------------------------------------------

  async #load(): Promise<void> {
    const { signal } = this.#leaving;
    const [record, { managers }] = await Promise.all([
      get<SessionRecord>(`/runs/${this.id}`, { signal }),
      get<ManagerList>("/models", { signal }),
    ]);
    const results: Results = noResults();
    const at = `/runs/${this.id}/results?points=${POINTS}`;
    const [page, changes] = await Promise.all([
      get<SessionResults>(at, { signal }),
      this.#changesAfter(0),
      this.#readSavepoints(),
    ]);
    appendPage(results, page.results);
    // All at once: values that are shown before the changes are known would be others.
    Object.assign(this, { record, models: managers, results, changes });
    this.#changed();
  }

  /** Fetch what has been stored since, such as steps of another browser; one at a time. */
  async sync(): Promise<void> {
    this.#again = true;
    this.#syncing ??= this.#guarded(async () => {
      while (this.#again) {
        this.#again = false;
        if (this.record) await this.#catchUp(this.record.step);
        else await this.#load();
      }
    }).finally(() => (this.#syncing = undefined));
    return this.#syncing;
  }

  async #catchUp(known: number): Promise<void> {
    const { signal } = this.#leaving;
    const record = await get<SessionRecord>(`/runs/${this.id}`, { signal });
    for (let after: number | null = known; after !== null && after < record.step;) {
      const at: string = `/runs/${this.id}/results?after=${after}`;
      const page: SessionResults = await get<SessionResults>(at, { signal });
      appendPage(this.results, page.results);
      after = page.next;
    }
    const more = await this.#changesAfter(known);
    this.changes = [...this.changes.filter(({ step }) => step <= known), ...more];
    if (record.step >= (this.record?.step ?? 0)) this.record = record;
    await this.#readSavepoints();
    this.#changed();
  }

  async #changesAfter(step: number): Promise<SettingsChange[]> {
    const found: SettingsChange[] = [];
    for (let after: number | null = step; after !== null;) {
      const at: string = `/runs/${this.id}/settings?after=${after}`;
      const page: SettingsPage = await get<SettingsPage>(at, { signal: this.#leaving.signal });
      found.push(...page.changes);
      after = page.next;
    }
    return found;
  }

  /** Read the savepoints once more. */
  async refreshSavepoints(): Promise<void> {
    await this.#guarded(() => this.#readSavepoints());
    this.#changed();
  }

  async #readSavepoints(): Promise<void> {
    const at = `/runs/${this.id}/savepoints`;
    const { signal } = this.#leaving;
    this.savepoints = (await get<{ savepoints: Savepoint[] }>(at, { signal })).savepoints;
    this.#changed();
  }

  #take(event: RunEvent): void {
    if (!this.record) return;
    if (event.state === "deleted") {
      this.#on = false;
      this.error = new ApiError(404, "run_not_found", "This session has been deleted.");
      this.#changed();
      return;
    }
    const { name, tags } = event;
    if (name !== undefined && tags !== undefined) this.record = { ...this.record, name, tags };
    this.#newest = Math.max(this.#newest, event.step ?? 0);
    const news = this.#newest > this.record.step || event.state !== this.record.state;
    // While this page steps, the answers bring what the events only announce.
    if (news && this.activity === "idle") void this.sync();
    this.#changed();
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      // That the server doesn't answer is shown on top of the page, and all is read again once it does.
      const lost = error instanceof ApiError && error.code === UNREACHABLE;
      if (!isAbort(error) && !lost) this.error = error;
    }
  }

  #keepUnsent(): void {
    keep(this.id, "unsent", isEmpty(this.unsent) ? null : (this.unsent as unknown as Json));
    this.#changed();
  }

  #set(activity: Activity): void {
    this.activity = activity;
    this.#changed();
  }

  #changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}
