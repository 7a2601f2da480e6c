// The worker that all tabs of a browser share: it holds the one stream of events, and passes each to those who follow.

import { SILENT, loginChannel } from "./alive.js";
import { union, type Followed } from "./followed.js";
import { EventStream, type Connection } from "./stream.js";
import type { RunEvent } from "./types.js";

/** What a tab sends: whom it follows, again and again as long as it lives; or that it goes. */
export type FromTab = { follow: Followed; again: boolean } | { gone: true } | { retry: true };
/** What a tab gets. */
export type ToTab = { event: RunEvent } | { connection: Connection };

interface Tab {
  followed: Followed;
  heard: number;
}

interface SharedWorkerScope {
  onconnect: ((event: MessageEvent) => void) | null;
}

const tabs = new Map<MessagePort, Tab>();

function toAll(message: ToTab): void {
  for (const port of tabs.keys()) port.postMessage(message);
}

const stream = new EventStream(
  new URL("../events", import.meta.url).href,
  (event) => {
    for (const [port, { followed }] of tabs)
      if (followed === null || followed.includes(event.run))
        port.postMessage({ event } satisfies ToTab);
  },
  (connection) => toAll({ connection }),
);

function update(): void {
  const now = Date.now();
  for (const [port, tab] of tabs) if (now - tab.heard > SILENT) tabs.delete(port);
  stream.follow(union([...tabs.values()].map((tab) => tab.followed)));
}

loginChannel(new URL("..", import.meta.url)).onmessage = () => stream.anew();

(self as unknown as SharedWorkerScope).onconnect = (event) => {
  const port = event.ports[0];
  if (!port) return;
  port.onmessage = ({ data }: MessageEvent<FromTab>) => {
    if ("gone" in data) tabs.delete(port);
    else if ("retry" in data) stream.retry();
    else {
      const isNew = !tabs.has(port);
      tabs.set(port, { followed: data.follow, heard: Date.now() });
      // A tab that was forgotten while it was frozen has missed events: it reads again when it is back.
      if (isNew && data.again) port.postMessage({ connection: "lost" } satisfies ToTab);
      if (isNew) port.postMessage({ connection: stream.connection } satisfies ToTab);
    }
    update();
  };
};
