import t from 'tap';
import { VlanTrunk } from '../../lib/device/vlan.js';
import { SeededRandom } from '../../lib/random.js';
import { Stack } from '../../stack/stack.js';
import { StackHost } from '../../stack/stack-host.js';
import { listenUdp, Net } from './support/net.js';

t.test('two networks on one wire do not hear each other', async (t) => {
  const net = new Net('vlan');
  const link = net.link();
  const seen: number[] = [];
  const stacks = [link.a, link.b].map((device, at) => {
    const trunk = new VlanTrunk(device);
    const stack = new Stack({ clock: net.clock, random: new SeededRandom(at) });
    for (const vlan of [0, 10, 20]) {
      stack.addInterface(trunk.open(vlan), {
        name: `vlan${vlan}`,
        mac: `02:00:00:00:${at}0:${String(vlan).padStart(2, '0')}`,
        addresses: [`10.${vlan}.0.${at + 1}/24`, `fd${vlan === 0 ? '01' : vlan}::${at + 1}/64`],
      });
    }
    net.hosts.push(new StackHost(stack, null));
    if (at === 1) {
      t.throws(() => trunk.open(10), { code: 'EADDRINUSE' });
      t.throws(() => trunk.open(4095), { code: 'EINVAL' });
    }
    return stack;
  });
  const carry = link.carry.bind(link);
  link.carry = (from, frame, flags, gso): void => {
    if (from === link.a) seen.push(frame[12] === 0x81 ? ((frame[14] & 15) << 8) | frame[15] : 0);
    carry(from, frame, flags, gso);
  };
  const got: string[] = [];
  listenUdp(stacks[1], '::', 9, got);
  const client = listenUdp(stacks[0], '::', 8, []);
  for (const to of ['10.0.0.2', '10.10.0.2', '10.20.0.2', 'fd01::2', 'fd10::2', 'fd20::2']) {
    seen.length = 0;
    client.send(Buffer.from(to), stacks[0].book.parse(to)!, 9);
    net.pass(100_000);
    const vlan = to.includes('20') ? 20 : to.includes('10.10') || to.includes('fd10') ? 10 : 0;
    t.ok(seen.length >= 2 && seen.every((tag) => tag === vlan), `${to}: tags ${seen}`);
  }
  t.same(
    got.map((line) => line.split(' ')[2]),
    ['10.0.0.2', '10.10.0.2', '10.20.0.2', 'fd01::2', 'fd10::2', 'fd20::2'],
  );
});
