/** Frames through TAP and TUN devices, against the kernel's own stack. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { TxFrame } from '../../lib/device/device.js';
import { TapDevice } from '../../lib/device/tap.js';
import { native } from '../../lib/native/native.js';

import {
  build,
  Collector,
  configure,
  ETHERNET,
  inNamespace,
  ip,
  isIpv4,
  isUdp,
  linkState,
  received,
  sendUdp,
  TCP_CSUM_OFFSET,
  tcpHeader,
  UDP_CSUM_OFFSET,
  udpHeader,
  udpSocket,
} from './support/tap-lab.js';

function framesCross(t: Test): void {
  for (const offload of [true, false]) {
    t.test(`frames cross ${offload ? 'with' : 'without'} offloads`, async (t) => {
      const device = TapDevice.open({ name: 'ftt%d', offload });
      t.match(device.name, /^ftt\d$/);
      t.equal(device.link, 'ethernet');
      t.equal(device.mtu, 1500);
      // Without offload the addon does that work.
      t.same(device.capabilities, { checksum: true, tso4: true, tso6: true });
      configure(device.name);
      const mac = linkState(device.name).mac;
      const collector = new Collector();
      device.start(collector);
      t.throws(() => device.start(collector), { code: 'ERR_FT_STATE' });
      const socket = await udpSocket();

      await sendUdp(socket, 'from the kernel');
      const frame = await collector.next(isUdp);
      t.equal(frame.bytes.subarray(ETHERNET + 28).toString(), 'from the kernel');
      t.equal(frame.checksumOk, offload);
      t.equal(frame.gsoSize, 0);

      for (const length of [0, 1, 100, 1472]) {
        const payload = Buffer.alloc(length, 'x');
        const transport = udpHeader(9, socket.address().port, length);
        const message = received(socket);
        t.equal(
          device.send(build({ mac, protocol: 17, transport, payload, checksumAt: UDP_CSUM_OFFSET, offload })),
          true,
        );
        t.equal(await message, payload.toString());
      }

      const echo = Buffer.from([8, 0, 0, 0, 0x12, 0x34, 0, 1]);
      device.send(
        build({ mac, protocol: 1, transport: echo, payload: Buffer.from('ping'), checksumAt: 2, offload: false }),
      );
      const reply = await collector.next((frame) => isIpv4(frame, 1));
      t.equal(reply.bytes[ETHERNET + 20], 0, 'an echo reply');
      t.equal(reply.bytes.subarray(ETHERNET + 28).toString(), 'ping');

      device.pause();
      const before = device.counters.rxBatches;
      for (let i = 0; i < 5; i++) await sendUdp(socket, `held ${i}`);
      await sleep(20);
      t.equal(collector.frames.filter(isUdp).length, 0, 'paused');
      device.resume();
      await collector.next((frame) => frame.bytes.includes('held 4'));
      t.equal(device.counters.rxBatches, before + 1, 'what has waited comes in one batch');
      t.equal(collector.frames.filter(isUdp).length, 4);

      const { txFrames, txBytes, txErrors, rxFrames } = device.counters;
      t.same({ txFrames, txErrors }, { txFrames: 5, txErrors: 0 });
      t.equal(txBytes, 4 * 42 + 1573 + 46, 'bytes on the wire, without the header for the driver');
      t.ok(rxFrames >= 7);

      ip('link', 'set', device.name, 'down');
      const lost = build({
        mac,
        protocol: 17,
        transport: udpHeader(9, 9, 0),
        payload: Buffer.alloc(0),
        checksumAt: 6,
        offload,
      });
      t.equal(device.send(lost), true, 'a frame into a dead link is taken');
      t.equal(device.counters.txErrors, 1);
      t.same([...device.txErrorCodes], [['EIO', 1]]);
      device.close();
      device.close();
      t.equal(device.send(lost), true);
      t.throws(() => device.attach(), { code: 'ERR_FT_CLOSED' });
      socket.close();
    });
  }
}

function largeSegments(t: Test): void {
  for (const sender of [undefined, { lookUs: 50 }]) {
    t.test(`super-segments in both directions, ${sender ? 'with' : 'without'} a sender`, async (t) => {
      const device = TapDevice.open({ name: 'ftgso', sender });
      t.teardown(() => device.close());
      configure(device.name);
      const mac = linkState(device.name).mac;
      const collector = new Collector();
      device.start(collector);
      let arrived = Buffer.alloc(0);
      const server = createServer((socket) => {
        socket.on('error', () => {});
        socket.on('data', (data) => {
          arrived = Buffer.concat([arrived, data]);
          if (arrived.length === 60_000) socket.write(Buffer.alloc(60_000, 'k'));
        });
      });
      server.listen(0, '10.77.0.1');
      await once(server, 'listening');
      const port = (server.address() as { port: number }).port;
      const tcp = (seq: number, ack: number, flags: number, payload: Uint8Array): TxFrame =>
        build({
          mac,
          protocol: 6,
          transport: tcpHeader(port, seq, ack, flags),
          payload,
          checksumAt: TCP_CSUM_OFFSET,
          offload: true,
        });
      const none = Buffer.alloc(0);
      device.send(tcp(1000, 0, 0x02, none));
      const synAck = await collector.next((frame) => isIpv4(frame, 6));
      t.equal(synAck.bytes[ETHERNET + 33], 0x12);
      const theirs = synAck.bytes.readUInt32BE(ETHERNET + 24) + 1;
      device.send(tcp(1001, theirs, 0x10, none));
      const payload = Buffer.from(Uint8Array.from({ length: 60_000 }, (_, i) => (i * 13) & 255));
      const big = tcp(1001, theirs, 0x18, payload);
      big.gsoVersion = 4;
      big.gsoSize = 1460;
      t.equal(device.send(big), true);
      const answer = await collector.next((frame) => isIpv4(frame, 6) && frame.gsoSize > 0);
      t.ok(arrived.equals(payload), 'the kernel has all 60000 bytes of one frame');
      t.ok(answer.gsoSize > 500 && answer.gsoSize <= 1460, `merged from segments of ${answer.gsoSize} bytes`);
      t.ok(answer.bytes.length > ETHERNET + 40 + answer.gsoSize, 'of more than one');
      t.ok(answer.checksumOk);
      t.equal(
        answer.bytes.readUInt16BE(ETHERNET + 2),
        answer.bytes.length - ETHERNET,
        'the IP length covers the whole',
      );
      server.close();
      device.send(tcp(61_001, theirs, 0x04, none));
      device.close();
    });
  }
}

function senderOrder(t: Test): void {
  t.test('a sender keeps the order of small frames, which it writes, and large ones, which it does not', async (t) => {
    const device = TapDevice.open({ name: 'ftorder', sender: { lookUs: 20 } });
    t.teardown(() => device.close());
    configure(device.name);
    ip('link', 'set', 'ftorder', 'mtu', '65000');
    const { mac } = linkState(device.name);
    device.start(new Collector());
    const socket = await udpSocket();
    const to = socket.address().port;
    const ROUND = 10;
    const order: number[] = [];
    let full = (): void => undefined;
    socket.on('message', (message) => {
      order.push(message.readUInt32BE(0));
      if (order.length % ROUND === 0) full();
    });
    let number = 0;
    for (let round = 0; round < 50; round++) {
      const all = new Promise<void>((resolve) => {
        full = resolve;
      });
      for (let i = 0; i < ROUND; i++) {
        const payload = Buffer.alloc(i % 5 === 3 ? 20_000 : 10 + 100 * i, number & 255);
        payload.writeUInt32BE(number++, 0);
        const transport = udpHeader(9, to, payload.length);
        t.equal(
          device.send(build({ mac, protocol: 17, transport, payload, checksumAt: UDP_CSUM_OFFSET, offload: true })),
          true,
        );
      }
      await all;
    }
    t.same(
      order,
      Array.from({ length: number }, (_, i) => i),
    );
    t.equal(device.counters.txFrames, number);
    t.equal(device.counters.txErrors, 0);
    // What the kernel refuses is counted, though the frame had been taken.
    ip('link', 'set', 'ftorder', 'down');
    const payload = Buffer.from('nobody');
    const transport = udpHeader(9, to, payload.length);
    device.send(build({ mac, protocol: 17, transport, payload, checksumAt: UDP_CSUM_OFFSET, offload: true }));
    device.finishSending();
    t.equal(device.counters.txErrors, 1);
    device.close();
    t.same([...device.txErrorCodes], [['EIO', 1]]);
    socket.close();
  });
}

function leaseEnds(t: Test): void {
  t.test('what was sent does not leave when its lease is over', async (t) => {
    const device = TapDevice.open({ name: 'ftlease', sender: { lookUs: 0 } });
    t.teardown(() => device.close());
    configure(device.name);
    const { mac } = linkState(device.name);
    device.start(new Collector());
    const socket = await udpSocket();
    const words = new Int32Array(2);
    const speakFor = (ms: number): void => {
      words[1] = Math.floor(native().monotonicUs() / 1000 + ms) | 0;
    };
    device.obeyLease(words, 1, new Float64Array(1));
    const send = (text: string): void => {
      const payload = Buffer.from(text);
      const transport = udpHeader(9, socket.address().port, payload.length);
      device.send(build({ mac, protocol: 17, transport, payload, checksumAt: UDP_CSUM_OFFSET, offload: true }));
      device.finishSending();
    };
    const message = received(socket);
    speakFor(-1);
    send('too late');
    speakFor(60_000);
    send('in time');
    t.equal(await message, 'in time');
    t.same([...device.txErrorCodes], [['ESTALE', 1]]);
    device.close();
    socket.close();
  });
}

function tunPackets(t: Test): void {
  t.test('a TUN device carries IP packets', async (t) => {
    const device = TapDevice.open({ name: 'fttun', mode: 'tun' });
    t.teardown(() => device.close());
    t.equal(device.link, 'ip');
    configure(device.name, 'tun');
    const collector = new Collector();
    device.start(collector);
    const socket = await udpSocket();
    await sendUdp(socket, 'bare');
    const packet = await collector.next((frame) => frame.bytes[0] === 0x45 && frame.bytes[9] === 17);
    t.equal(packet.bytes.subarray(28).toString(), 'bare');
    const transport = udpHeader(9, socket.address().port, 4);
    const message = received(socket);
    device.send(
      build({ protocol: 17, transport, payload: Buffer.from('back'), checksumAt: UDP_CSUM_OFFSET, offload: true }),
    );
    t.equal(await message, 'back');
    socket.close();
    device.close();
  });
}

await inNamespace(import.meta.url, (t) => {
  framesCross(t);
  largeSegments(t);
  senderOrder(t);
  leaseEnds(t);
  tunPackets(t);
});
