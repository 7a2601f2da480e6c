// Vertical lines of a chart, such as where a fork begins.

import uPlot from "uplot";

/** A vertical line at `x`. */
export interface Mark {
  x: number;
  label: string;
}

/** Draw them over the curves. */
export function drawMarks(u: uPlot, marks: Mark[], color: string): void {
  const { ctx, bbox } = u;
  const scale = uPlot.pxRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = color;
  ctx.font = `${11 * scale}px system-ui, sans-serif`;
  ctx.textBaseline = "top";
  ctx.setLineDash([4 * scale, 4 * scale]);
  for (const { x, label } of marks) {
    const left = u.valToPos(x, "x", true);
    if (left < bbox.left || left > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(left, bbox.top);
    ctx.lineTo(left, bbox.top + bbox.height);
    ctx.stroke();
    const fits = left + ctx.measureText(label).width < bbox.left + bbox.width;
    ctx.textAlign = fits ? "left" : "right";
    ctx.fillText(label, left + (fits ? 4 : -4) * scale, bbox.top + 2 * scale);
  }
  ctx.restore();
}
