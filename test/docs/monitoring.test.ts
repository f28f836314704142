/**
 * The dashboard and the alert rules in contrib: they name metrics and labels that exist, and
 * promtool finds no fault in them.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { METRICS, type Metric } from '../../failover/admin/metrics.js';
import { findTool, installHint } from '../../failover/lab/required-tools.js';

const CONTRIB = fileURLToPath(new URL('../../../contrib/', import.meta.url));
const ALERTS = join(CONTRIB, 'prometheus/ft-tcp-alerts.yml');
const promtool = findTool('promtool');
const skip = promtool === null ? `promtool is not installed: ${installHint(['promtool'])}` : false;

interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { expr: string; legendFormat: string }[];
}
interface Dashboard {
  panels: Panel[];
  annotations: { list: { expr: string }[] };
}

const dashboard = JSON.parse(readFileSync(join(CONTRIB, 'grafana/ft-tcp.json'), 'utf8')) as Dashboard;
const shown = dashboard.panels.flatMap(({ targets = [] }) => targets);
const expressions = [...shown.map(({ expr }) => expr), ...dashboard.annotations.list.map(({ expr }) => expr)];

/** Labels that a metric has; `job` and `instance` are those of the scrape. */
function labelsOf({ of, labels = {}, type }: Metric): Set<string> {
  const own = [...Object.keys(labels), ...(of === 'replica' ? ['pid'] : []), ...(type === 'histogram' ? ['le'] : [])];
  return new Set(['job', 'instance', 'group', ...own]);
}

/** What is wrong with the names in an expression of PromQL. */
function problems(expression: string): string[] {
  const found: string[] = [];
  for (const [, name = '', matchers = ''] of expression.matchAll(/\b(ft_tcp_\w+)(?:\{([^}]*)\})?/g)) {
    const metric = METRICS[name] ?? METRICS[name.replace(/_(bucket|sum|count)$/, '')];
    if (metric === undefined) found.push(`${name} is no metric`);
    else
      for (const [, label = ''] of matchers.matchAll(/(\w+)\s*[=!]/g))
        if (!labelsOf(metric).has(label)) found.push(`${name} has no label ${label}`);
  }
  return found;
}

t.test('the dashboard: metrics and labels exist, and nothing overlaps', async (t) => {
  t.ok(expressions.length > 20);
  for (const expression of expressions) {
    t.match(expression, /ft_tcp_/);
    t.same(problems(expression), [], expression);
  }
  const { panels } = dashboard;
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length, 'each panel has a number of its own');
  for (const { type, title, description, gridPos } of panels) {
    t.ok(gridPos.x + gridPos.w <= 24, `${title} fits`);
    if (type !== 'row') t.match(description, /^[A-Z].*[.?]$/, `${title} is described`);
  }
  for (const [i, { title, gridPos: a }] of panels.entries())
    for (const { gridPos: b } of panels.slice(i + 1))
      t.notOk(a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h, `${title} overlaps nothing`);
});

t.test('the alerts: metrics and labels exist, each says what to do, each threshold is tested or plain', async (t) => {
  const text = readFileSync(ALERTS, 'utf8');
  t.same(problems(text.replace(/^#.*$/gm, '')), []);
  const count = (pattern: RegExp): number => text.match(pattern)?.length ?? 0;
  const alerts = count(/^ {6}- alert: FtTcp/gm);
  t.ok(alerts > 10);
  for (const part of [/severity: (info|warning|critical)/g, /^ {10}summary: ./gm, /^ {10}action: ./gm])
    t.equal(count(part), alerts, String(part));
});

t.test('promtool: rules, their tests, and every expression of the dashboard', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ft-promtool-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const run = (...words: string[]): void => {
    const { status, stdout, stderr } = spawnSync(promtool ?? '', words, { encoding: 'utf8', timeout: 60_000 });
    t.equal(status, 0, `promtool ${words.slice(0, 2).join(' ')}\n${stdout}${stderr}`);
  };
  run('check', 'rules', ALERTS);
  run('test', 'rules', join(CONTRIB, 'prometheus/ft-tcp-alerts.test.yml'));
  const rules = expressions.map((expression, i) => ({
    record: `panel:${i}`,
    expr: expression.replaceAll('$__rate_interval', '5m').replaceAll(/\$(group|instance)/g, '.*'),
  }));
  const file = join(directory, 'dashboard.yml');
  // JSON is YAML.
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
  run('check', 'rules', file);
});
