/** docs/conformance.md from the rows and from what the packet scripts say that they show. */
import { readdirSync, readFileSync } from 'node:fs';
import { OTHERS } from './others.js';
import { RFC9293 } from './rfc9293.js';
import type { Row } from './row.js';

const SCRIPTS = new URL('../../../test/scripts/', import.meta.url);

/** "9293 MUST-4" → scripts that show it. */
export function scriptsByRequirement(): Map<string, string[]> {
  const shown = new Map<string, string[]>();
  for (const folder of readdirSync(SCRIPTS, { withFileTypes: true })) {
    if (!folder.isDirectory()) continue;
    for (const file of readdirSync(new URL(`${folder.name}/`, SCRIPTS)).sort()) {
      if (!file.endsWith('.script')) continue;
      const text = readFileSync(new URL(`${folder.name}/${file}`, SCRIPTS), 'utf8');
      const line = /^# shows: (.*)$/m.exec(text)?.[1] ?? '';
      for (const part of line.split(';')) {
        const [rfc, ...ids] = part.trim().split(/\s+/);
        for (const id of ids) {
          const key = `${rfc!.replace('RFC', '')} ${id}`;
          shown.set(key, [...(shown.get(key) ?? []), `${folder.name}/${file.replace('.script', '')}`]);
        }
      }
    }
  }
  return shown;
}

export function allRows(): Row[] {
  return [...RFC9293, ...OTHERS];
}

function table(rows: Row[], scripts: Map<string, string[]>, withRfc: boolean): string[] {
  const first = withRfc ? 'RFC, section' : 'requirement';
  const out = [`| ${first} | what | where | shown by |`, '| --- | --- | --- | --- |'];
  for (const row of rows) {
    const shown = [
      ...(scripts.get(`${row.rfc} ${row.id}`) ?? []),
      ...row.tests.map((test) => test.replace(/: (.*)$/, (_all, title: string) => (title === '' ? '' : ` "${title}"`))),
    ];
    const name = withRfc ? `${row.rfc} ${row.id === 'all' ? '' : row.id}`.trim() : row.id;
    const what = row.not === undefined ? row.what : `${row.what}: **not done**, because ${row.not}`;
    out.push(`| ${name} | ${what} | ${row.where.join(', ')} | ${shown.join('; ')} |`);
  }
  return out;
}

/** The whole document. */
export function render(): string {
  const scripts = scriptsByRequirement();
  const must = RFC9293.filter((row) => row.id.startsWith('MUST'));
  const should = RFC9293.filter((row) => row.id.startsWith('SHLD'));
  const lacking = (rows: Row[]): string =>
    rows
      .filter((row) => row.not !== undefined)
      .map((row) => row.id)
      .join(', ');
  return [
    '# Conformance',
    '',
    'What the stack does of each RFC, where, and what shows it. Written by `npm run conformance -- --write` from the rows in',
    'test/conformance; a test checks that every place and every test that it names exists, and that this page is up to date.',
    '',
    'Names like rfc9293/nagle are packet scripts in test/scripts (docs/packet-scripts.md); others are files in test/ with the name',
    'of a test. Places are below stack/ unless they say lib/.',
    '',
    `Of the ${must.length} MUSTs of RFC 9293, ${must.length - must.filter((row) => row.not !== undefined).length} are done and shown by a test; not done: ${lacking(must)}.`,
    `Of its ${should.length} SHOULDs, ${should.length - should.filter((row) => row.not !== undefined).length} are; not done: ${lacking(should)}.`,
    '',
    '## RFC 9293, in the order of its appendix B',
    '',
    ...table(RFC9293, scripts, false),
    '',
    '## Other RFCs',
    '',
    ...table(OTHERS, scripts, true),
    '',
  ].join('\n');
}
