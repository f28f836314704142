/**
 * The rows as a picture: a bar per row, as a part of its goal; a bar that reaches the line has met
 * the goal.
 */
import type { Row } from './goals.js';

const LEFT = 230;
const WIDTH = 420;
const ROW = 20;
const TOP = 40;
/** Where the goal's line is, as a part of the width; a figure twice as good ends at the right. */
const GOAL = 0.5;

/** How much of its goal a row reaches: 1 is the goal, more is better. */
function reached(row: Row): number {
  const [, sign, text] = /^(>=|<=) \+?([\d.]+)/.exec(row.goal)!;
  const bound = Number(text);
  const value = row.goal.includes('+') ? row.ours - row.other : row.against === 'goal' ? row.ours : row.ratio;
  return sign === '>=' ? value / bound : bound / Math.max(value, bound / 1000);
}

export function chart(rows: Row[]): string {
  const height = TOP + rows.length * ROW + 12;
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${LEFT + WIDTH + 90}" height="${height}" font-family="sans-serif" font-size="11">`,
    '<title>Figures of npm run perf, as parts of their goals</title>',
    `<rect width="${LEFT + WIDTH + 90}" height="${height}" fill="#ffffff"/>`,
    `<text x="8" y="20" fill="#333">Each row as part of its goal (the line); further right is better; at most twice is shown</text>`,
  ];
  rows.forEach((row, n) => {
    const y = TOP + n * ROW;
    const part = Math.min(1, Math.max(0.005, reached(row) * GOAL));
    const value =
      row.against === 'goal'
        ? `${row.ours} ${row.unit}`
        : row.goal.includes('+')
          ? `${(row.ours - row.other).toFixed(0)} ${row.unit}`
          : row.ratio.toFixed(2);
    out.push(
      `<text x="8" y="${y + 13}" fill="#333">${row.name}</text>`,
      `<rect x="${LEFT}" y="${y + 3}" width="${(part * WIDTH).toFixed(1)}" height="${ROW - 7}" fill="${row.met ? '#2a9d8f' : '#e9a23b'}"/>`,
      `<text x="${LEFT + WIDTH + 6}" y="${y + 13}" fill="#333">${value}</text>`,
    );
  });
  const x = LEFT + GOAL * WIDTH;
  out.push(
    `<line x1="${x}" y1="${TOP - 4}" x2="${x}" y2="${height - 8}" stroke="#d1495b" stroke-width="1.5"/>`,
    '</svg>',
    '',
  );
  return out.join('\n');
}
