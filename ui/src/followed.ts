// Which runs are followed.

const MOST_RUNS = 200; // that one stream follows by their ids

/** The ids of runs; null means all of the caller's. */
export type Followed = readonly string[] | null;

/** Return whether these are the same runs in the same order. */
export function same(one: Followed, other: Followed): boolean {
  if (one === null || other === null) return one === other;
  return one.length === other.length && one.every((id, at) => id === other[at]);
}

/** Return the union of what several follow, in a fixed order; all runs if they are too many for one stream. */
export function union(all: Iterable<Followed>): Followed {
  const found = new Set<string>();
  for (const followed of all) {
    if (followed === null) return null;
    followed.forEach((id) => found.add(id));
  }
  return found.size > MOST_RUNS ? null : [...found].sort();
}
