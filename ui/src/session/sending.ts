// Steps of a session, sent so that each is taken once: with the step that is expected and a key that is kept in the tab
// until the server has answered, whatever is killed or reloaded meanwhile.

import { ApiError, newKey, post, UNREACHABLE } from "../api.js";
import { keep, kept } from "../keep.js";
import { live } from "../live.js";
import type { AllSettings, Json, StepsTaken } from "../types.js";

/** A request that the server may not have answered yet. */
export interface Pending {
  key: string;
  body: { settings?: AllSettings; steps: number; expected_step: number };
}

const NAME = "pending";
const AWAY = [502, 503, 504]; // of a server that closes, and of a proxy whose server is gone
const LONGEST_PAUSE = 3_000;

/** Return the request that a former page of this tab didn't get the answer to. */
export function pendingOf(id: string): Pending | undefined {
  return kept<Json & object>(id, NAME) as Pending | undefined;
}

/** Return a request for steps, kept until it is answered. */
export function prepare(id: string, settings: AllSettings, steps: number, after: number): Pending {
  const body: Pending["body"] = { steps, expected_step: after + 1 };
  if (Object.keys(settings).length) body.settings = settings;
  const pending = { key: newKey(), body };
  keep(id, NAME, pending as unknown as Json);
  return pending;
}

/**
 * Send a request until the server answers it, and return the answer.
 *
 * While the server doesn't answer, `onWaiting` is called, and the same request is sent again with the same key. An
 * error that is raised means that the server refused it: it must be made anew.
 */
export async function send(
  id: string,
  pending: Pending,
  signal: AbortSignal,
  onWaiting: () => void,
): Promise<StepsTaken> {
  for (;;) {
    try {
      const { key, body } = pending;
      const taken = await post<StepsTaken>(`/runs/${id}/steps`, body, { key, signal });
      keep(id, NAME, null);
      return taken;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const later = error.code === UNREACHABLE || AWAY.includes(error.status);
      if (!later) {
        if (error.status !== 401) keep(id, NAME, null);
        throw error;
      }
      onWaiting();
      await untilLive(signal);
    }
  }
}

/** Wait until the connection is back, or a while. */
function untilLive(signal: AbortSignal): Promise<void> {
  return new Promise((done, failed) => {
    const end = (): void => {
      clearTimeout(timer);
      live.removeEventListener("change", end);
      signal.removeEventListener("abort", abort);
      done();
    };
    const abort = (): void => {
      end();
      failed(signal.reason);
    };
    const timer = setTimeout(end, LONGEST_PAUSE);
    live.addEventListener("change", end);
    signal.addEventListener("abort", abort);
  });
}
