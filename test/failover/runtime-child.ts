/**
 * Runs one scenario in a child process. The request comes as JSON on standard input, the report
 * goes to standard output.
 */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { originals } from '../../failover/runtime/core/originals.js';
import { type Report, type RunOptions, runProgram } from './runtime-harness.js';
import { scenarios } from './runtime-scenarios.js';

interface Request extends RunOptions {
  scenario: string;
}

const MARK = '\u0001REPORT';

/** Runs a scenario in a child process. */
export function inChild(scenario: string, options: RunOptions): Promise<Report & { output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'run'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      const text = Buffer.concat(chunks).toString();
      const at = text.indexOf(MARK);
      if (at < 0) reject(new Error(`${scenario}: no report (exit code ${code})\n${text}`));
      else resolve({ ...(JSON.parse(text.slice(at + MARK.length)) as Report), output: text.slice(0, at) });
    });
    child.stdin.end(JSON.stringify({ scenario, ...options } satisfies Request));
  });
}

/** Writes all of it to a pipe that may be full. */
function put(text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(originals.fs.writeSync(1, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}

if (process.argv[2] === 'run') {
  const request = JSON.parse(readFileSync(0, 'utf8')) as Request;
  const end = (report: Report): void => {
    put(MARK + JSON.stringify(report));
    process.exit(0);
  };
  end(await runProgram(scenarios[request.scenario], request, end));
}
