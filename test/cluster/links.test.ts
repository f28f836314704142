import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import t from 'tap';
import type { ClusterConfig, Credentials } from '../../failover/cluster/config/config.js';
import { type LinkEvents, Links } from '../../failover/cluster/transport/links.js';
import { encodeHeader, encodeJson, MessageType } from '../../failover/cluster/transport/messages.js';
import { requireTools } from '../../failover/lab/required-tools.js';

const HOST = '127.0.0.1';
let port = 20_000 + (process.pid % 20_000);

interface End {
  links: Links;
  up: string[];
  down: string[];
  got: [string, number, string][];
}

function configOf(
  names: string[],
  self: string,
  ports: Record<string, number>,
  credentials: Credentials,
): ClusterConfig {
  const nodes = names.map((name) => ({ name, host: HOST, port: ports[name] }));
  return {
    self: nodes.find(({ name }) => name === self)!,
    nodes,
    listen: HOST,
    credentials,
    coordinator: { type: 'fence-command', fence: '/bin/false', fenceTimeoutMs: 1000 },
    requiredBackups: 1,
    peerTimeoutMs: 500,
    newGroupDelayMs: 1000,
  };
}

async function end(config: ClusterConfig, group = 'g'): Promise<End> {
  const one: Omit<End, 'links'> = { up: [], down: [], got: [] };
  const events: LinkEvents = {
    up: (peer) => one.up.push(peer),
    down: (peer) => one.down.push(peer),
    message: (peer, type, body) => one.got.push([peer, type, body.toString()]),
    writable: () => undefined,
  };
  const links = new Links(
    config,
    { group, node: config.self.name, incarnation: randomBytes(4).toString('hex') },
    events,
  );
  await links.open();
  t.teardown(() => links.close());
  return { links, ...one };
}

async function until(so: () => boolean): Promise<boolean> {
  for (let i = 0; i < 300 && !so(); i++) await new Promise((done) => setTimeout(done, 10));
  return so();
}

const psk = (): Credentials => ({ kind: 'psk', key: randomBytes(32) });

t.test('two ends with one key', async (t) => {
  const credentials = psk();
  const ports = { a: port++, b: port++ };
  const a = await end(configOf(['a', 'b'], 'a', ports, credentials));
  const b = await end(configOf(['a', 'b'], 'b', ports, credentials));
  t.ok(await until(() => a.up.length === 1 && b.up.length === 1));
  t.ok(a.links.send('b', MessageType.Status, { role: 'x' }));
  t.ok(b.links.sendData('a', 5, Buffer.from('12345678')));
  t.ok(await until(() => a.got.length === 1 && b.got.length === 1));
  t.same(b.got, [['a', MessageType.Status, '{"role":"x"}']]);
  t.equal(a.got[0]?.[2], '\x05\0\0\0\0\0\0\x0012345678');
  t.notOk(a.links.send('c', MessageType.Status, {}), 'nobody there');
  // A connection that ends is made again.
  b.links.disconnect('a');
  t.ok(await until(() => a.up.length === 2 && a.down.length === 1));
});

t.test('a peer without the key, or with a wrong Hello, has no effect', async (t) => {
  const key = randomBytes(32);
  const credentials: Credentials = { kind: 'psk', key };
  const ports = { a: port++, b: port++ };
  const b = await end(configOf(['a', 'b'], 'b', ports, credentials));
  // Another key.
  const other = await end(configOf(['a', 'b'], 'a', ports, psk()));
  t.ok(await until(() => b.links.counters.refused > 0), 'refused');
  t.same(other.up, []);
  other.links.close();
  // No TLS at all, and a version that is too old.
  const plain = net.connect(ports.b, HOST, () => plain.write('hello\n'.repeat(20)));
  plain.on('error', () => undefined);
  await new Promise((done) => plain.once('close', done));
  const old = tls.connect({
    port: ports.b,
    host: HOST,
    maxVersion: 'TLSv1.2',
    ciphers: 'PSK+HIGH',
    checkServerIdentity: () => undefined,
    ...{ pskCallback: () => ({ psk: key, identity: 'g' }) },
  });
  old.on('error', () => undefined);
  await new Promise((done) => old.once('close', done));
  t.same(b.up, []);
  // The right key, and a wrong Hello.
  for (const hello of [
    { group: 'other', node: 'a', incarnation: 'x' },
    { group: 'g', node: 'c', incarnation: 'x' },
    { group: 'g', node: 'b', incarnation: 'x' },
    { group: 'g', node: 7 },
  ]) {
    const socket = tls.connect({
      port: ports.b,
      host: HOST,
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      checkServerIdentity: () => undefined,
      ...{ pskCallback: () => ({ psk: key, identity: 'g' }) },
    });
    socket.on('error', () => undefined);
    const body = encodeJson(hello);
    socket.write(Buffer.concat([encodeHeader(MessageType.Hello, body.length), body]));
    socket.write(encodeHeader(MessageType.Status, 0));
    socket.resume();
    await new Promise((done) => socket.once('close', done));
    t.same(b.up, [], JSON.stringify(hello));
  }
  t.same(b.got, []);
});

