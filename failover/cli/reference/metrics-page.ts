/** docs/reference/metrics.md and explain.md, from the tables of metrics and of reasons. */
import { REASONS, type ReasonSpec } from '../../admin/explain.js';
import { METRICS, type Metric } from '../../admin/metrics.js';
import { code, pageHead, table } from './markdown.js';

const PARTS: Readonly<Record<Metric['of'], readonly [string, string]>> = {
  outside: ['What answers', 'Label of all: `group`.'],
  group: [
    'The group',
    'Label of all: `group`. The values are those of the primary, or of the backup when only that one answers.',
  ],
  replica: ['Each replica', 'Labels of all: `group`, and `pid`, the process. A replica without the part has no value.'],
};

function rows(part: Metric['of']): string[][] {
  return Object.entries(METRICS)
    .filter(([, { of }]) => of === part)
    .map(([name, { type, labels = {}, help }]) => {
      const own = Object.entries(labels).map(([label, meaning]) => `${code(label)} (${meaning})`);
      return [code(name), type, own.join('; '), help];
    });
}

/** The page's lines. */
export function metricsLines(): string[] {
  const out = pageHead('Metrics', 'failover/admin/metrics.ts', [
    '`--metrics ADDRESS:PORT` serves them at `/metrics` in the text format of Prometheus. The admin socket of each replica ' +
      '(`PID.control` in the directory of the group) answers the same request.',
    'Each replica answers for the whole group: it asks the others, and waits for half a second at most.',
    'Names and labels are stable, as the fields of the status are. Times are seconds, sizes are bytes. Counters of a ' +
      'replica start at 0 with its process; those of the group go on.',
  ]);
  for (const [part, [title, intro]] of Object.entries(PARTS) as [Metric['of'], readonly [string, string]][])
    out.push(`## ${title}`, '', intro, '', ...table(['Metric', 'Type', 'Labels', 'Meaning'], rows(part)));
  return out;
}

/** The lines of docs/reference/explain.md. */
export function explainLines(): string[] {
  const out = pageHead('Reasons', 'failover/admin/explain.ts', [
    '`ft-tcp explain ADDRESS:PORT` says what protects a connection, or why nothing does. Its exit code is 0 when it is protected.',
  ]);
  const all = Object.entries<ReasonSpec>(REASONS);
  for (const [isProtected, title] of [
    [true, 'Protected'],
    [false, 'Not protected'],
  ] as const) {
    const own = all.filter(([, reason]) => reason.isProtected === isProtected);
    out.push(`## ${title}`, '');
    out.push(
      ...table(
        ['Reason', 'Because', 'What to do'],
        own.map(([name, { because, action }]) => [code(name), because, action]),
      ),
    );
  }
  return out;
}
