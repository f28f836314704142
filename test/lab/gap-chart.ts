/**
 * The clients' waits as a picture: a row per kind of death, a dot per run, over a logarithmic axis.
 */
interface Dot {
  kill: string;
  gapMs: number;
  problem: string;
}

const LEFT = 70;
const WIDTH = 640;
const ROW = 34;
const TOP = 34;
const [LEAST_MS, MOST_MS] = [1, 2000];

export function gapChart(dots: Dot[]): string {
  const good = dots.filter(({ problem }) => problem === '');
  const kinds = [...new Set(good.map(({ kill }) => kill))];
  const height = TOP + kinds.length * ROW + 34;
  const x = (ms: number): number =>
    LEFT + (WIDTH * Math.log(Math.max(LEAST_MS, ms) / LEAST_MS)) / Math.log(MOST_MS / LEAST_MS);
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${LEFT + WIDTH + 30}" height="${height}" font-family="sans-serif" font-size="11">`,
    '<title>Longest time that a client waited, by kind of death</title>',
    `<rect width="${LEFT + WIDTH + 30}" height="${height}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="18" fill="#333">Longest wait of a client (ms, logarithmic) around the death of the primary: ${good.length} runs; the bar is the median</text>`,
  ];
  for (const ms of [1, 10, 100, 1000]) {
    const at = x(ms).toFixed(1);
    out.push(
      `<line x1="${at}" y1="${TOP}" x2="${at}" y2="${height - 30}" stroke="#ddd"/>`,
      `<text x="${at}" y="${height - 14}" fill="#333" text-anchor="middle">${ms}</text>`,
    );
  }
  kinds.forEach((kind, row) => {
    const mine = good.filter(({ kill }) => kill === kind).map(({ gapMs }) => gapMs);
    const y = TOP + row * ROW + ROW / 2;
    out.push(`<text x="8" y="${y + 4}" fill="#333">${kind}</text>`);
    mine.forEach((ms, n) => {
      // Spread, so that equal ones are seen; always the same way.
      const shift = ((n * 37) % 19) - 9;
      out.push(`<circle cx="${x(ms).toFixed(1)}" cy="${y + shift}" r="2" fill="#1b6ca8" fill-opacity="0.4"/>`);
    });
    const median = [...mine].sort((one, other) => one - other)[Math.floor(mine.length / 2)];
    out.push(
      `<line x1="${x(median).toFixed(1)}" y1="${y - 12}" x2="${x(median).toFixed(1)}" y2="${y + 12}" stroke="#d1495b" stroke-width="2"/>`,
    );
  });
  return [...out, '</svg>', ''].join('\n');
}
