import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { allRows, render, scriptsByRequirement } from './render.js';

const root = new URL('../../../', import.meta.url);

function text(path: string): string {
  return readFileSync(new URL(path, root), 'utf8');
}

t.test('every row has a place and something that shows it, or says why not', async (t) => {
  const scripts = scriptsByRequirement();
  const seen = new Set<string>();
  for (const row of allRows()) {
    const key = `${row.rfc} ${row.id}`;
    t.notOk(seen.has(key), `${key} once`);
    seen.add(key);
    if (row.not !== undefined) {
      t.ok(row.not.length > 10, `${key} says why`);
      t.notOk(scripts.has(key), `${key} is not done, but a script shows it`);
      continue;
    }
    t.ok(row.tests.length + (scripts.get(key)?.length ?? 0) > 0, `${key} is shown by a test`);
    for (const place of row.where) {
      t.ok(existsSync(new URL(place.startsWith('lib/') ? place : `stack/${place}`, root)), `${key}: ${place}`);
    }
    for (const test of row.tests) {
      const [, file, title] = /^([^:]+): ?(.*)$/.exec(test)!;
      const path = existsSync(new URL(`test/${file}.test.ts`, root)) ? `test/${file}.test.ts` : `test/${file}.ts`;
      t.ok(existsSync(new URL(path, root)) && text(path).includes(title), `${key}: ${test}`);
    }
  }
  for (const key of scripts.keys()) t.ok(seen.has(key), `a script shows ${key}, which has a row`);
});

t.test('all of RFC 9293 is there: 69 MUSTs, 31 SHOULDs, 18 MAYs', async (t) => {
  const ids = allRows()
    .filter((row) => row.rfc === '9293')
    .map((row) => row.id);
  for (const [kind, count] of [
    ['MUST', 69],
    ['SHLD', 31],
    ['MAY', 18],
  ] as const) {
    const missing = Array.from({ length: count }, (_, i) => `${kind}-${i + 1}`).filter((id) => !ids.includes(id));
    t.same(missing, [], kind);
  }
});

t.test('docs/conformance.md is what the rows say', async (t) => {
  t.equal(normal(text('docs/conformance.md')), normal(render()), 'run npm run conformance -- --write');
});

/** The formatter aligns tables. */
function normal(markdown: string): string {
  return markdown.replace(/ +/g, ' ').replace(/-{3,}/g, '---');
}
