/** The scoreboard of what is in flight against a model that has one cell per byte. */
import fc from 'fast-check';
import t from 'tap';
import { Scoreboard } from '../../stack/tcp/tcb/scoreboard.js';

const range = fc.record({ from: fc.integer({ min: 0, max: 300 }), length: fc.integer({ min: 1, max: 80 }) });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('send' as const), bytes: fc.integer({ min: 1, max: 40 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('sack' as const), range }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('lose' as const), range }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('resend' as const), bytes: fc.integer({ min: 1, max: 30 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('acknowledge' as const), bytes: fc.integer({ min: 0, max: 60 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('unmark' as const, 'renege' as const, 'restore' as const) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** One cell per byte from `una` to `nxt`. */
class Model {
  una = 0;
  cells: { sacked: boolean; lost: boolean }[] = [];

  get nxt(): number {
    return this.una + this.cells.length;
  }

  count(what: 'sacked' | 'lost'): number {
    return this.cells.filter((cell) => cell[what]).length;
  }

  get firstLost(): number {
    const at = this.cells.findIndex(({ lost }) => lost);
    return at < 0 ? -1 : this.una + at;
  }

  each(from: number, to: number, act: (cell: { sacked: boolean; lost: boolean }) => void): void {
    for (let at = Math.max(from, this.una); at < Math.min(to, this.nxt); at++) {
      const cell = this.cells[at - this.una];
      if (cell !== undefined) act(cell);
    }
  }
}

/** A range of the step, inside what is in flight; TCP checks that before it asks. */
function inFlight(model: Model, { from, length }: { from: number; length: number }): [number, number] | undefined {
  const start = model.una + (from % Math.max(1, model.cells.length));
  const end = Math.min(model.nxt, start + length);
  return end > start ? [start, end] : undefined;
}

function mark(board: Scoreboard, model: Model, one: Step, nowUs: number): boolean {
  if (one.kind !== 'sack' && one.kind !== 'lose') return true;
  const found = inFlight(model, one.range);
  if (found === undefined) return true;
  const [from, to] = found;
  if (one.kind === 'lose') {
    board.markLost(from, to);
    model.each(from, to, (cell) => {
      if (!cell.sacked) cell.lost = true;
    });
    return true;
  }
  board.beginAck();
  const before = model.count('sacked');
  const news = board.sack(from, to, nowUs, 1);
  model.each(from, to, (cell) => {
    cell.sacked = true;
    cell.lost = false;
  });
  return news === model.count('sacked') - before && board.delivered === news;
}

function acknowledge(board: Scoreboard, model: Model, bytes: number, nowUs: number): boolean {
  const una = Math.min(model.nxt, model.una + bytes);
  const news = model.cells.slice(0, una - model.una).filter(({ sacked }) => !sacked).length;
  board.beginAck();
  board.advance(una, nowUs, 1);
  model.cells.splice(0, una - model.una);
  model.una = una;
  return board.delivered === news;
}

/** Sends again the first lost range, as output does. */
function resend(board: Scoreboard, model: Model, bytes: number, nowUs: number): boolean {
  const from = board.nextLost();
  if (from !== model.firstLost) return false;
  if (from < 0) return true;
  const to = Math.min(board.lostRangeEnd, from + bytes);
  board.markRetransmitted(from, to, nowUs);
  model.each(from, to, (cell) => {
    cell.lost = false;
  });
  return true;
}

function apply(board: Scoreboard, model: Model, one: Step, nowUs: number): boolean {
  switch (one.kind) {
    case 'send':
      board.push(model.nxt + one.bytes, nowUs, 0);
      for (let i = 0; i < one.bytes; i++) model.cells.push({ sacked: false, lost: false });
      return true;
    case 'resend':
      return resend(board, model, one.bytes, nowUs);
    case 'acknowledge':
      return acknowledge(board, model, one.bytes, nowUs);
    case 'unmark':
      board.unmarkLost();
      model.each(model.una, model.nxt, (cell) => {
        cell.lost = false;
      });
      return true;
    case 'renege':
      board.forgetSacked();
      model.each(model.una, model.nxt, (cell) => {
        cell.sacked = false;
      });
      return true;
    default:
      return mark(board, model, one, nowUs);
  }
}

t.test('bytes sacked, lost and delivered, and what is to be sent again, are those of the model', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      let board = new Scoreboard();
      const model = new Model();
      board.begin(0);
      let nowUs = 1000;
      for (const one of steps) {
        nowUs += 10;
        if (one.kind === 'restore') {
          const restored = new Scoreboard();
          restored.load(structuredClone(board.save()), 0);
          board = restored;
        } else if (!apply(board, model, one, nowUs)) return false;
        if (board.base !== model.una || (model.cells.length > 0 && board.end !== model.nxt)) return false;
        if (board.sacked !== model.count('sacked') || board.lost !== model.count('lost')) return false;
      }
      return true;
    }),
    { numRuns: 2000 },
  );
  t.pass('in 2000 sequences of up to 100 steps');
});
