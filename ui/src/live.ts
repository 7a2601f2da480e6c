// Following runs: one stream of events for all tabs of the browser, or for this tab where there is no SharedWorker.

import { BASE, page, path } from "./base.js";
import { back, route, toLogin } from "./router.js";
import { union, type Followed } from "./followed.js";
import type { Connection, EventStream } from "./stream.js";
import type { RunEvent } from "./types.js";
import { ALIVE_EVERY, loginChannel } from "./alive.js";
import type { FromTab, ToTab } from "./worker.js";

type OnEvent = (event: RunEvent) => void;

class Live extends EventTarget {
  /** Whether events come: "lost" while the server doesn't answer. */
  state: "live" | "lost" = "live";

  #followers = new Map<object, { followed: Followed; onEvent: OnEvent }>();
  #send: ((message: FromTab) => void) | undefined;
  #login = loginChannel(BASE);
  #again = false;
  #connected = false;
  #alone: Promise<EventStream> | undefined;

  constructor() {
    super();
    // Another tab has logged in or out: what is shown here may be the former owner's.
    this.#login.onmessage = () => {
      if (route().name === "login") location.assign(page(back()));
      else location.reload();
    };
  }

  /** Follow some runs; returns what ends that. Follow first, then read the run: so no change is missed. */
  runs(ids: readonly string[], onEvent: OnEvent): () => void {
    return this.#follow(ids, (event) => ids.includes(event.run) && onEvent(event));
  }

  /** Follow all runs of the caller, also new ones. */
  all(onEvent: OnEvent): () => void {
    return this.#follow(null, onEvent);
  }

  /** Say that somebody has logged in or out here: the stream begins anew, and other tabs are loaded anew. */
  loggedInOrOut(): void {
    this.#login.postMessage(null);
    void this.#alone?.then((stream) => stream.anew());
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
    this.#sender()({ follow, again: this.#again });
    this.#again = true;
  }

  #sender(): (message: FromTab) => void {
    return (this.#send ??=
      typeof SharedWorker === "undefined" ? this.#ownStream() : this.#shared());
  }

  #shared(): (message: FromTab) => void {
    const worker = new SharedWorker(new URL("ui/worker.js", BASE), {
      type: "module",
      name: "perdure",
    });
    worker.onerror = () => {
      this.#send = this.#ownStream(); // it couldn't be loaded
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

  #ownStream(): (message: FromTab) => void {
    const made = import("./stream.js").then(
      ({ EventStream }) =>
        new EventStream(
          path("/events"),
          (event) => this.#take({ event }),
          (connection) => this.#take({ connection }),
        ),
    );
    this.#alone = made;
    this.#retryWhenBack();
    return (message) =>
      void made.then((stream) => {
        if ("follow" in message) stream.follow(message.follow);
        if ("retry" in message) stream.retry();
      });
  }

  #retryWhenBack(): void {
    window.addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#update(); // a tab that was frozen may have been forgotten
      this.retry();
    });
  }

  #take(message: ToTab): void {
    if ("event" in message)
      for (const { onEvent } of [...this.#followers.values()]) onEvent(message.event);
    else this.#connect(message.connection);
  }

  #connect(connection: Connection): void {
    if (connection === "refused") {
      toLogin();
      return;
    }
    const begins = connection === "live" && !this.#connected;
    this.#connected = connection === "live";
    if (connection === "idle") return;
    if (!begins && connection === this.state) return;
    this.state = connection;
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * The events of runs in this tab. Says "change" when events begin to come and when they stop: who shows runs reads them
 * again when `state` is "live" then, since what has changed before isn't sent.
 */
export const live = new Live();
