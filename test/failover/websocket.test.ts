/** WebSockets of a program that does nothing for it outlive deploys and kills. Inside of a lab. */
import { createHash } from 'node:crypto';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { WebSocket } from 'ws';
import { closeAll, command } from './support/deploys.js';
import { inLab, STACK_ADDRESS, sleep, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
t.setTimeout(200_000);
const APP = fileURLToPath(new URL('apps/chat.js', import.meta.url));

function group(...args: string[]): TestGroup {
  return new TestGroup(directory, ['--mode', 'state', '--warm'], [APP, ...args]);
}

/** A client of the chat. */
class Chatter {
  readonly heard: string[] = [];
  readonly socket: WebSocket;
  isClosed = false;

  constructor(name: string, compress = false) {
    this.socket = new WebSocket(`ws://${STACK_ADDRESS}/${name}`, { perMessageDeflate: compress });
    this.socket.on('message', (data) => this.heard.push(String(data)));
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.isClosed = true;
    });
  }

  async open(): Promise<this> {
    await until('an open WebSocket', () => this.socket.readyState === WebSocket.OPEN);
    return this;
  }
}

t.test('a chat: each message once and in order, over deploys and kill -9', async (t) => {
  const own = group('v1');
  let [primary] = await own.pair();
  const [ann, bob] = [await new Chatter('ann').open(), await new Chatter('bob').open()];
  const expected: string[] = [];
  const say = async (who: Chatter, name: string, version: string, text: string): Promise<void> => {
    who.socket.send(text);
    expected.push(`${version} ${name}: ${text.length > 100 ? text.length : text}`);
    await until(text.slice(0, 20), () => ann.heard.length === expected.length && bob.heard.length === expected.length);
  };
  await say(ann, 'ann', 'v1', 'hello');
  await say(bob, 'bob', 'v1', 'x'.repeat(50_000));
  for (const version of ['v2', 'v3']) {
    const { code, report, stderr } = await command(own, 'deploy', APP, version);
    t.equal(code, 0, stderr);
    t.match(report, { moved: { webSocket: 2 }, reset: { httpBusy: 0, webSocketRefused: 0 } });
    await say(ann, 'ann again', version, `from ann to ${version}`);
    await say(bob, 'bob again', version, `from bob to ${version}`);
    if (version === 'v2') process.kill(report.to.pid, 'SIGKILL');
    else primary = own.start();
    if (version === 'v2') await say(ann, 'ann again', version, 'after a kill');
  }
  const eve = await new Chatter('eve').open();
  t.equal(ann.isClosed || bob.isClosed, false);
  t.same(ann.heard, expected);
  t.same(bob.heard, expected);
  for (const { socket } of [ann, bob, eve]) socket.terminate();
  await closeAll(own);
  await primary.exited;
});

/** A masked frame with a text. */
function frame(text: string, opcode = 1, isFinal = true): Buffer {
  const mask = Buffer.from([9, 8, 7, 6]);
  const payload = Buffer.from(text).map((byte, i) => byte ^ mask[i % 4]);
  return Buffer.concat([Buffer.from([(isFinal ? 0x80 : 0) | opcode, 0x80 | payload.length]), mask, payload]);
}

t.test('half a message, fragments and a ping between them', async (t) => {
  const own = group('v1');
  const [primary, backup] = await own.pair();
  const socket = net.connect(80, STACK_ADDRESS);
  let text = '';
  socket.on('data', (part: Buffer) => {
    text += part.toString('latin1');
  });
  const key = createHash('md5').update('key').digest('base64');
  socket.write(
    `GET /raw HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  );
  await until('101', () => text.includes('\r\n\r\n'));
  socket.write(Buffer.concat([frame('one'), frame('two, in ', 1, false), frame('?', 9)]));
  const half = frame('fragments', 0);
  socket.write(half.subarray(0, 5));
  await until('the first message, and a pong', () => text.includes('v1 raw: one') && text.endsWith('?'));
  await sleep(100);
  primary.kill('SIGKILL');
  await backup.event('takeover');
  socket.write(half.subarray(5));
  await until('the second message', () => text.includes('two, in fragments'));
  t.match(text, /v1 raw again: two, in fragments$/);
  t.equal(text.split('HTTP/1.1').length, 2, 'one answer to the request');
  t.equal(text.split('one').length, 2, 'the first message came once');
  t.equal(text.split('?').length, 2, 'one pong');
  socket.destroy();
  await closeAll(own);
});

t.test('what cannot move is reset, and told', async (t) => {
  const own = group('deflate');
  await own.pair();
  const compressed = await new Chatter('squeezed', true).open();
  compressed.socket.send('hello');
  await until('an answer', () => compressed.heard.length === 1);
  const first = await command(own, 'deploy', APP, 'v2');
  t.equal(first.code, 0, first.stderr);
  t.match(first.report, { moved: { webSocket: 0 }, reset: { httpBusy: 1 } });
  await until('it is closed', () => compressed.isClosed);
  const plain = await new Chatter('plain').open();
  const second = await command(own, 'deploy', APP, 'v3', 'other-protocol');
  t.equal(second.code, 0, second.stderr);
  t.equal(second.report.moved.webSocket, 1, 'a client that asked for no subprotocol gets none');
  t.equal(plain.isClosed, false);
  const third = await command(own, 'deploy', '--timeout', '30', APP, 'deflate');
  t.equal(third.code, 0, third.stderr);
  t.equal(third.report.moved.webSocket, 1);
  plain.socket.send('still here');
  await until('an answer', () => plain.heard.length === 1);
  t.same(plain.heard, ['deflate plain again: still here']);
  plain.socket.terminate();
  await closeAll(own);
});
