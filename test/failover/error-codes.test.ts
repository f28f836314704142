/** The table of error codes has exactly the codes that the sources use. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ERROR_CODES, ExitCode, exitCodeOf } from '../../failover/admin/error-codes.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Every code in the sources of the three layers, the table apart, with the file that uses it. */
function usedCodes(): Map<string, string> {
  const used = new Map<string, string>();
  for (const layer of ['lib', 'stack', 'failover']) {
    for (const name of readdirSync(join(ROOT, layer), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts') || name.endsWith('error-codes.ts')) continue;
      const file = join(ROOT, layer, name);
      // Of `ERR_FT_*` in prose the star is not a code.
      for (const [code] of readFileSync(file, 'utf8').matchAll(/\bERR_FT(_[A-Z]+)*\b(?!_)/g)) used.set(code, file);
    }
  }
  return used;
}

t.test('every code of the sources is in the table', async (t) => {
  for (const [code, file] of usedCodes()) t.ok(code in ERROR_CODES, `${code} (${file})`);
});

t.test('every code of the table is used', async (t) => {
  const used = usedCodes();
  for (const code of Object.keys(ERROR_CODES)) t.ok(used.has(code), code);
});

t.test('the table is sorted, and has whole sentences', async (t) => {
  const codes = Object.keys(ERROR_CODES);
  t.same(codes, [...codes].sort());
  for (const [code, { when, action }] of Object.entries(ERROR_CODES))
    t.ok(when.endsWith('.') && action.endsWith('.'), code);
});

t.test('exit codes', async (t) => {
  t.equal(exitCodeOf('ERR_FT_USAGE'), ExitCode.Usage);
  t.equal(exitCodeOf('ERR_FT_NODE_VERSION'), ExitCode.Environment);
  t.equal(exitCodeOf('EPERM'), ExitCode.Environment);
  t.equal(exitCodeOf('ENOENT'), ExitCode.Failure);
  t.equal(exitCodeOf('ERR_FT_NEW'), ExitCode.Failure);
});
