// The picture of the house: rooms as boxes on floors, imports as arrows downwards, as an SVG that
// reads in light and dark.
import { floorsOf, transitiveReduction } from './graph.mjs';
import { CAPTIONS, SOURCE_LAYERS } from './rules.mjs';

const BOX = { width: 216, height: 52, gapX: 26, gapY: 50 };
const MARGIN = 24;
const BAND_GAP = 40;

const xml = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');

/** The rooms of one layer, with the imports among them. */
function layerGraph(rooms, layer) {
  const own = (room) => room.startsWith(`${layer}/`);
  return new Map([...rooms].filter(([room]) => own(room)).map(([room, to]) => [room, new Set([...to].filter(own))]));
}

/** Rows of rooms: the highest floor first, each row in the order that shortens its arrows. */
function place(graphs) {
  const placed = new Map();
  const bands = [];
  let y = MARGIN;
  for (const [layer, graph] of graphs) {
    const floors = floorsOf(graph);
    const levels = [...new Set(floors.values())].sort((a, b) => b - a);
    const top = y;
    y += 30;
    for (const level of levels) {
      const row = [...graph.keys()].filter((room) => floors.get(room) === level).sort();
      const above = (room) => {
        const xs = [...placed].filter(([other]) => graph.get(other)?.has(room)).map(([, at]) => at.x / at.of);
        return xs.length === 0 ? 0.5 : xs.reduce((sum, x) => sum + x, 0) / xs.length;
      };
      row.sort((a, b) => above(a) - above(b) || (a < b ? -1 : 1));
      for (const [i, room] of row.entries()) placed.set(room, { x: i + 0.5, of: row.length, y });
      y += BOX.height + BOX.gapY;
    }
    bands.push({ layer, top, bottom: y - BOX.gapY + 16 });
    y = y - BOX.gapY + 16 + BAND_GAP;
  }
  const widest = Math.max(...[...placed.values()].map(({ of }) => of));
  const width = 2 * MARGIN + widest * (BOX.width + BOX.gapX) + BOX.gapX;
  for (const at of placed.values()) {
    const row = at.of * BOX.width + (at.of - 1) * BOX.gapX;
    at.x = (width - row) / 2 + (at.x - 0.5) * (BOX.width + BOX.gapX);
  }
  return { placed, bands, width, height: y - BAND_GAP + MARGIN };
}

function arrow(from, to) {
  const x1 = from.x + BOX.width / 2;
  const y1 = from.y + BOX.height;
  const x2 = to.x + BOX.width / 2;
  const y2 = to.y - 4;
  const bend = Math.max(24, (y2 - y1) / 2);
  return `<path class="arrow" d="M${x1.toFixed(0)} ${y1} C${x1.toFixed(0)} ${y1 + bend} ${x2.toFixed(0)} ${y2 - bend} ${x2.toFixed(0)} ${y2}"/>`;
}

/** Draws rooms and the arrows that no longer way implies. */
export function drawHouse(rooms) {
  const layers = [...SOURCE_LAYERS].reverse();
  const graphs = new Map(layers.map((layer) => [layer, layerGraph(rooms, layer)]));
  const { placed, bands, width, height } = place(graphs);
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" role="img">`,
    '<title>Rooms of the code base and their imports</title>',
    '<style>.band{fill:#8882;stroke:none}.box{fill:#fff;stroke:#456}.name{font-size:14px;font-weight:600;fill:#123}.says{font-size:11px;fill:#456}',
    '.layer{font-size:13px;fill:#678;font-weight:600}.arrow{fill:none;stroke:#678;stroke-width:1.2;marker-end:url(#tip)}',
    '.down{stroke:#678;stroke-width:4;marker-end:url(#tip)}',
    '@media (prefers-color-scheme: dark){.box{fill:#1c2530;stroke:#89a}.name{fill:#e6eef6}.says{fill:#9fb2c4}.layer{fill:#9fb2c4}}</style>',
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#678"/></marker></defs>',
  ];
  for (const { layer, top, bottom } of bands) {
    out.push(`<rect class="band" x="8" y="${top}" width="${width - 16}" height="${bottom - top}" rx="10"/>`);
    out.push(`<text class="layer" x="20" y="${top + 20}">${layer}/</text>`);
  }
  for (const [i, { top }] of bands.entries()) {
    if (i > 0) out.push(`<path class="down" d="M${width / 2} ${top - BAND_GAP} V${top - 5}"/>`);
  }
  for (const graph of graphs.values())
    for (const [room, targets] of transitiveReduction(graph))
      for (const to of [...targets].sort()) out.push(arrow(placed.get(room), placed.get(to)));
  for (const [room, { x, y }] of placed) {
    const [layer, own] = room.split('/');
    const label = own === 'index' ? `${layer}/index.ts` : own === layer ? `${layer}/*.ts` : `${own}/`;
    out.push(`<rect class="box" x="${x.toFixed(0)}" y="${y}" width="${BOX.width}" height="${BOX.height}" rx="6"/>`);
    out.push(`<text class="name" x="${(x + 10).toFixed(0)}" y="${y + 21}">${xml(label)}</text>`);
    out.push(`<text class="says" x="${(x + 10).toFixed(0)}" y="${y + 39}">${xml(CAPTIONS[room] ?? '')}</text>`);
  }
  out.push('</svg>', '');
  return out.join('\n');
}
