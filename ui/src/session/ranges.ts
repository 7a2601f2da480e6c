// The ranges of sliders, from the values that a constant has.

export interface Range {
  min: number;
  max: number;
  step: number;
}

const ENDS = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];
const STEPS = [1, 2, 5, 10];

/** Return the least of round numbers, each times a power of ten, that isn't below a positive number. */
function above(value: number, round: number[]): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const times = round.find((it) => it * power >= value * (1 - 1e-9)) ?? 10;
  return Number((times * power).toPrecision(2));
}

/**
 * Return a range in which a constant with these values can be moved: from 0 to twice the largest one or somewhat
 * more, to both sides of 0 if one is negative, in steps that are whole where the values are.
 */
export function rangeOf(values: number[]): Range {
  const finite = values.filter((value) => Number.isFinite(value));
  const largest = Math.max(0, ...finite);
  const smallest = Math.min(0, ...finite);
  const max = largest > 0 ? above(2 * largest, ENDS) : smallest < 0 ? 0 : 1;
  const min = smallest < 0 ? -above(-2 * smallest, ENDS) : 0;
  const whole = finite.every((value) => Number.isInteger(value)) && max - min >= 10;
  const step = above((max - min) / 200, STEPS);
  return { min, max, step: whole ? Math.max(1, step) : step };
}
