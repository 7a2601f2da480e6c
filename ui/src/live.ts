// Following runs: one stream of events for all tabs of the browser, or for this tab where there is no SharedWorker.

import { BASE, path } from "./base.js";
import { toLogin } from "./router.js";
import { EventStream, union, type Connection, type Followed } from "./stream.js";
import type { RunEvent } from "./types.js";
import { ALIVE_EVERY } from "./alive.js";
import type { FromTab, ToTab } from "./worker.js";

type OnEvent = (event: RunEvent) => void;

class Live extends EventTarget {
  /** Whether events come: "lost" while the server doesn't answer. */
  state: "live" | "lost" = "live";

  #followers = new Map<object, { followed: Followed; onEvent: OnEvent }>();
  #send: ((message: FromTab) => void) | undefined;

  /** Follow some runs; returns what ends that. Follow first, then read the run: so no change is missed. */
  runs(ids: readonly string[], onEvent: OnEvent): () => void {
    return this.#follow(ids, (event) => ids.includes(event.run) && onEvent(event));
  }

  /** Follow all runs of the caller, also new ones. */
  all(onEvent: OnEvent): () => void {
    return this.#follow(null, onEvent);
  }

  /** Try to connect at once. */
  retry(): void {
    this.#sender()({ retry: true });
  }

  #follow(followed: Followed, onEvent: OnEvent): () => void {
    const follower = {};
    this.#followers.set(follower, { followed, onEvent });
    this.#update();
    return () => {
      this.#followers.delete(follower);
      this.#update();
    };
  }

  #update(): void {
    const follow = union([...this.#followers.values()].map((it) => it.followed));
    this.#sender()({ follow });
  }

  #sender(): (message: FromTab) => void {
    return (this.#send ??= typeof SharedWorker === "undefined" ? this.#alone() : this.#shared());
  }

  #shared(): (message: FromTab) => void {
    const worker = new SharedWorker(new URL("ui/worker.js", BASE), {
      type: "module",
      name: "perdure",
    });
    worker.onerror = () => {
      this.#send = this.#alone(); // it couldn't be loaded
      this.#update();
    };
    const { port } = worker;
    port.onmessage = ({ data }: MessageEvent<ToTab>) => this.#take(data);
    setInterval(() => this.#update(), ALIVE_EVERY);
    window.addEventListener("pagehide", () => port.postMessage({ gone: true } satisfies FromTab));
    window.addEventListener("pageshow", (event) => event.persisted && this.#update());
    this.#retryWhenBack();
    return (message) => port.postMessage(message);
  }

  #alone(): (message: FromTab) => void {
    const stream = new EventStream(
      path("/events"),
      (event) => this.#take({ event }),
      (connection) => this.#take({ connection }),
    );
    this.#retryWhenBack();
    return (message) => {
      if ("follow" in message) stream.follow(message.follow);
      if ("retry" in message) stream.retry();
    };
  }

  #retryWhenBack(): void {
    window.addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => document.hidden || this.retry());
  }

  #take(message: ToTab): void {
    if ("event" in message)
      for (const { onEvent } of [...this.#followers.values()]) onEvent(message.event);
    else this.#connected(message.connection);
  }

  #connected(connection: Connection): void {
    if (connection === "refused") {
      toLogin();
      return;
    }
    const state = connection === "lost" ? "lost" : "live";
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}

/** The events of runs in this tab; says "change" when `state` is another one. */
export const live = new Live();
