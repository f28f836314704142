/** `--metrics`: scrapes of a live group, by curl, over a takeover and a hang. Inside of a lab. */
import { spawnSync } from 'node:child_process';
import { METRICS } from '../../failover/admin/metrics.js';
import { findTool, installHint } from '../../failover/lab/required-tools.js';
import { Client, inLab, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(120_000);

const ADDRESS = '127.0.0.1:9464';
const OPTIONS = ['--log-size', '16', '--metrics', ADDRESS];

function scrape(...args: string[]): string {
  const found = spawnSync('curl', ['--silent', '--fail', '--max-time', '3', ...args], { encoding: 'utf8' });
  return found.stdout;
}

/** All values whose labels match, added up; NaN: there is none. */
function value(text: string, name: string, labels = ''): number {
  const found = [...text.matchAll(new RegExp(`^${name}(?:\\{([^}]*)\\})? (\\S+)$`, 'gm'))].filter(([, own = '']) =>
    own.includes(labels),
  );
  return found.length === 0 ? Number.NaN : found.reduce((sum, [, , number]) => sum + Number(number), 0);
}

async function scrapeUntil(what: string, condition: (text: string) => boolean): Promise<string> {
  let text = '';
  await until(what, () => {
    text = scrape(`http://${ADDRESS}/metrics`);
    return condition(text);
  });
  return text;
}

t.test('a group, before and after the death of its primary', async (t) => {
  const group = new TestGroup(directory, OPTIONS);
  const primary = group.start();
  await primary.event('ready');
  const alone = await scrapeUntil('the primary serves', (text) => text !== '');
  t.equal(value(alone, 'ft_tcp_protected'), 0);
  t.equal(value(alone, 'ft_tcp_replicas', 'state="primary"'), 1);
  const backup = group.start();
  await primary.event('protected');
  await backup.event('ready');
  const client = new Client(8);
  client.socket.write('hello');
  await client.waitFor(5);
  const text = await scrapeUntil('protected', (one) => value(one, 'ft_tcp_protected') === 1);
  t.equal(value(text, 'ft_tcp_replicas', 'state="backup"'), 1);
  t.equal(value(text, 'ft_tcp_connections', '"protected"'), 1);
  t.equal(value(text, 'ft_tcp_connections', '"unprotected"'), 0);
  t.ok(value(text, 'ft_tcp_unprotected_seconds_total') > 0);
  t.ok(value(text, 'ft_tcp_protected_again_seconds') > 0);
  t.ok(value(text, 'ft_tcp_segments_total', 'direction="in"') > 0);
  t.equal(value(text, 'ft_tcp_rtt_seconds_count'), value(text, 'ft_tcp_rtt_seconds_bucket', 'le="+Inf"'));
  t.match(text, /ft_tcp_replica_info\{[^}]*role="backup",version="\d[^"]*",node="\d[^"]*"\} 1/);
  const promtool = findTool('promtool');
  if (promtool === null) t.comment(`promtool is not installed: ${installHint(['promtool'])}`);
  else {
    const checked = spawnSync(promtool, ['check', 'metrics'], { input: text, encoding: 'utf8' });
    t.equal(`${checked.stdout}${checked.stderr}`, '', 'promtool finds nothing');
  }
  const socket = (pid: number): string =>
    scrape('--unix-socket', `${directory}/${group.name}/${pid}.control`, 'http://x/metrics');
  for (const { pid } of group.replicas) t.equal(value(socket(pid), 'ft_tcp_replicas'), 2, 'on the admin socket');
  primary.kill('SIGKILL');
  await backup.event('takeover');
  const after = await scrapeUntil('the successor serves', (one) => value(one, 'ft_tcp_takeovers_total') === 1);
  t.equal(value(after, 'ft_tcp_protected'), 0);
  t.equal(value(after, 'ft_tcp_takeovers_total', 'reason="death"'), 1);
  t.ok(value(after, 'ft_tcp_last_takeover_phase_seconds', 'phase="fence"') > 0);
  t.ok(Math.abs(value(after, 'ft_tcp_last_takeover_timestamp_seconds') - Date.now() / 1000) < 60);
  const names = new Set([...`${text}${after}`.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  const missing = Object.keys(METRICS).filter((name) => !names.has(name) && !name.startsWith('ft_tcp_cluster_'));
  t.same(missing, ['ft_tcp_gateway_clients_total'], 'every metric has a value, but those of gateways and agents');
  client.socket.destroy();
  await group.close();
});

t.test('a primary that does not answer: its backup serves', async (t) => {
  const group = new TestGroup(directory, [...OPTIONS, '--hang-timeout', '4000']);
  const [primary, backup] = await group.pair();
  await scrapeUntil('both', (text) => value(text, 'ft_tcp_replicas') === 2);
  // The backup asks the primary to yield the address when it is ready.
  await scrapeUntil('the backup serves', () => {
    const found = spawnSync('ss', ['-Hltnp', 'sport = :9464'], { encoding: 'utf8' }).stdout;
    return found.includes(`pid=${backup.pid},`);
  });
  primary.kill('SIGSTOP');
  const hung = scrape(`http://${ADDRESS}/metrics`);
  t.equal(value(hung, 'ft_tcp_replica_up', `pid="${primary.pid}"`), 0, 'it hangs');
  t.equal(value(hung, 'ft_tcp_replica_up', `pid="${backup.pid}"`), 1);
  t.equal(value(hung, 'ft_tcp_protected'), 1);
  await group.close();
});

t.test('a gateway', async (t) => {
  const services = ['--listen', '10.77.0.2:80', '--to', '10.77.0.1:9'];
  const group = new TestGroup(directory, [...OPTIONS, ...services], [], 'gateway');
  await group.start().event('ready');
  const text = await scrapeUntil('the gateway serves', (one) => one !== '');
  t.equal(value(text, 'ft_tcp_gateway_clients_total', 'result="came"'), 0);
  t.equal(value(text, 'ft_tcp_replicas', 'state="primary"'), 1);
  await group.close();
});
