/** The turns of a replica's event loop: when an event ends, and what happens to one that throws. */
import t from 'tap';
import { Quarantine } from '../../failover/backup/quarantine.js';
import { EventLoop, type EventLoopHost, type Turn } from '../../failover/replica/event-loop.js';

/** An event loop whose turns do what a list says. */
function setUp(turns: (Turn | Error)[]) {
  const log: string[] = [];
  let turn: () => boolean = () => false;
  const host = {
    native: {
      loopHook: (fn: () => boolean) => {
        turn = fn;
        return {};
      },
      loopRef: () => undefined,
      loopBusyPoll: () => undefined,
      loopKick: () => log.push('kick'),
      loopPending: () => false,
      loopTimer: (_hook: object, ms: number) => log.push(`timer ${ms}`),
      loopBusyPolls: () => [3, 2],
      loopClose: () => log.push('close'),
      loopUncaught: (error: unknown) => log.push(`uncaught ${error}`),
    },
    runtime: { active: false, nativeOutputs: 0, endEvent: () => log.push('end') },
    quarantine: new Quarantine({
      abort: () => undefined,
      interrupted: () => undefined,
      limitMs: null,
      withinMemory: () => false,
    }),
    programLoaded: true,
    current: {
      turn: () => {
        const next = turns.shift() ?? 'idle';
        if (next instanceof Error) throw next;
        log.push(next);
        return next;
      },
    },
    eventEnded: () => log.push('recorded'),
    emit: (event: string, ...args: unknown[]) => log.push(`${event} ${args.map(String).join(' ')}`),
  };
  const loop = new EventLoop(host as unknown as EventLoopHost);
  loop.open(0);
  t.teardown(() => loop.close());
  return { host, log, loop, turn: () => turn() };
}

t.test('an event ends at the turn after it, when its ticks have drained', async (t) => {
  const { log, loop, turn } = setUp(['event', 'again', 'idle']);
  t.equal(turn(), true, 'ticks drain, and it is called again');
  t.ok(loop.inEvent);
  t.same(log, ['event']);
  t.equal(turn(), true);
  t.same(log.slice(1), ['end', 'recorded', 'again']);
  t.notOk(loop.inEvent);
  t.equal(turn(), false);
  t.same(log.slice(4), ['idle'], 'no event, nothing to end');
});

t.test('until the start is over, the program stays in its event', async (t) => {
  const { host, log, loop, turn } = setUp(['idle']);
  host.programLoaded = false;
  loop.inEvent = true;
  turn();
  t.same(log, ['recorded', 'idle'], 'what it wrote is recorded all the same');
  t.ok(loop.inEvent);
});

t.test('a turn that throws fails the replica, unless the program handles it', async (t) => {
  const { host, log, loop, turn } = setUp([new Error('broken'), new Error('handled')]);
  t.equal(turn(), false);
  t.same(log, ['failed Error: broken']);
  const handler = (): void => undefined;
  process.on('uncaughtException', handler);
  host.runtime.active = true;
  t.equal(turn(), true, 'its ticks drain');
  process.off('uncaughtException', handler);
  t.same(log.slice(1), ['uncaught Error: handled'], "it is the program's own");
  t.ok(loop.inEvent, 'what it left behind belongs to the event');
});

t.test('a loop that was halted or closed takes no turn', async (t) => {
  const { log, loop, turn } = setUp(['event']);
  loop.kick();
  loop.wakeAfter(7);
  t.same(log, ['kick', 'timer 7']);
  t.same(loop.busyPolls, { polls: 3, found: 2 });
  loop.halt();
  t.equal(turn(), false);
  loop.kick();
  t.same(log, ['kick', 'timer 7']);
});

t.test('no turn is taken in a start before the loop would wait', async (t) => {
  const { log, loop, turn } = setUp(['event']);
  let isLoading = true;
  loop.beginStart(
    () => isLoading,
    () => log.push('over'),
  );
  t.equal(turn(), false);
  t.same(log.splice(0), ['kick', 'timer 1'], 'a loader works');
  isLoading = false;
  t.equal(turn(), false, 'something of the start may still run');
  t.same(log, ['kick']);
  t.equal(turn(), true);
  t.same(log.slice(1), ['over', 'event']);
});

t.test('an event whose output leaves in native immediates lasts for one more pass', async (t) => {
  const { host, log, loop, turn } = setUp(['event', 'event']);
  host.runtime.nativeOutputs = 1;
  t.equal(turn(), true);
  t.equal(turn(), false, 'native immediates run');
  t.same(log, ['event', 'kick']);
  t.ok(loop.inEvent);
  t.equal(turn(), true);
  t.same(log.slice(2), ['end', 'recorded', 'event']);
  t.equal(turn(), false, 'the next one, too');
});
