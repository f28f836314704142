/**
 * The files of contrib/ that run a group elsewhere. Nothing of them is started here: units are
 * checked by systemd-analyze, and each command line is read as the command itself reads it.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { readGroupConfig } from '../../failover/cli/group-config.js';
import { runArguments } from '../../failover/cli/run-options.js';
import { upArguments } from '../../failover/cli/up-options.js';
import { findTool } from '../../failover/lab/required-tools.js';
import { inHostLab, run } from '../failover/support/host-lab.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const UNITS = ['ft-tcp@.service', 'ft-tcp-replica@.service'];
const CLI = '/usr/lib/node_modules/ft-tcp/bin/ft-tcp.js';

// systemd-analyze writes to /run, which is the lab's own here.
const holder = await inHostLab(import.meta.url);
t.teardown(() => holder.kill('SIGKILL'));

function contrib(path: string): string {
  return readFileSync(join(ROOT, 'contrib', path), 'utf8');
}

t.test('units: no mistake for systemd, and command lines that ft-tcp takes', async (t) => {
  const config = '/run/web.json';
  writeFileSync(config, JSON.stringify({ group: 'web', program: 'server.js', publish: 80 }));
  mkdirSync('/run/units');
  for (const name of UNITS) {
    const text = contrib(`systemd/${name}`);
    const [, words = ''] = new RegExp(`^ExecStart=/usr/bin/node ${CLI} (.*)$`, 'm').exec(text) ?? [];
    const [command, ...args] = words.split(' ').map((word) => word.replace('/etc/ft-tcp/%i.json', config));
    t.match(command, /^(up|run)$/, name);
    const given = command === 'up' ? upArguments(args).run : runArguments(args);
    t.match(given, { group: 'web', network: { ports: [{ port: 80, to: 80 }] } });
    t.match(text, /^Type=notify$/m);
    const here = text.replaceAll('/usr/bin/node', process.execPath).replaceAll(CLI, join(ROOT, 'bin/ft-tcp.js'));
    writeFileSync(`/run/units/${name}`, here);
  }
  if (findTool('systemd-analyze') === null) return void t.comment('not tried: no systemd-analyze');
  const files = UNITS.map((name) => `/run/units/${name.replace('@.', '@web.')}`);
  const { err } = run('systemd-analyze', 'verify', '--man=no', ...files);
  // Units of this machine may have mistakes of their own.
  t.same(
    err.split('\n').filter((line) => line.includes('ft-tcp')),
    [],
  );
  writeFileSync('/run/units/ft-tcp@.service', `${contrib('systemd/ft-tcp@.service')}\n[Service]\nWatchdogSec=never\n`);
  t.match(run('systemd-analyze', 'verify', '--man=no', files[0] ?? '').err, /ft-tcp/, 'a mistake would be found');
});

t.test('containers: command lines that ft-tcp takes', async (t) => {
  const list = (text: string, pattern: RegExp): string[] => JSON.parse(pattern.exec(text)?.[1] ?? 'null') as string[];
  const dockerfile = contrib('docker/Dockerfile');
  const kubernetes = contrib('kubernetes/ft-tcp.yaml');
  const [, items = ''] = /^ +args:\n((?: +- "[^"]*"\n)+)/m.exec(kubernetes) ?? [];
  const commands = [
    list(dockerfile, /^CMD (\[.*\])$/m),
    [...items.matchAll(/"([^"]*)"/g)].map(([, word = '']) => word),
  ];
  for (const [command, ...args] of commands) {
    t.equal(command, 'up');
    t.match(upArguments(args), {
      run: { directory: '/dev/shm/ft-tcp', network: { ports: [{ port: 80 }] } },
      replicas: 2,
    });
  }
  const compose = contrib('docker/compose.yaml');
  for (const text of [compose, kubernetes]) t.match(text, /\/dev\/net\/tun/);
  t.match(compose, /cap_add: \[NET_ADMIN\]/);
  t.match(kubernetes, /drop: \[ALL\], add: \[NET_ADMIN\]/);
});

t.test("the guide's configuration file is valid", async (t) => {
  const guide = readFileSync(join(ROOT, 'docs/guides/serving.md'), 'utf8');
  const [, json = ''] = /```json\n([\s\S]*?)```/.exec(guide) ?? [];
  writeFileSync('/run/guide.json', json);
  t.match(upArguments(readGroupConfig('/run/guide.json')).run, { group: 'web', options: { commit: 'acked' } });
});
