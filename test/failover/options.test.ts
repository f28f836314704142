/** Options of the command line: values, errors, and the help that comes from the same tables. */
import t from 'tap';
import { EXIT_CODES } from '../../failover/admin/error-codes.js';
import { COMMANDS } from '../../failover/cli/commands.js';
import { helpText, overviewText, wrap } from '../../failover/cli/help.js';
import { nearest } from '../../failover/cli/nearest.js';
import { type CommandSpec, type OptionTable, parseOptions } from '../../failover/cli/options.js';
import { runArguments } from '../../failover/cli/run-options.js';
import { serveOptions } from '../../failover/cli/serve-options.js';
import { choice, integer, number, PORT, SIGNAL, SIZE } from '../../failover/cli/value-types.js';
import { isSupportedNode, requireSupportedNode } from '../../failover/host/node-version.js';

const OPTIONS = {
  count: { value: integer({ min: 1, max: 9 }), default: '3', meaning: 'How many.', since: '0.1' },
  port: { value: PORT, multiple: true, meaning: 'Where.', since: '0.1', example: '--port 80' },
  color: {
    value: choice('red', 'green'),
    meaning: 'Which.',
    since: '0.1',
    example: '--color red',
    formerly: ['colour'],
  },
  quiet: { meaning: 'Print nothing.', since: '0.1' },
  secret: { value: PORT, meaning: 'Internal.', since: '0.1', internal: true },
} as const satisfies OptionTable;

const SPEC: CommandSpec<typeof OPTIONS> = {
  name: 'paint',
  summary: 'paint',
  usage: 'paint [options]',
  description: ['Paints.'],
  options: OPTIONS,
  examples: ['paint'],
};

t.test('values have their types and defaults', async (t) => {
  t.same(parseOptions(SPEC, []), { count: 3, port: [], color: undefined, quiet: false, secret: undefined });
  t.same(parseOptions(SPEC, ['--count=5', '--port', '1', '--port', '2', '--color', 'red', '--quiet']), {
    ...{ count: 5, port: [1, 2], color: 'red', quiet: true, secret: undefined },
  });
  t.equal(parseOptions(SPEC, ['--count', '4', '--count', '5']).count, 5, 'the last one counts');
});

t.test('errors name the option, the value and what is expected', async (t) => {
  const wrong: [string[], string][] = [
    [['--count', '10'], '--count 10: invalid value; expected an integer, 1 to 9. See ft-tcp paint --help'],
    [['--count', '1.5'], '--count 1.5: invalid value; expected an integer, 1 to 9. See ft-tcp paint --help'],
    [['--color', 'blue'], '--color blue: invalid value; expected red or green. See ft-tcp paint --help'],
    [['--count'], '--count: value missing; expected an integer, 1 to 9. See ft-tcp paint --help'],
    [['--count', '--quiet'], '--count: value missing; expected an integer, 1 to 9. See ft-tcp paint --help'],
    [['--count='], '--count: value missing; expected an integer, 1 to 9. See ft-tcp paint --help'],
    [['--quiet=yes'], '--quiet takes no value. See ft-tcp paint --help'],
    [['wall'], 'Unexpected argument "wall". See ft-tcp paint --help'],
    [['--coutn', '1'], '--coutn: unknown option; did you mean --count. See ft-tcp paint --help'],
    [['--col', 'red'], '--col: unknown option; did you mean --color. See ft-tcp paint --help'],
    [['--colour', 'red'], '--colour: renamed to --color. See ft-tcp paint --help'],
    [['--elephant'], '--elephant: unknown option. See ft-tcp paint --help'],
    [['--secre', '1'], '--secre: unknown option. See ft-tcp paint --help'],
    [['-q'], '-q: unknown option. See ft-tcp paint --help'],
    [['--constructor'], '--constructor: unknown option. See ft-tcp paint --help'],
  ];
  for (const [argv, message] of wrong)
    t.throws(() => parseOptions(SPEC, argv), { code: 'ERR_FT_USAGE', message }, argv.join(' '));
});

