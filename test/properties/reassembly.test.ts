/** Reassembly of out-of-order data against a model that has one cell per byte. */
import fc from 'fast-check';
import t from 'tap';
import { Reassembly } from '../../stack/tcp/tcb/reassembly.js';

const SPACE = 400;

interface Segment {
  start: number;
  length: number;
  fill: number;
}

const segment: fc.Arbitrary<Segment> = fc.record({
  start: fc.integer({ min: 0, max: SPACE - 1 }),
  length: fc.integer({ min: 1, max: 60 }),
  fill: fc.integer({ min: 1, max: 255 }),
});
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('insert' as const), segment }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('take' as const), by: fc.integer({ min: 0, max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restore' as const) }) },
);

/** The first copy of a byte wins; 0: nothing has come. */
class Model {
  readonly cells = new Uint8Array(SPACE + 100);
  rcvNxt = 0;

  insert({ start, length, fill }: Segment): void {
    for (let at = Math.max(start, this.rcvNxt); at < start + length; at++)
      if (this.cells[at] === 0) this.cells[at] = fill;
  }

  /** Bytes that are held above RCV.NXT. */
  get bytes(): number {
    return this.cells.subarray(this.rcvNxt).reduce((sum, cell) => sum + (cell === 0 ? 0 : 1), 0);
  }

  /** Maximal contiguous ranges above RCV.NXT. */
  get blocks(): string[] {
    const blocks: string[] = [];
    for (let at = this.rcvNxt; at < this.cells.length; at++) {
      if (this.cells[at] === 0) continue;
      const start = at;
      while (this.cells[at] !== 0 && at < this.cells.length) at++;
      blocks.push(`${start}-${at}`);
    }
    return blocks;
  }
}

function insert(reassembly: Reassembly, model: Model, { start, length, fill }: Segment): void {
  // Input trims a segment to the window before it comes here.
  const from = Math.max(start, model.rcvNxt);
  const count = start + length - from;
  if (count <= 0) return;
  reassembly.insert(from, new Uint8Array(count + 3).fill(fill), 3, count);
  model.insert({ start, length, fill });
}

/** RCV.NXT moves on, as when the gap is filled; all that is contiguous from there is taken. */
function take(reassembly: Reassembly, model: Model, by: number): boolean {
  model.rcvNxt = Math.min(SPACE, model.rcvNxt + by);
  for (let piece = reassembly.take(model.rcvNxt); piece !== undefined; piece = reassembly.take(model.rcvNxt)) {
    for (const byte of piece) if (byte !== model.cells[model.rcvNxt++]) return false;
  }
  return model.cells[model.rcvNxt] === 0;
}

function blocksOf(reassembly: Reassembly): string[] {
  const out = new Float64Array(2 * SPACE);
  const count = reassembly.sackBlocks(out, SPACE);
  const blocks = Array.from({ length: count }, (_, i) => [out[2 * i], out[2 * i + 1]] as [number, number]);
  return blocks.sort(([a], [b]) => a - b).map(([start, end]) => `${start}-${end}`);
}

t.test('bytes, their number and the SACK blocks are those of the model, whatever comes in which order', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      let reassembly = new Reassembly();
      const model = new Model();
      for (const one of steps) {
        if (one.kind === 'insert') insert(reassembly, model, one.segment);
        else if (one.kind === 'take') {
          if (!take(reassembly, model, one.by)) return false;
        } else {
          const restored = new Reassembly();
          restored.load(structuredClone(reassembly.save()));
          reassembly = restored;
        }
        if (reassembly.bytes !== model.bytes) return false;
        if (blocksOf(reassembly).join() !== model.blocks.join()) return false;
      }
      return true;
    }),
    { numRuns: 2000 },
  );
  t.pass('in 2000 sequences of up to 80 steps');
});
