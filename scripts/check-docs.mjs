// Checks the documentation: `npm run lint` runs it.
//   - links: every relative link and picture of a page leads to a file, and its #fragment to a
//     heading;
//   - names: every page that a source file names exists, and so does every source file that a page
//     names;
//   - prose, of pages and of comments: lines are at most 100 columns wide, outside of tables, code
//     and links; no words from the list below.
// The prose of generated pages is checked in the tables that they come from.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const MAX_WIDTH = 100;
const SOURCES = ['bin', 'failover', 'lib', 'perf', 'scripts', 'stack', 'test'];
const GENERATED = /^docs\/(reference\/|conformance\.md$)/;
/** What a reader stumbles over, and what to write instead. */
const FORBIDDEN = [
  [/\bso long\b/i, 'for this time'],
  [/\bso many\b/i, 'a number'],
  [/\bwhoever\b/i, 'the successor, the other node, …'],
  [/\bthe same words\b/i, 'the same command'],
  [/\b(gone|goes|go|went) on (with|where)\b/i, 'continue, resume, take over'],
  [/\bis not right\b/i, 'invalid value'],
  [/\bby and large\b/i, 'mostly'],
];
/** Words that mean something else in a comment: bytes are handed over, a peer speaks TLS. */
const FORBIDDEN_IN_PAGES = [
  ...FORBIDDEN,
  [/\b(undeclared|unrepeated|stranger|deposed|orphan)\b/i, "the field's word, see docs/glossary.md"],
  [/\b(hand over|handed over|hands over)\b/i, 'switch over'],
  [/\bspeaks?\b/i, 'send, hold the lease'],
];

const faults = [];
const fault = (page, line, text) => faults.push(`${page}:${line}: ${text}`);

function filesBelow(directory, wanted) {
  return readdirSync(join(root, directory), { recursive: true })
    .map((name) => posix.join(directory, String(name).split('\\').join('/')))
    .filter((name) => wanted.test(name) && statSync(join(root, name)).isFile());
}

/** GitHub's rule for the fragment of a heading. */
function slug(heading) {
  const text = heading.replace(/`/g, '').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1');
  return text
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/ /g, '-');
}

/** A page's lines without its code blocks, and its headings' fragments. */
function readPage(page) {
  const lines = [];
  const fragments = new Set();
  let code = false;
  for (const [index, text] of readFileSync(join(root, page), 'utf8').split('\n').entries()) {
    if (text.startsWith('```')) code = !code;
    else if (!code) lines.push({ number: index + 1, text });
    const heading = code ? null : /^#+ (.*)$/.exec(text);
    if (heading === null) continue;
    const base = slug(heading[1]);
    let fragment = base;
    for (let n = 1; fragments.has(fragment); n++) fragment = `${base}-${n}`;
    fragments.add(fragment);
  }
  return { lines, fragments };
}

const pages = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...['docs', 'failover', 'stack'].flatMap((directory) => filesBelow(directory, /\.md$/)),
];
const read = new Map(pages.map((page) => [page, readPage(page)]));

function checkLinks(page, { number, text }) {
  for (const [, target] of text.replace(/`[^`]*`/g, '').matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [path, fragment] = target.split('#');
    const file = path === '' ? page : posix.join(posix.dirname(page), path);
    if (!existsSync(join(root, file))) fault(page, number, `${target} leads nowhere`);
    else if (fragment !== undefined && read.get(file)?.fragments.has(fragment) === false)
      fault(page, number, `${file} has no heading #${fragment}`);
  }
}

/** Source files that a page names from the root of the tree. */
function checkSourceNames(page, { number, text }) {
  for (const [, file] of text.matchAll(/`((?:bin|failover|lib|perf|scripts|stack|test)\/[\w./-]+)`/g))
    if (!existsSync(join(root, file))) fault(page, number, `${file} does not exist; was it moved or renamed?`);
}

function checkProse(page, { number, text }) {
  if (text.startsWith('|')) {
    for (const [word, instead] of FORBIDDEN_IN_PAGES) checkWord(page, number, text, word, instead);
    return;
  }
  const shown = text.replace(/\]\([^)]*\)/g, ']');
  if (shown.length > MAX_WIDTH) fault(page, number, `${shown.length} columns, at most ${MAX_WIDTH}`);
  for (const [word, instead] of FORBIDDEN_IN_PAGES) checkWord(page, number, text, word, instead);
}

function checkWord(page, number, text, word, instead) {
  const found = word.exec(text.replace(/`[^`]*`/g, ''));
  if (found !== null) fault(page, number, `"${found[0]}": write ${instead}`);
}

for (const [page, { lines }] of read) {
  for (const line of lines) {
    checkLinks(page, line);
    if (GENERATED.test(page)) continue;
    checkSourceNames(page, line);
    checkProse(page, line);
  }
}
/** A line that is only comment; tables and columns in it may be wider. */
function checkComment(file, number, text) {
  const comment = /^\s*(?:\/\*\*?|\*|\/\/)\s(.*)$/.exec(text);
  if (comment === null || comment[1].startsWith('|') || /\S {2,}\S/.test(comment[1])) return;
  if (text.length > MAX_WIDTH) fault(file, number, `a comment of ${text.length} columns, at most ${MAX_WIDTH}`);
  for (const [word, instead] of FORBIDDEN) checkWord(file, number, comment[1], word, instead);
}

// Old names of pages, with the page that has their text now, are in docs/guides/migration.md.
for (const file of SOURCES.flatMap((directory) => filesBelow(directory, /\.(ts|mjs|js|c|h)$/))) {
  if (file === relative(root, fileURLToPath(import.meta.url))) continue;
  for (const [index, text] of readFileSync(join(root, file), 'utf8').split('\n').entries()) {
    checkComment(file, index + 1, text);
    for (const [page] of text.matchAll(/\bdocs\/[\w/-]+\.(?:md|svg)\b/g))
      if (!existsSync(join(root, page)))
        fault(file, index + 1, `${page} does not exist; docs/guides/migration.md has the new names`);
  }
}

for (const one of faults) console.log(one);
if (faults.length > 0) console.log(`${faults.length} faults in the documentation`);
process.exitCode = faults.length > 0 ? 1 : 0;
