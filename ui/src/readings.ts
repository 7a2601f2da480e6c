// Readings of the server over time: what has changed between two of them.

import type { Latency, System } from "./types.js";

const MOST = 720; // readings that are kept

export interface Reading {
  /** Unix time, in seconds. */
  at: number;
  system: System;
}

/** What the charts show of each reading; NaN where there is nothing to tell. */
export interface Rates {
  at: number;
  steps: number;
  answers: number;
  stepMilliseconds: number;
  stepMillisecondsHigh: number;
  commitMilliseconds: number;
  commitMillisecondsHigh: number;
  bytes: number;
}

const NOTHING: Omit<Rates, "at"> = {
  steps: NaN,
  answers: NaN,
  stepMilliseconds: NaN,
  stepMillisecondsHigh: NaN,
  commitMilliseconds: NaN,
  commitMillisecondsHigh: NaN,
  bytes: NaN,
};

const readings: Reading[] = [];

/** Note a reading, and return what the charts show; a server that was started anew counts from nothing. */
export function noted(system: System): Rates[] {
  const last = readings.at(-1);
  if (last && last.system.started !== system.started) readings.length = 0;
  readings.push({ at: Date.now() / 1000, system });
  if (readings.length > MOST) readings.shift();
  return readings.slice(1).map((reading, index) => rates(readings[index] ?? reading, reading));
}

function rates(before: Reading, now: Reading): Rates {
  const [one, other] = [before.system.server, now.system.server];
  if (!one || !other) return { at: now.at, ...NOTHING };
  const seconds = Math.max(now.at - before.at, 0.001);
  const steps = since(one.steps, other.steps);
  const commits = since(one.store.commits, other.store.commits);
  return {
    at: now.at,
    steps: steps.count / seconds,
    answers: (other.answers.count - one.answers.count) / seconds,
    stepMilliseconds: average(steps) * 1000,
    stepMillisecondsHigh: quantile(steps, 0.95) * 1000,
    commitMilliseconds: average(commits) * 1000,
    commitMillisecondsHigh: quantile(commits, 0.95) * 1000,
    bytes: Object.values(other.store.bytes).reduce((sum, size) => sum + size, 0),
  };
}

function since(before: Latency, now: Latency): Latency {
  return {
    count: now.count - before.count,
    seconds: now.seconds - before.seconds,
    buckets: now.buckets.map(({ seconds, count }, at) => ({
      seconds,
      count: count - (before.buckets[at]?.count ?? 0),
    })),
  };
}

/** Return how long one took on average, in seconds; NaN if there were none. */
export function average({ count, seconds }: Latency): number {
  return count ? seconds / count : NaN;
}

/** Return the time within which a share of all ended, interpolated in its bucket; NaN if there were none. */
export function quantile({ count, buckets }: Latency, share: number): number {
  if (!count) return NaN;
  const wanted = share * count;
  let low = { seconds: 0, count: 0 };
  for (const bucket of buckets) {
    if (bucket.seconds === null) return low.seconds; // longer than the last limit
    if (bucket.count >= wanted) {
      const inside = bucket.count - low.count;
      const part = inside ? (wanted - low.count) / inside : 1;
      return low.seconds + (bucket.seconds - low.seconds) * part;
    }
    low = { seconds: bucket.seconds, count: bucket.count };
  }
  return low.seconds;
}
