/**
 * `ft-tcp demo`: outside of the lab it makes one and starts itself in it; inside it runs the
 * scenario and reports.
 */
import { fileURLToPath } from 'node:url';
import { enterLab, labDirectory, runInLab } from '../lab/namespace.js';
import { makeTap } from '../lab/network.js';
import { requireTools, type Tool } from '../lab/required-tools.js';
import { measureBaseline } from './baseline.js';
import { Capture } from './capture.js';
import { type Client, DOWNLOADS } from './clients.js';
import { contentSha256 } from './content.js';
import type { DemoOptions } from './options.js';
import { type DemoReport, rateText, render, summarize } from './report.js';
import { type RunResult, runOnce } from './run-once.js';

const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));
const PROGRESS_MS = 200;

/**
 * Runs the demo. @returns 0 when every client was served. Throws FtError ERR_FT_TOOLS, EPERM.
 * @param argv the options as the command line has them: outside of the lab the command starts
 * itself again in it
 */
export async function runDemo(options: DemoOptions, argv: string[]): Promise<number> {
  if (labDirectory() !== undefined) {
    // Process 1 does not end by itself while its standard input is watched.
    process.exit(await inside(options, enterLab()));
  }
  const client: Record<DemoOptions['scenario'], Tool[]> = {
    wget: ['wget'],
    upload: ['curl'],
    ab: ['ab'],
    'ws-echo': [],
    gateway: options.backend === 'redis' ? ['redis-server', 'redis-benchmark'] : ['nginx', 'wget'],
  };
  const tools: Tool[] = ['ip', 'unshare', 'mount', ...client[options.scenario]];
  if (options.pcap !== undefined) tools.push('tcpdump');
  if (options.baseline) tools.push('wget');
  requireTools(tools, options.setup);
  return runInLab(CLI, ['demo', ...argv]);
}

async function inside(options: DemoOptions, directory: string): Promise<number> {
  makeTap(options.offload);
  const sha256 = sha256Of(options);
  const capture = options.pcap === undefined ? null : await Capture.start(options.pcap);
  const progress = new Progress(options);
  const results: RunResult[] = [];
  for (let number = 1; number <= options.runs; number++) {
    progress.begin(number);
    const result = await runOnce({ options, directory, number, sha256, onProgress: (client) => progress.show(client) });
    progress.end();
    results.push(result);
    progress.print(runLine(number, options, result));
  }
  const report: DemoReport = summarize(options, results);
  if (capture !== null) report.capture = await capture.stop();
  if (options.baseline) report.baseline = await measureBaseline(options, directory, (line) => progress.print(line));
  process.stderr.write(render(report, results.at(-1)!));
  if (options.json) await writeOut(`${JSON.stringify(report)}\n`);
  return report.ok === report.runs ? 0 : 1;
}

/** Of what the client receives or sends; '' where nothing is compared. */
function sha256Of({ scenario, backend, bytes }: DemoOptions): string {
  if (scenario === 'gateway') return backend === 'nginx' ? contentSha256(bytes, DOWNLOADS) : '';
  return scenario === 'wget' || scenario === 'upload' ? contentSha256(bytes) : '';
}

function writeOut(text: string): Promise<void> {
  return new Promise((done) => process.stdout.write(text, () => done()));
}

function runLine(number: number, options: DemoOptions, result: RunResult): string {
  const what = result.ok ? 'ok' : `NOT OK (${result.problem || 'the client was not served'})`;
  const gap = Number.isFinite(result.gapMs) ? `, longest pause ${result.gapMs.toFixed(1)} ms` : '';
  const rate = options.scenario === 'ws-echo' ? '' : `, ${rateText(options)(result.before)} before`;
  return `run ${number} of ${options.runs}: ${what}${gap}${rate}`;
}

/** On a terminal, one line that is overwritten; else only the lines that stay. */
class Progress {
  readonly #live = process.stderr.isTTY === true;
  #number = 0;
  #shownMs = 0;
  #bytes = 0;

  constructor(readonly options: DemoOptions) {}

  begin(number: number): void {
    this.#number = number;
    this.#bytes = 0;
    if (this.#live) process.stderr.write(`\rrun ${number}: starting primary and backup …`);
  }

  show(client: Client): void {
    if (!this.#live) return;
    const now = performance.now();
    if (now - this.#shownMs < PROGRESS_MS) return;
    const rate = ((client.arrivals.total - this.#bytes) * 1000) / (now - this.#shownMs);
    this.#bytes = client.arrivals.total;
    this.#shownMs = now;
    const part = Math.min(1, client.progress());
    const bar = '█'.repeat(Math.round(part * 30)).padEnd(30, '·');
    process.stderr.write(
      `\r\x1b[Krun ${this.#number} ${bar} ${(part * 100).toFixed(0)} %  ${rateText(this.options)(rate)}`,
    );
  }

  end(): void {
    if (this.#live) process.stderr.write('\r\x1b[K');
  }

  print(line: string): void {
    process.stderr.write(`${line}\n`);
  }
}
