/** `npm run conformance`: the table; with --write into docs/conformance.md. */
import { writeFileSync } from 'node:fs';
import { readCommandLine } from '../command-line.js';
import { render } from './render.js';

const USAGE = `Usage: npm run conformance -- [options]

Prints the table of requirements, each with its test.

  --write  writes docs/conformance.md
`;

const values = readCommandLine(USAGE, { write: { type: 'boolean', default: false } });
if (values.write) writeFileSync(new URL('../../../docs/conformance.md', import.meta.url), render());
else process.stdout.write(render());
