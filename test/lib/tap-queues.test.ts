/** Queues of TAP devices that several processes have, and what goes wrong with devices. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { TapDevice, type TapOptions } from '../../lib/device/tap.js';
import type { FtError } from '../../lib/errors.js';

import {
  build,
  Collector,
  configure,
  ETHERNET,
  inNamespace,
  ip,
  isUdp,
  linkState,
  play,
  ROLES,
  received,
  refusal,
  sendUdp,
  udpHeader,
  udpSocket,
} from './support/tap-lab.js';

function detachedQueue(t: Test): void {
  t.test('a detached queue in another process keeps the carrier and takes over', async (t) => {
    const options: TapOptions = { name: 'ftmq', multiQueue: true };
    const primary = play('hold', options);
    t.equal(await primary.line(), 'ready');
    configure('ftmq');
    const backup = TapDevice.open({ ...options, detached: true });
    t.equal(backup.attached, false);
    const collector = new Collector();
    backup.start(collector);
    const before = linkState('ftmq');
    t.ok(before.up);
    const socket = await udpSocket();
    for (let i = 0; i < 20; i++) await sendUdp(socket, `${i}`);
    await sleep(20);
    primary.child.stdin!.write('?');
    t.equal(await primary.line(), '20', 'all frames went to the attached queue');
    t.equal(collector.frames.length, 0, 'and none to the detached one');

    primary.child.kill('SIGKILL');
    await once(primary.child, 'exit');
    t.same(linkState('ftmq'), before, 'carrier up, and not one change');
    backup.attach();
    backup.attach();
    await sendUdp(socket, 'after takeover');
    const frame = await collector.next(isUdp);
    t.equal(frame.bytes.subarray(ETHERNET + 28).toString(), 'after takeover');
    const message = received(socket);
    const transport = udpHeader(9, socket.address().port, 2);
    backup.send(
      build({ mac: before.mac, protocol: 17, transport, payload: Buffer.from('ok'), checksumAt: 6, offload: true }),
    );
    t.equal(await message, 'ok');

    backup.detach();
    backup.detach();
    t.ok(linkState('ftmq').up, 'a detached queue alone keeps the carrier');
    await sendUdp(socket, 'nobody listens');
    await sleep(20);
    t.equal(collector.frames.filter(isUdp).length, 0);
    backup.attach();
    await sendUdp(socket, 'again');
    await collector.next((frame) => frame.bytes.includes('again'));

    const extra = refusal({ name: 'ftmq' });
    t.match(extra, { code: 'EINVAL', hint: /multiQueue/ }, 'a single-queue open of a multi-queue device');
    socket.close();
    backup.close();
    t.throws(() => linkState('ftmq'), 'the interface went with its last queue');
  });
}

function deletedInterface(t: Test): void {
  t.test('an interface that is deleted says so', async (t) => {
    const failed = new Promise<FtError>((resolve) => {
      const device = TapDevice.open({
        name: 'ftgone',
        onError: (error) => {
          device.close();
          resolve(error);
        },
      });
      configure(device.name);
      device.start(new Collector());
    });
    ip('link', 'delete', 'ftgone');
    t.match(await failed, { code: 'EBADFD', message: /ftgone/ });
  });
}

function refusals(t: Test): void {
  t.test('refusals have stable codes and say what to do', async (t) => {
    const device = TapDevice.open({ name: 'ftsingle' });
    t.match(refusal({ name: 'ftsingle' }), { code: 'EBUSY', hint: /multiQueue/ });
    t.match(refusal({ name: 'ftsingle', mode: 'tun' }), { code: 'EINVAL', hint: /another kind/ });
    t.match(refusal({ name: 'lo' }), { code: 'EINVAL' }, 'not a TAP at all');
    t.match(refusal({ name: 'much too long a name' }), { code: 'EINVAL', hint: /15 bytes/ });
    t.match(refusal({ name: '' }), { code: 'EINVAL' });
    t.match(refusal({ name: 'ftx', detached: true }), { code: 'EINVAL', hint: /multiQueue/ });
    t.match(refusal({ name: 'ftx', slots: 0 }), { code: 'ERR_OUT_OF_RANGE' });
    try {
      device.detach();
      t.fail('a single queue cannot be detached');
    } catch (error) {
      t.match(error, { code: 'EINVAL', hint: /multiQueue/ });
    }
    device.close();
    t.equal(refusal({ name: 'ftsingle' }), undefined, 'closing frees it');

    const hidden = spawnSync(
      'unshare',
      [
        '-m',
        'sh',
        '-c',
        'mount -t tmpfs none /dev/net && exec "$0" "$@"',
        process.execPath,
        ROLES,
        'open',
        '{"name":"ftx"}',
      ],
      { encoding: 'utf8' },
    );
    t.match(hidden.stdout, /^ENOENT .*modprobe tun/, hidden.stderr);
    if (process.env['FT_TEST_NAMESPACE'] === 'root') {
      // Without the test runner's hooks, which would want to write into the checkout.
      const user = { uid: 65_534, gid: 65_534, env: {} };
      const denied = spawnSync(process.execPath, [ROLES, 'open', '{"name":"ftx"}'], { encoding: 'utf8', ...user });
      if (denied.stdout === '') t.comment('an unprivileged user cannot read this checkout, so this was not tried');
      else t.match(denied.stdout, /^(EACCES .*chmod 666|EPERM .*unshare -Urn)/, denied.stderr);
    }
    const capless = spawnSync('unshare', ['-Ur', process.execPath, ROLES, 'open', '{"name":"ftx"}'], {
      encoding: 'utf8',
    });
    if (capless.status === 0)
      t.match(capless.stdout, /^EPERM .*unshare -Urn/, 'in a user namespace without its network');
  });
}

function stoppedHolder(t: Test): void {
  t.test('a stopped holder of a single queue still fences', async (t) => {
    const holder = play('hold', { name: 'ftfence' });
    t.equal(await holder.line(), 'ready');
    holder.child.kill('SIGSTOP');
    t.equal(refusal({ name: 'ftfence' })?.code, 'EBUSY');
    holder.child.kill('SIGKILL');
    await once(holder.child, 'exit');
    t.equal(refusal({ name: 'ftfence' }), undefined);
  });
}

await inNamespace(import.meta.url, (t) => {
  detachedQueue(t);
  deletedInterface(t);
  refusals(t);
  stoppedHolder(t);
});
