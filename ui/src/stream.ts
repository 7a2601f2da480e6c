// One stream of events: it opens it, reads it, opens it again when it is lost, from where it was.
//
// `fetch` in place of EventSource: the place to go on from can be sent with another set of runs, and a status of 401
// can be seen.

import { same, type Followed } from "./followed.js";
import type { RunEvent } from "./types.js";

export type Connection = "idle" | "live" | "lost" | "refused";

const FIRST_PAUSE = 250; // milliseconds
const LONGEST_PAUSE = 5_000;
const SILENCE = 45_000; // a comment comes every 15 seconds

export class EventStream {
  #followed: Followed = [];
  #place = "";
  #running: AbortController | undefined;
  #pause = FIRST_PAUSE;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setTimeout> | undefined;
  #connection: Connection = "idle";

  constructor(
    readonly address: string,
    readonly onEvent: (event: RunEvent) => void,
    readonly onConnection: (connection: Connection) => void,
  ) {}

  get connection(): Connection {
    return this.#connection;
  }

  /** Follow these runs from now on; nothing is open while there are none. */
  follow(followed: Followed): void {
    if (same(followed, this.#followed) && this.#connection !== "refused") return;
    this.#followed = followed;
    this.#reopen(20);
  }

  /** Try at once, for example since the machine is online again or somebody has logged in. */
  retry(): void {
    if (this.#connection === "lost" || this.#connection === "refused") this.#reopen(0);
  }

  /** Begin anew, since another one may be logged in now: nothing of before counts any more. */
  anew(): void {
    this.#place = "";
    this.#reopen(0);
  }

  #reopen(pause: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#open(), pause);
  }

  async #open(): Promise<void> {
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    const followed = this.#followed;
    if (followed !== null && !followed.length) {
      this.#say("idle");
      return;
    }
    let refused = false;
    try {
      refused = await this.#read(followed, running);
    } catch {
      // A stream that fails and one that ends are the same: the server isn't there any more.
    }
    clearTimeout(this.#watch);
    if (running !== this.#running) return;
    if (refused) {
      this.#say("refused");
      return;
    }
    this.#say("lost");
    this.#reopen(this.#pause * (0.75 + Math.random() / 2));
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
  }

  /** Read until the stream ends; returns whether the server asks for a login instead. */
  async #read(followed: Followed, running: AbortController): Promise<boolean> {
    const query = followed === null ? "" : `?runs=${followed.map(encodeURIComponent).join(",")}`;
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (this.#place) headers["Last-Event-ID"] = this.#place;
    this.#expect(running);
    const answer = await fetch(this.address + query, {
      headers,
      signal: running.signal,
      cache: "no-store",
    });
    if (running !== this.#running) return false;
    if (answer.status === 422) this.#place = ""; // of another store
    if (!answer.ok || !answer.body) return answer.status === 401;
    this.#say("live");
    this.#pause = FIRST_PAUSE;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { done, value } = await reader.read();
      if (done || running !== this.#running) return false;
      this.#expect(running);
      const parts = (rest + value).split(/\r?\n\r?\n/);
      rest = parts.pop() ?? "";
      for (const part of parts) this.#take(part);
    }
  }

  #take(text: string): void {
    let name = "message";
    let data = "";
    for (const line of text.split(/\r?\n/)) {
      const [, field, value] = /^([a-z]+): ?(.*)$/s.exec(line) ?? [];
      if (field === "event") name = value ?? "";
      if (field === "data") data += value ?? "";
      if (field === "id") this.#place = value ?? "";
    }
    if (name === "run" && data) this.onEvent(JSON.parse(data) as RunEvent);
  }

  /** Take a connection on which nothing comes for lost, such as one of a machine that slept. */
  #expect(running: AbortController): void {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => running.abort(), SILENCE);
  }

  #say(connection: Connection): void {
    if (connection === this.#connection) return;
    this.#connection = connection;
    this.onConnection(connection);
  }
}
