// A chart as a picture: what is drawn, with its heading above and the names of its curves below.

import uPlot from "uplot";
import { saveBlob } from "../save.js";

interface PictureLine {
  label: string;
  color: string;
  dash?: number[] | undefined;
}

const MARGIN = 14;
const ROW = 18;
const SWATCH = 28;

/** Save a PNG. */
export function savePicture(
  from: HTMLCanvasElement,
  heading: string,
  lines: PictureLine[],
  { paper, ink }: { paper: string; ink: string },
): void {
  const scale = uPlot.pxRatio;
  const row = ROW * scale;
  const left = MARGIN * scale;
  const right = (MARGIN + SWATCH) * scale;
  const canvas = document.createElement("canvas");
  canvas.width = from.width;
  canvas.height = from.height + row * (lines.length + 2);
  const ctx = canvas.getContext("2d");
  if (!ctx) return;
  ctx.fillStyle = paper;
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.fillStyle = ink;
  ctx.textBaseline = "middle";
  ctx.font = `bold ${14 * scale}px system-ui, sans-serif`;
  ctx.fillText(heading, left, row * 0.7);
  ctx.drawImage(from, 0, row * 1.4);
  ctx.font = `${12 * scale}px system-ui, sans-serif`;
  ctx.lineWidth = 2.5 * scale;
  lines.forEach(({ label, color, dash }, at) => {
    const y = from.height + row * (at + 1.9);
    ctx.strokeStyle = color;
    ctx.setLineDash((dash ?? []).map((it) => it * scale));
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(right, y);
    ctx.stroke();
    ctx.fillText(label, right + 8 * scale, y);
  });
  canvas.toBlob((blob) => blob && saveBlob(blob, `${heading}.png`));
}
