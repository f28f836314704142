/** The lease on clocks that stand still, and after gaps in the agent's work. */
import t from 'tap';
import type { AgentHost } from '../../failover/cluster/agent/host.js';
import { Lease } from '../../failover/cluster/agent/lease.js';
import type { Coordinator, GroupState } from '../../failover/cluster/coordinator/coordinator.js';
import { GroupClock } from '../../failover/log/group-clock.js';
import type { Ring } from '../../failover/log/ring.js';
import { Word } from '../../failover/log/ring-header.js';
import { LeaseCheck } from '../../failover/primary/lease-check.js';
import { bootTime, type Clock } from '../../lib/clock.js';
import { native } from '../../lib/native/native.js';
import { systemClock } from '../../lib/native/system.js';

const LEASE_US = 4_000_000;
const STEP_US = 10_000;

/** A machine with both clocks. */
class Machine {
  monoUs = 1_000_000;
  suspendedUs = 0;
  readonly clock: Clock = {
    now: () => this.monoUs,
    boot: () => this.monoUs + this.suspendedUs,
    wall: () => 0,
  };
  readonly words = new Int32Array(64);
  readonly ring = {
    words: this.words,
    offsets: Float64Array.of(7_000_000, 0),
    load: (word: number) => this.words[word],
    store: (word: number, value: number) => {
      this.words[word] = value;
    },
  } as unknown as Ring;
  readonly events: string[] = [];
  renewals = 0;
  /** Answers to renewals that have not been given. */
  readonly pending: (() => void)[] = [];
  isHeldBack = false;
  isOurs = true;
  readonly coordinator = {
    leaseUntilUs: 0,
    renewIntervalUs: LEASE_US / 4,
    renew: () => {
      this.renewals++;
      const fromUs = bootTime(this.clock);
      return new Promise<boolean>((done) => {
        const answer = (): void => {
          this.coordinator.leaseUntilUs = this.isOurs ? fromUs + LEASE_US : 0;
          done(this.isOurs);
        };
        if (this.isHeldBack) this.pending.push(answer);
        else answer();
      });
    },
    read: async () => ({ state: { epoch: 2, primary: 'b' } as GroupState, holder: 'b' }),
  };
  isLost = false;
  readonly lease: Lease;

  constructor() {
    const host = {
      clock: this.clock,
      coordinator: this.coordinator as unknown as Coordinator,
      report: (event: string) => void this.events.push(event),
    };
    this.lease = new Lease(host as unknown as AgentHost, 'a', { coordinatorErrors: 0 }, () => undefined);
    this.coordinator.leaseUntilUs = bootTime(this.clock) + LEASE_US;
    this.lease.acquired();
  }

  /** One step of the leader. */
  async step(us = STEP_US): Promise<void> {
    this.monoUs += us;
    this.lease.publish(this.ring, 1);
    this.lease.keep({
      epoch: 1,
      isLeading: () => true,
      onLost: () => {
        this.isLost = true;
      },
    });
    for (let i = 0; i < 5; i++) await Promise.resolve();
  }

  /** As the replica decides before each frame. */
  get maySend(): boolean {
    const clock = new GroupClock(this.clock, this.ring);
    return ((this.words[Word.leaseUntilMs] - Math.floor(bootTime(clock) / 1000)) | 0) > 0;
  }
}

t.test('a lease is renewed in time, and the replica may send all the time', async (t) => {
  const machine = new Machine();
  for (let i = 0; i < 1000; i++) {
    await machine.step();
    if (!machine.maySend) t.fail(`step ${i}`);
  }
  t.ok(machine.renewals >= 9 && machine.renewals <= 11, `${machine.renewals} renewals in ten seconds`);
  t.same(machine.events, []);
});

t.test('while the machine is suspended the lease runs on', async (t) => {
  const machine = new Machine();
  await machine.step();
  t.ok(machine.maySend);
  machine.suspendedUs += LEASE_US;
  t.notOk(machine.maySend, 'at once, before the agent has done anything');
  machine.isOurs = false;
  await machine.step();
  t.notOk(machine.maySend);
  t.same(machine.events, ['lease-lost']);
  for (let i = 0; i < 100; i++) await machine.step();
  t.ok(machine.isLost, 'another node has led');
});

t.test('after a gap the lease counts only when it has been renewed', async (t) => {
  const machine = new Machine();
  await machine.step();
  // Most of the gap is not seen by a clock that stood still with the machine.
  machine.isHeldBack = true;
  const before = machine.renewals;
  await machine.step(machine.coordinator.renewIntervalUs + STEP_US);
  t.notOk(machine.maySend, 'although the lease has not expired by our clock');
  t.equal(machine.renewals, before + 1, 'it is renewed at once');
  machine.pending.shift()?.();
  for (let i = 0; i < 5; i++) await Promise.resolve();
  await machine.step();
  t.ok(machine.maySend);
  t.same(machine.events, ['lease-lost', 'lease-acquired']);
});

t.test('a renewal that began before the gap proves nothing', async (t) => {
  const machine = new Machine();
  machine.isHeldBack = true;
  while (machine.renewals === 0) await machine.step();
  await machine.step(machine.coordinator.renewIntervalUs + STEP_US);
  t.notOk(machine.maySend);
  machine.isHeldBack = false;
  machine.pending.shift()?.();
  for (let i = 0; i < 5; i++) await Promise.resolve();
  machine.lease.publish(machine.ring, 1);
  t.notOk(machine.maySend);
  await machine.step();
  await machine.step();
  t.ok(machine.maySend, 'the next one does');
});

t.test('another host claims the address: nothing leaves before the lease is renewed', async (t) => {
  const machine = new Machine();
  machine.words[Word.addressClaims] = 5;
  const check = new LeaseCheck(machine.ring, new GroupClock(machine.clock, machine.ring));
  await machine.step();
  t.ok(check.maySend);
  machine.isHeldBack = true;
  check.addressClaimed();
  t.notOk(check.maySend, 'at once');
  const before = machine.renewals;
  await machine.step();
  t.equal(machine.renewals, before + 1, 'the lease is renewed at once');
  t.notOk(check.maySend);
  machine.pending.shift()?.();
  for (let i = 0; i < 5; i++) await Promise.resolve();
  await machine.step();
  t.ok(check.maySend);
  t.same(machine.events, ['address-claimed', 'lease-lost', 'lease-acquired']);
  check.addressClaimed();
  t.ok(check.maySend, 'one claim a second counts');
  machine.monoUs += 1_000_000;
  machine.isOurs = false;
  machine.isHeldBack = false;
  check.addressClaimed();
  for (let i = 0; i < 100; i++) {
    await machine.step();
    if (check.maySend) t.fail('another node leads');
  }
  t.ok(machine.isLost);
});

t.test('an agent of an older version does not answer claims', async (t) => {
  const machine = new Machine();
  const check = new LeaseCheck(machine.ring, new GroupClock(machine.clock, machine.ring));
  machine.words[Word.leaseUntilMs] = (machine.monoUs + 7_000_000 + LEASE_US) / 1000;
  check.addressClaimed();
  t.ok(check.maySend);
});

t.test('the kernel has such a clock', async (t) => {
  const [mono, boot] = [systemClock.now(), bootTime(systemClock)];
  t.ok(boot >= mono - 1000, 'it is ahead by the time of all suspensions');
  t.ok(native().boottimeUs() >= boot);
  t.equal(bootTime({ now: () => 5, wall: () => 0 }), 5, 'a clock without it is never suspended');
});