t.test('a server with a certificate that Node trusts, without the key', async (t) => {
  requireTools(['openssl'], true);
  const directory = mkdtempSync(join(tmpdir(), 'ft-tcp-impostor-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const words =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=b -keyout key -out cert';
  t.equal(spawnSync('openssl', words.split(' '), { cwd: directory }).status, 0);
  const [key, cert] = ['key', 'cert'].map((name) => readFileSync(join(directory, name)));
  const ports = { a: port++, b: port++ };
  let received = 0;
  const impostor = tls.createServer({ key, cert }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (part: Buffer) => {
      received += part.length;
    });
  });
  await new Promise<void>((done) => impostor.listen(ports.b, HOST, done));
  t.teardown(() => impostor.close());
  // Authorities can be added only when a process starts.
  const module = new URL('../../failover/cluster/transport/links.js', import.meta.url).href;
  const config = configOf(['a', 'b'], 'a', ports, { kind: 'psk', key: Buffer.alloc(32, 7) });
  const script = `
    const { Links } = await import(${JSON.stringify(module)});
    const config = ${JSON.stringify({ ...config, credentials: null })};
    config.credentials = { kind: 'psk', key: Buffer.alloc(32, 7) };
    const links = new Links(config, { group: 'g', node: 'a', incarnation: 'x' }, {});
    await links.open();
    setInterval(() => links.counters.refused > 0 && process.exit(7), 10);
    setTimeout(() => process.exit(8), 10_000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: join(directory, 'cert') },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = await once(child, 'exit');
  // Only a finished handshake is counted as refused by the side that connects.
  t.equal(code, 7, 'TLS accepts the certificate, the connection is refused');
  t.equal(received, 0, 'no Hello is sent');
});

t.test('another group with the same key', async (t) => {
  const credentials = psk();
  const ports = { a: port++, b: port++ };
  const a = await end(configOf(['a', 'b'], 'a', ports, credentials), 'one');
  const b = await end(configOf(['a', 'b'], 'b', ports, credentials), 'two');
  t.ok(await until(() => b.links.counters.refused > 0));
  t.same([...a.up, ...b.up], []);
});

const EC_KEY = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes';

/** Certificate authorities and certificates in a directory, made with openssl. */
class Authorities {
  constructor(readonly directory: string) {}

  #openssl(words: string): void {
    const { status, stderr } = spawnSync('openssl', words.split(' '), { cwd: this.directory, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
  }

  create(name: string): void {
    this.#openssl(`req -x509 ${EC_KEY} -days 2 -subj /CN=${name} -keyout ${name}.key -out ${name}.pem`);
  }

  /**
   * A certificate for the common name `cn`, signed by an authority; the peers trust the authority
   * "ours".
   */
  certificate(name: string, ca: string, cn = name): Credentials {
    this.#openssl(`req ${EC_KEY} -subj /CN=${cn} -keyout ${name}.key -out ${name}.csr`);
    const signer = `-CA ${ca}.pem -CAkey ${ca}.key -CAcreateserial`;
    this.#openssl(`x509 -req -in ${name}.csr ${signer} -days 2 -out ${name}.pem`);
    const file = (what: string): Buffer => readFileSync(join(this.directory, what));
    return { kind: 'certificate', cert: file(`${name}.pem`), key: file(`${name}.key`), ca: file('ours.pem') };
  }
}

t.test('certificates', async (t) => {
  requireTools(['openssl'], true);
  const directory = mkdtempSync(join(tmpdir(), 'ft-tcp-tls-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const authorities = new Authorities(directory);
  writeFileSync(join(directory, 'serial'), '01');
  authorities.create('ours');
  authorities.create('theirs');
  const [ca, cb] = [authorities.certificate('a', 'ours'), authorities.certificate('b', 'ours')];
  const ports = { a: port++, b: port++ };
  const a = await end(configOf(['a', 'b'], 'a', ports, ca));
  const b = await end(configOf(['a', 'b'], 'b', ports, cb));
  t.ok(await until(() => a.up.length === 1 && b.up.length === 1));
  a.links.close();
  // A certificate of another authority, and one whose name is not the node's.
  const forged = [authorities.certificate('x', 'theirs', 'a'), authorities.certificate('y', 'ours', 'z')];
  for (const credentials of forged) {
    const before = b.links.counters.refused;
    const intruder = await end(configOf(['a', 'b'], 'a', ports, credentials));
    t.ok(await until(() => b.links.counters.refused > before));
    t.same(b.up, ['a']);
    intruder.links.close();
  }
});
