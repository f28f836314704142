/**
 * The grid as a picture: goodput over loss, a panel per bandwidth, a line per round trip and
 * congestion control.
 */
import { type Cell, type CellResult, type Congestion, cellKey, cells } from './grid.js';
import { expectedRate, payloadRate } from './theory.js';

const PANEL = { width: 300, height: 220, left: 46, top: 34, gap: 26 };
const COLOURS = ['#1b6ca8', '#2a9d8f', '#e9a23b', '#d1495b', '#6d597a'];
const DASH: Record<Congestion, string> = { cubic: '', newreno: ' stroke-dasharray="5 4"' };

interface Row {
  cell: Cell;
  result: CellResult;
}

/**
 * Draws the cells without reordering and with a queue of one bandwidth-delay product; `kernel`:
 * goodput of the kernel's own TCP by cell.
 */
export function chart(rows: Row[], kernel: Map<string, number>): string {
  const shown = rows.filter(({ cell }) => cell.reorder === 0 && cell.buffer === 1);
  const mbits = distinct(shown.map(({ cell }) => cell.mbit));
  const rtts = distinct(cells(false).map((cell) => cell.rttMs));
  const width = PANEL.left + mbits.length * (PANEL.width + PANEL.gap);
  const out: string[] = [];
  mbits.forEach((mbit, index) => {
    const left = PANEL.left + index * (PANEL.width + PANEL.gap);
    const own = shown.filter(({ cell }) => cell.mbit === mbit);
    out.push(...panel(left, mbit, own, rtts, kernel));
  });
  rtts.forEach((rtt, index) => {
    const x = PANEL.left + index * 110;
    const y = PANEL.top + PANEL.height + 50;
    out.push(
      `<line x1="${x}" y1="${y - 4}" x2="${x + 24}" y2="${y - 4}" stroke="${COLOURS[index]}" stroke-width="2"/>`,
      text(x + 30, y, `RTT ${rtt} ms`),
    );
  });
  out.push(
    text(
      PANEL.left + rtts.length * 110,
      PANEL.top + PANEL.height + 50,
      'solid: CUBIC, dashed: NewReno, circles: what theory allows, crosses: the kernel’s CUBIC, measured',
    ),
  );
  const height = PANEL.top + PANEL.height + 66;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="11">`,
    '<title>Goodput of CUBIC and NewReno over loss, for paths of several bandwidths and round trips</title>',
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...out,
    '</svg>',
    '',
  ].join('\n');
}

/** The panel of one bandwidth; the rows are its own. */
function panel(left: number, mbit: number, rows: Row[], rtts: number[], kernel: Map<string, number>): string[] {
  const out: string[] = [];
  const { width, height, top } = PANEL;
  const losses = distinct(rows.map(({ cell }) => cell.loss));
  const x = (loss: number): number => left + (losses.indexOf(loss) * width) / Math.max(1, losses.length - 1);
  const y = (goodput: number): number => top + height - Math.min(1, Math.max(0, goodput)) * height;
  out.push(
    text(left, top - 12, `${mbit} Mbit/s: goodput as part of the bottleneck, over loss`),
    `<rect x="${left}" y="${top}" width="${width}" height="${height}" fill="none" stroke="#999"/>`,
  );
  for (const part of [0.25, 0.5, 0.75])
    out.push(`<line x1="${left}" y1="${y(part)}" x2="${left + width}" y2="${y(part)}" stroke="#ddd"/>`);
  for (const part of [0, 0.5, 1]) out.push(text(left - 30, y(part) + 4, `${part * 100} %`));
  for (const loss of losses) out.push(text(x(loss) - 10, top + height + 16, `${loss * 100} %`));
  rtts.forEach((rtt, index) => {
    for (const congestion of ['cubic', 'newreno'] as const) {
      const line = rows.filter(({ cell }) => cell.rttMs === rtt && cell.congestion === congestion);
      if (line.length === 0) continue;
      const points = line.map(({ cell, result }) => `${x(cell.loss).toFixed(1)},${y(result.goodput).toFixed(1)}`);
      out.push(
        `<polyline points="${points.join(' ')}" fill="none" stroke="${COLOURS[index]}" stroke-width="2"${DASH[congestion]}/>`,
      );
      if (congestion !== 'cubic') continue;
      for (const { cell } of line) {
        const theory = expectedRate(congestion, mbit * 1e6, rtt, cell.loss) / payloadRate(mbit * 1e6);
        const measured = kernel.get(cellKey(cell));
        if (measured !== undefined) out.push(cross(x(cell.loss), y(measured), COLOURS[index]));
        out.push(
          `<circle cx="${x(cell.loss).toFixed(1)}" cy="${y(theory).toFixed(1)}" r="3.5" fill="none" stroke="${COLOURS[index]}"/>`,
        );
      }
    }
  });
  return out;
}

function cross(x: number, y: number, colour: string): string {
  const path = `M${(x - 4).toFixed(1)} ${(y - 4).toFixed(1)}l8 8m0 -8l-8 8`;
  return `<path d="${path}" stroke="${colour}" stroke-width="1.5" fill="none"/>`;
}

function text(x: number, y: number, words: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" fill="#333">${words}</text>`;
}

function distinct(values: number[]): number[] {
  return [...new Set(values)].sort((one, other) => one - other);
}
