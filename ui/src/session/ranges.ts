// The ranges of sliders, from the values that a constant has.

export interface Range {
  min: number;
  max: number;
  step: number;
}

const NICE = [1, 2, 5, 10];

/** Return the least of 1, 2, 5 times a power of ten that isn't below a positive number. */
function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const times = NICE.find((it) => it * power >= value * (1 - 1e-9)) ?? 10;
  return Number((times * power).toPrecision(1));
}

/**
 * Return a range in which a constant with these values can be moved: from 0 to somewhat more than twice the largest
 * one, to both sides of 0 if one is negative, in steps that are whole where the values are.
 */
export function rangeOf(values: number[]): Range {
  const finite = values.filter((value) => Number.isFinite(value));
  const largest = Math.max(0, ...finite);
  const smallest = Math.min(0, ...finite);
  const max = largest > 0 ? niceAbove(2 * largest) : smallest < 0 ? 0 : 1;
  const min = smallest < 0 ? -niceAbove(-2 * smallest) : 0;
  const whole = finite.every((value) => Number.isInteger(value)) && max - min >= 10;
  const step = niceAbove((max - min) / 200);
  return { min, max, step: whole ? Math.max(1, step) : step };
}
