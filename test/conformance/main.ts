/** `npm run conformance`: the table; with --write into docs/conformance.md. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { render } from './render.js';

const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } });
if (values.write) writeFileSync(new URL('../../../docs/conformance.md', import.meta.url), render());
else process.stdout.write(render());