t.test('value types', async (t) => {
  t.same(
    ['64', '10K', '1.5G', '2T', '0', 'x'].map((text) => SIZE.read(text)),
    [64, 10_240, 1_610_612_736, undefined, undefined, undefined],
  );
  t.same(
    ['kill', 'SIGSTOP', 'nothing', 'toString'].map((text) => SIGNAL.read(text)),
    ['SIGKILL', 'SIGSTOP', undefined, undefined],
  );
  const seconds = number({ min: 0.5, unit: 's' });
  t.same(
    ['0.5', '1e3', ' ', 'soon', '0.4'].map((text) => seconds.read(text)),
    [0.5, 1000, undefined, undefined, undefined],
  );
});

t.test('a near name is proposed, a far one is not', async (t) => {
  t.equal(nearest('statsu', ['status', 'serve']), 'status');
  t.equal(nearest('stat', ['status', 'serve']), 'status');
  t.equal(nearest('independant', ['independent-connections', 'node']), 'independent-connections');
  t.equal(nearest('fly', ['run', 'serve', 'drain']), undefined);
});

t.test('every table is complete, and its help fits on a terminal', async (t) => {
  for (const { spec } of COMMANDS) {
    for (const [name, option] of Object.entries(spec.options)) {
      const place = `${spec.name} --${name}`;
      t.match(name, /^[a-z]+(-[a-z]+)*$/, place);
      t.ok(option.meaning.endsWith('.'), `${place}: whole sentences`);
      t.match(option.since, /^\d+\.\d+$/, place);
      if (option.default !== undefined) t.not(option.value?.read(option.default), undefined, `${place}: its default`);
      if (option.value !== undefined && option.internal !== true)
        t.ok(option.default !== undefined || option.example !== undefined, `${place}: default or example`);
      if (option.example !== undefined && option.internal !== true)
        t.doesNotThrow(() => parseOptions(spec, option.example?.split(' ') ?? []), place);
    }
    const text = helpText(spec);
    t.match(text, `Usage: ft-tcp ${spec.name}`);
    for (const line of text.split('\n')) t.ok(line.length <= 100, line);
    t.notMatch(text, '--member', 'internal options are not shown');
  }
  const overview = overviewText(
    COMMANDS.map(({ spec }) => spec),
    EXIT_CODES,
  );
  for (const { spec } of COMMANDS) t.match(overview, `  ${spec.name} `);
  for (const line of overview.split('\n')) t.ok(line.length <= 100, line);
  t.same(wrap('one two three', 7), ['one two', 'three']);
});

t.test('run: what follows the program is the program’s own', async (t) => {
  const args = runArguments(['--solo', '--ip=10.0.0.2/24', '--group', 'web', 'app.js', '--solo', '--help']);
  t.match(args, { group: 'web', program: 'app.js', programArgs: ['--solo', '--help'], restartWindow: 60 });
  t.match(args.options, { solo: true, addresses: ['10.0.0.2/24'], hangTimeoutMs: 500, historyLimit: 262_144 });
  t.equal(runArguments(['--', '--app.js']).program, '--app.js');
  t.same(runArguments(['app.js']).options.addresses, ['10.77.0.2/24']);
  t.throws(() => runArguments(['--solo']), { message: /^No program given/ });
});

t.test('serve: all services, or those that are named', async (t) => {
  t.equal(serveOptions([]).services.length, 5);
  t.same(serveOptions(['--http', '8080']).services, [['http', 8080]]);
  t.same(serveOptions(['--autoconfigure']).ip, []);
  t.throws(() => serveOptions(['--tap', 'a', '--tun', 'b']), { message: /exclude each other/ });
  t.throws(() => serveOptions(['--vlan', '4095']), { message: /--vlan 4095: invalid value/ });
});

t.test('supported versions of Node.js', async (t) => {
  for (const version of ['20.11.0', '22.1.0', '24.0.0', '26.3.1']) t.ok(isSupportedNode(version), version);
  for (const version of ['18.20.0', '21.0.0', '23.1.0', '25.0.0', '27.0.0', '200.0.0']) {
    t.notOk(isSupportedNode(version), version);
    t.throws(() => requireSupportedNode(version), {
      code: 'ERR_FT_NODE_VERSION',
      message: `Node.js ${version} is not supported. Use one of 20, 22, 24 and 26`,
    });
  }
  t.ok(isSupportedNode(process.versions.node), 'this one');
});
