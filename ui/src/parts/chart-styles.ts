// What a chart looks like; uPlot's own sheet is for documents, and can't reach into an element.

import { css } from "lit";

export const chartStyles = css`
  :host {
    display: block;
    min-width: 0;
  }
  .head {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 0.5rem;
  }
  .head h3 {
    margin: 0;
    font-size: 1rem;
    overflow-wrap: anywhere;
  }
  .tools {
    margin-left: auto;
    display: flex;
    gap: 0.4rem;
  }
  .plot {
    min-width: 0;
    overflow: hidden;
  }
  .numbers {
    height: 18rem;
  }
  .legend {
    list-style: none;
    display: flex;
    flex-wrap: wrap;
    gap: 0 1rem;
    margin: 0;
    padding: 0;
  }
  .legend li {
    display: flex;
    align-items: center;
    gap: 0.35rem;
  }
  .legend label {
    display: flex;
    align-items: center;
    gap: 0.35rem;
    font-size: 0.85rem;
  }
  .legend svg {
    flex: none;
  }
  .value {
    min-width: 4.5em;
    font-variant-numeric: tabular-nums;
  }
  .uplot,
  .uplot * {
    box-sizing: border-box;
  }
  .u-wrap {
    position: relative;
    user-select: none;
  }
  .u-over,
  .u-under,
  .u-axis,
  .u-select,
  .u-cursor-x,
  .u-cursor-y,
  .u-cursor-pt {
    position: absolute;
  }
  .u-under {
    overflow: hidden;
  }
  .uplot canvas {
    display: block;
    width: 100%;
    height: 100%;
  }
  .u-select {
    background: color-mix(in srgb, var(--accent) 20%, transparent);
    pointer-events: none;
  }
  .u-cursor-x,
  .u-cursor-y,
  .u-cursor-pt {
    left: 0;
    top: 0;
    pointer-events: none;
  }
  .u-cursor-x {
    height: 100%;
    border-right: 1px dashed var(--faint);
  }
  .u-cursor-pt {
    border: 0 solid;
    border-radius: 50%;
  }
  .u-off {
    display: none;
  }
`;
