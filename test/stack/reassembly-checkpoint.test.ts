/** Incomplete datagrams move to another stack: with their bytes, and with the time that is left. */
import t from 'tap';
import { IpPacket } from '../../stack/core/ip-packet.js';
import { Peer } from './support/peer.js';

/** Gives a stack 8 bytes of a datagram. @returns the whole payload when it is complete */
function fragment({ stack }: Peer, at: number, more: boolean, id: number): Uint8Array | null {
  const packet = new IpPacket(stack.interfaces[0]);
  const bytes = Uint8Array.from({ length: at + 8 }, (_, i) => i);
  packet.place(bytes, new DataView(bytes.buffer), false);
  const [src, dst] = [0x0a000001, 0x0a000002];
  Object.assign(packet, { src, dst, protocol: 17, fragmentOffset: at, payloadOffset: at, payloadLength: 8 });
  return stack.ipv4.fragments.add(packet, id, more);
}

/** A new stack at the same time, with the datagrams of the old one. */
function successor(old: Peer): Peer {
  const peer = new Peer();
  peer.clock.advance(old.clock.now() - peer.clock.now());
  const saved = structuredClone(old.stack.ipv4.fragments.save(old.stack.book));
  peer.stack.ipv4.fragments.load(saved, peer.stack.book, 0);
  return peer;
}

t.test('the rest of a datagram reaches the successor', async (t) => {
  const old = new Peer();
  t.equal(fragment(old, 0, true, 7), null);
  const peer = successor(old);
  t.equal(peer.stack.ipv4.fragments.size, 1);
  t.equal(peer.stack.ipv4.fragments.bytes, 8);
  t.same(
    fragment(peer, 8, false, 7),
    Uint8Array.from({ length: 16 }, (_, i) => i),
  );
  t.equal(peer.stack.ipv4.fragments.size, 0);
});

t.test('its time does not begin anew', async (t) => {
  const old = new Peer();
  const { timeoutUs } = old.stack.ipv4.fragments;
  fragment(old, 0, true, 7);
  old.pass(timeoutUs / 1000 - 1000);
  const peer = successor(old);
  peer.pass(900);
  t.equal(peer.stack.ipv4.fragments.size, 1);
  peer.pass(200);
  t.equal(peer.stack.ipv4.fragments.size, 0);
  t.equal(peer.stack.ipv4.fragments.counters.timeouts, 1);
});

t.test('an overlap stays an overlap', async (t) => {
  const old = new Peer();
  fragment(old, 16, false, 7);
  fragment(old, 24, true, 7);
  const peer = successor(old);
  t.equal(fragment(peer, 0, true, 7), null);
  t.equal(fragment(peer, 8, true, 7), null);
  t.equal(peer.stack.ipv4.fragments.bytes, 0);
});
