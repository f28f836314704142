/** Appends that a successor repeats: what the dead primary has written is not written twice. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { AppendedTail, appendedBytes, withoutFirst } from '../../failover/runtime/fs/appends.js';
import { DescriptorTable, parseFlags } from '../../failover/runtime/fs/descriptors.js';

const { from } = Buffer;

t.test('an append is there whole, in part, or not', async (t) => {
  const cases: [tail: string, append: string, there: number][] = [
    ['', 'line\n', 0],
    ['line\n', 'line\n', 5],
    ['li', 'line\n', 2],
    ['other\n', 'line\n', 0],
    ['other\nline\n', 'line\n', 5],
    ['line\nli', 'more\n', 0],
    ['line\n', '', 0],
  ];
  for (const [tail, append, there] of cases)
    t.equal(new AppendedTail(from(tail)).take(from(append)), there, JSON.stringify([tail, append]));
});

t.test('each place counts once, in any order', async (t) => {
  const tail = new AppendedTail(from('same\nb\nsame\na\nca'));
  const taken = ['a\n', 'same\n', 'same\n', 'same\n', 'b\n', 'cat\n'].map((append) => tail.take(from(append)));
  t.same(taken, [2, 5, 5, 0, 2, 2]);
});

t.test('the place is behind the size when opened and what was appended since', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ft-appends-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'file');
  writeFileSync(path, 'old\nnew\n');
  const table = new DescriptorTable();
  const open = { fd: -1, path, mode: 0o666, regular: true };
  const file = table.add({ ...open, flags: parseFlags('a') ?? 0, size: 4 });
  t.equal(appendedBytes(file, [from('old\n')]), 0, 'it was there before');
  t.equal(appendedBytes(file, [from('ne'), from('w\n')]), 4);
  t.equal(appendedBytes(file, [from('new\n')]), 0, 'the second of two');
  t.equal(appendedBytes(table.add({ ...open, flags: parseFlags('w') ?? 0, size: 0 }), [from('old\n')]), 0);
  t.equal(appendedBytes(table.add({ ...open, flags: parseFlags('a') ?? 0 }), [from('old\n')]), 0, 'size not known');
  const gone = table.add({ ...open, path: join(directory, 'gone'), flags: parseFlags('a') ?? 0, size: 0 });
  t.equal(appendedBytes(gone, [from('old\n')]), 0);
  t.equal(appendedBytes(undefined, [from('old\n')]), 0);
});

t.test('the rest of pieces', async (t) => {
  const pieces = [from('abc'), from(''), from('de')];
  const rest = (bytes: number): string[] => withoutFirst(pieces, bytes).map(String);
  t.same(rest(0), ['abc', '', 'de'].filter(Boolean));
  t.same(rest(2), ['c', 'de']);
  t.same(rest(4), ['e']);
  t.same(rest(5), []);
});
