// What the page has no use for in uPlot, taken out of it before it is bundled: a third of its size.
//
// The page's charts have lines over linear axes of numbers, and a legend of their own. These functions are replaced by
// empty ones, and these conditions by their values. A newer uPlot may name them otherwise; then the build fails.

const UNUSED = [
  // Bars, steps, splines, bands
  ...["bars", "stepped", "splineInterp", "_monotoneCubic", "clipBandLine", "seriesFillTo"],
  // Dates
  ...["fmtDate", "tzDate", "timeAxisVals", "timeAxisVal", "timeAxisStamps"],
  ...["timeSeriesStamp", "timeSeriesVal"],
  // Logarithmic and asinh scales
  ...["logAxisSplits", "asinhAxisSplits", "log10AxisValsFilt", "log2AxisValsFilt"],
  ...["rangeLog", "rangeAsinh"],
  // Tables of several curves
  "join",
  // Its legend
  ...["initLegendRow", "setLegendValues", "syncLegend", "addSeries", "delSeries"],
];
const NONE = "() => {}";
const BODIES = Object.fromEntries(UNUSED.map((it) => [it, NONE]));
// A curve has no band beside it; an axis of dates has no steps and no texts.
BODIES.bandFillClipDirs = "() => [0, 0]";
BODIES.genTimeStuffs = `() => [[], [], ${NONE}]`;

const CONDITIONS = [
  [/\bmode == 1\b/g, true], // lines, no scatter
  [/\bmode == 2\b/g, false],
  [/\bshowLegend\b(?! =)/g, false],
  [/\bcursorFocus\b(?! =)/g, false],
  [/\bisTime\b(?! =)/g, false],
  [/\b\w+\.distr (==|>=) [234]\b/g, false], // scales by index, logarithm, asinh
];

/** Return uPlot's source without what isn't used; throws if any of it can't be found. */
export function lean(source) {
  for (const [name, body] of Object.entries(BODIES)) {
    const whole = new RegExp(`\\n(\\t*)function ${name}\\(.*?\\n\\1}\\n`, "s");
    if (!whole.test(source))
      throw new Error(`uPlot has no function ${name} any more: see lean.mjs`);
    source = source.replace(whole, `\n$1const ${name} = ${body};\n`);
  }
  for (const [condition, value] of CONDITIONS) {
    if (!condition.test(source))
      throw new Error(`uPlot has no ${condition} any more: see lean.mjs`);
    source = source.replaceAll(condition, String(value));
  }
  return source;
}
