/**
 * A process in virtual time: it runs the real replica code on a simulated kernel with TAP queues,
 * shared memory, FIFOs, pidfds and locks. Each call into that kernel is numbered, and a process can
 * die just before any of them, as with SIGKILL. It dies in steps, as in reality: the thread of its
 * event loop first, then the one that sends. Its descriptors, locks and pidfd follow much later.
 */
import type { Environment } from '../../failover/host/environment.js';
import { type NativeAddon, native, type TapOpened, type TapRequest } from '../../lib/native/native.js';
import { SeededRandom } from '../../lib/random.js';
import { put } from './direct.js';
import type { Kernel } from './kernel.js';
import { type Descriptor, handle, type Queue, type Reader, remove, shared, type Watch } from './kernel-objects.js';
import { joined, Sender } from './sender.js';
import { UNUSED_CALLS } from './unused-calls.js';

/** Thrown out of a process that has died; nobody may catch it but the machine. */
export class Killed extends Error {
  constructor() {
    super('killed');
  }
}

const EAGAIN = 11;
/** As the addon says it. */
const MORE_AT_HAND = 0x10000;

/** Of a frame: much less than in reality, so that small programs meet both ways. */
const MIN_IN_PLACE_BYTES = 200;

/** From a death to the end of the process, with its descriptors, microseconds. */
const TEARDOWN_US = 40_000;

/** How often the hook is called before the loop looks at descriptors again. */
export const MAX_TURNS = 256;

export class Process {
  /** It runs no program any more. */
  dead = false;
  /** The kernel has torn it down. */
  ended = false;
  /** Stands still until then, as after SIGSTOP. */
  stoppedUntilUs = 0;
  /** Calls into the kernel so far, and the one before which it dies. */
  calls = 0;
  dieAt = Number.POSITIVE_INFINITY;
  onDeath: () => void = () => undefined;
  /** It is about to store a word that others see. */
  onStore: (words: Int32Array, index: number, value: number) => void = () => undefined;
  /** It gets this much to do at once, and then rests for this time. */
  turns = MAX_TURNS;
  restUs = 0;
  readonly environment: Environment;
  readonly #descriptors = new Map<number, Descriptor>();
  readonly #readers: Reader[] = [];
  readonly #watches: Watch[] = [];
  #hook: (() => boolean) | null = null;
  #kicked = false;
  #timerUs = Number.POSITIVE_INFINITY;
  /** What the kernel has been asked for, and when it will be done. */
  #underWay: { atUs: number; done: () => void }[] = [];
  #nextFd = 3;
  #sender: Sender | null = null;
  #endsUs = Number.POSITIVE_INFINITY;

  constructor(
    readonly machine: Kernel<Process>,
    readonly name: string,
    readonly pid: number,
  ) {
    this.environment = {
      native: this.#native(),
      clock: machine.clock,
      random: new SeededRandom(`${machine.seed} ${pid}`),
      pid,
      minInPlaceBytes: MIN_IN_PLACE_BYTES,
    };
  }

  /** Runs something as this process. @returns false when it died of it. */
  as(body: () => void): boolean {
    try {
      if (!this.dead) body();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
    }
    return !this.dead;
  }

  /** SIGKILL. */
  kill(): void {
    if (this.dead) return;
    this.dead = true;
    this.#sender?.kill(this.machine.clock.now());
    this.#endsUs = this.machine.clock.now() + TEARDOWN_US;
    this.#readers.length = 0;
    this.#watches.length = 0;
    this.#hook = null;
    this.onDeath();
  }

  /** The kernel tears a dead process down. */
  end(): void {
    if (this.ended) return;
    this.#sender?.finish();
    this.ended = true;
    for (const fd of [...this.#descriptors.keys()]) this.#close(fd);
  }

  /** What is left of a dead process goes on. @returns whether anything happened */
  #fade(): boolean {
    const now = this.machine.clock.now();
    if (this.ended) return false;
    const sent = this.#sender?.run(now) === true;
    if (now < this.#endsUs) return sent;
    this.end();
    return true;
  }

  get stopped(): boolean {
    return this.machine.clock.now() < this.stoppedUntilUs;
  }

  nextDeadline(): number {
    if (this.ended) return Number.POSITIVE_INFINITY;
    const sending = this.#sender?.nextDeadline() ?? Number.POSITIVE_INFINITY;
    if (this.dead) return Math.min(sending, this.#endsUs);
    return this.stopped
      ? this.stoppedUntilUs
      : this.#underWay.reduce((first, { atUs }) => Math.min(first, atUs), Math.min(sending, this.#timerUs));
  }

  /** The kernel tells the process after this time that something is done. */
  later(us: number, done: () => void): void {
    this.#underWay.push({ atUs: this.machine.clock.now() + us, done });
  }

  /** One round of the event loop. @returns whether there was anything to do. */
  iterate(): boolean {
    if (this.dead) return this.#fade();
    if (this.stopped) return false;
    const before = this.calls;
    const sent = this.#sender?.run(this.machine.clock.now()) === true;
    let due = this.#kicked || this.#timerUs <= this.machine.clock.now();
    this.as(() => {
      for (const watch of [...this.#watches]) {
        if (watch.told || !watch.ready()) continue;
        watch.told = watch.once;
        watch.drain();
        due = true;
        watch.fire();
      }
      for (const reader of [...this.#readers]) if (this.#read(reader)) due = true;
      for (const call of this.#underWay.filter(({ atUs }) => atUs <= this.machine.clock.now())) {
        this.call();
        this.#underWay.splice(this.#underWay.indexOf(call), 1);
        due = true;
        call.done();
      }
      if (!due || this.#hook === null) return;
      this.#kicked = false;
      if (this.#timerUs <= this.machine.clock.now()) this.#timerUs = Number.POSITIVE_INFINITY;
      for (let i = 0; this.#hook?.() === true; i++) {
        if (i < this.turns) continue;
        this.#kicked = true;
        break;
      }
      if (this.restUs > 0) this.stoppedUntilUs = Math.max(this.stoppedUntilUs, this.machine.clock.now() + this.restUs);
    });
    return sent || (due && (this.calls > before || this.dead));
  }

  #read(reader: Reader): boolean {
    const { queue, slab, slotSize, slots, meta } = reader;
    if (!reader.running || queue.frames.length === 0) return false;
    const { wanted } = reader;
    if (reader.lent || (wanted?.large && wanted.next[0] < 0)) reader.onBatch(0);
    if (wanted !== null) wanted.at = wanted.next[0];
    let count = 0;
    for (; count < Math.min(slots, this.machine.batch) && queue.frames.length > 0; count++) {
      const frame = queue.frames.shift()!;
      const [flags, sizes] = put(frame, slab, count * slotSize, wanted);
      meta.set([count * slotSize, frame.length, flags, sizes], count * 4);
      if (count + 1 < slots) meta[(count + 1) * 4 + 1] = 0;
    }
    // Here the frames are in the process's hands only.
    this.call();
    reader.lent = reader.onBatch(count | (queue.frames.length > 0 ? MORE_AT_HAND : 0));
    // Looked at: a recovery after the next call finds none of them, or all.
    return true;
  }

  /** A call into the kernel. */
  call(): void {
    if (this.dead) throw new Killed();
    if (this.calls++ < this.dieAt) return;
    this.kill();
    throw new Killed();
  }

  #open(descriptor: Descriptor): number {
    const fd = this.#nextFd++;
    this.#descriptors.set(fd, descriptor);
    const object = shared(descriptor);
    if (object !== undefined) object.owners++;
    return fd;
  }

  #close(fd: number): void {
    const object = shared(this.#descriptors.get(fd));
    this.#descriptors.delete(fd);
    if (object !== undefined) object.owners--;
  }

  #queue(fd: number): Queue {
    const descriptor = this.#descriptors.get(fd);
    if (descriptor === undefined || !('queue' in descriptor)) throw new Error(`${this.name}: ${fd} is no queue`);
    return descriptor.queue;
  }

  #target(fd: number): Process | undefined {
    const descriptor = this.#descriptors.get(fd);
    return descriptor !== undefined && 'pid' in descriptor ? this.machine.find(descriptor.pid) : undefined;
  }

  #watch(fd: number, drain: boolean, fire: () => void): Watch {
    const descriptor = this.#descriptors.get(fd);
    if (descriptor !== undefined && 'fifo' in descriptor) {
      const { fifo } = descriptor;
      const empty = (): void => {
        if (drain) fifo.bytes = 0;
      };
      return { ready: () => fifo.bytes > 0, drain: empty, fire, once: false, told: false };
    }
    const target = this.#target(fd);
    return { ready: () => target === undefined || target.ended, drain: () => undefined, fire, once: true, told: false };
  }

  #native(): NativeAddon {
    const real = native();
    const { clock } = this.machine;
    return {
      ...UNUSED_CALLS,
      ...this.#queueCalls(),
      ...this.#senderCalls(),
      ...this.#readerCalls(),
      ...this.#loopCalls(),
      ...this.#memoryCalls(),
      ...this.#processCalls(),
      crc32c: (bytes, offset, length, seed) => {
        if (this.dead) throw new Killed();
        return real.crc32c(bytes, offset, length, seed);
      },
      checksum: real.checksum,
      monotonicUs: () => clock.now(),
      boottimeUs: () => clock.now(),
      realtimeMs: () => clock.wall(),
    };
  }

  /** Device queues. */
  #queueCalls() {
    const call = (): void => this.call();
    const { machine } = this;
    return {
      tapOpen: (request: TapRequest): TapOpened => {
        call();
        const queue: Queue = { frames: [], attached: !request.detached, owners: 0 };
        machine.queues.push(queue);
        return { fd: this.#open({ queue }), name: request.name, vnetHdr: false, csum: false, tso4: false, tso6: false };
      },
      tapAttach: (fd) => {
        call();
        this.#queue(fd).attached = true;
      },
      tapDetach: (fd) => {
        call();
        const queue = this.#queue(fd);
        queue.attached = false;
        queue.frames.length = 0;
      },
      ifMtu: () => 1500,
      closeFd: (fd) => {
        call();
        this.#close(fd);
      },
      send: (...parts) => {
        call();
        if (this.#queue(parts[0]).owners === 0) return -EAGAIN;
        const frame = joined(...parts);
        machine.transmit(frame, this);
        return frame.length;
      },
    } satisfies Partial<NativeAddon>;
  }

  /** The thread that sends. */
  #senderCalls() {
    const call = (): void => this.call();
    const { machine } = this;
    return {
      senderOpen: () => {
        call();
        this.#sender = new Sender((frame) => machine.transmit(frame, this));
        return handle(this.#sender);
      },
      senderSend: (...parts) => {
        call();
        const frame = joined(...parts);
        this.#sender?.put(frame, machine.clock.now());
        return frame.length;
      },
      senderFinish: () => this.#sender?.finish(),
      senderClose: () => {
        this.#sender?.finish();
        this.#sender = null;
      },
    } satisfies Partial<NativeAddon>;
  }

  /** Reading from device queues. */
  #readerCalls() {
    const call = (): void => this.call();
    return {
      readerOpen: (...[fd, , slab, slotSize, meta, onBatch]) => {
        call();
        const reader: Reader = {
          queue: this.#queue(fd),
          slab: new Uint8Array(slab),
          slotSize,
          slots: meta.length / 4,
          meta,
          onBatch,
          lent: false,
          running: false,
          wanted: null,
        };
        this.#readers.push(reader);
        return handle(reader);
      },
      readerDirect: (reader, bytes, next, gap, least) => {
        (reader as unknown as Reader).wanted = { bytes, next, gap, least, at: -1, large: false };
      },
      readerRun: (reader, on) => {
        (reader as unknown as Reader).running = on;
      },
      readerClose: (reader) => {
        remove(this.#readers, reader);
      },
      readerArmWritable: () => undefined,
    } satisfies Partial<NativeAddon>;
  }

  /** The event loop. */
  #loopCalls() {
    const call = (): void => this.call();
    const { machine } = this;
    return {
      loopHook: (turn) => {
        this.#hook = turn;
        return handle(turn);
      },
      loopKick: () => {
        this.#kicked = true;
      },
      loopPending: () => false,
      loopTimer: (_hook, ms) => {
        if (this.dead) throw new Killed();
        this.#timerUs = ms < 0 ? Number.POSITIVE_INFINITY : machine.clock.now() + Math.ceil(ms * 1000);
        if (ms === 0) this.#kicked = true;
      },
      loopBusyPoll: () => undefined,
      loopBusyPolls: () => [0, 0],
      loopRef: () => undefined,
      loopClose: () => {
        this.#hook = null;
      },
      loopUncaught: (error) => {
        throw error;
      },
      watchOpen: (fd, drain, onReadable) => {
        call();
        const watch = this.#watch(fd, drain, onReadable);
        this.#watches.push(watch);
        return handle(watch);
      },
      watchRef: () => undefined,
      watchClose: (watch) => remove(this.#watches, watch),
    } satisfies Partial<NativeAddon>;
  }

  /** Shared memory, FIFOs and locks. */
  #memoryCalls() {
    const call = (): void => this.call();
    const { machine } = this;
    return {
      shmMap: (path, size) => {
        call();
        let buffer = machine.memory.get(path);
        if (buffer === undefined) {
          buffer = new ArrayBuffer(size);
          machine.memory.set(path, buffer);
        }
        return buffer;
      },
      storeRelease: (words, index, value) => {
        call();
        this.onStore(words, index, value);
        words[index] = value;
      },
      loadAcquire: (words, index) => {
        if (this.dead) throw new Killed();
        return words[index];
      },
      fifoOpen: (path) => {
        call();
        let fifo = machine.fifos.get(path);
        if (fifo === undefined) {
          fifo = { bytes: 0 };
          machine.fifos.set(path, fifo);
        }
        return this.#open({ fifo });
      },
      fifoRing: (fd) => {
        call();
        const descriptor = this.#descriptors.get(fd);
        if (descriptor !== undefined && 'fifo' in descriptor) descriptor.fifo.bytes++;
      },
      lockFile: (path) => {
        call();
        const lock = machine.locks.get(path) ?? { owners: 0 };
        machine.locks.set(path, lock);
        return lock.owners === 0 ? this.#open({ lock }) : -1;
      },
      lockAgain: (fd, path) => {
        call();
        const lock = shared(this.#descriptors.get(fd));
        return lock !== undefined && lock === machine.locks.get(path);
      },
    } satisfies Partial<NativeAddon>;
  }

  /** Other processes. */
  #processCalls() {
    const call = (): void => this.call();
    const { machine } = this;
    return {
      pidfdOpen: (pid) => {
        call();
        const target = machine.find(pid);
        if (target === undefined || target.ended) throw Object.assign(new Error('no such process'), { code: 'ESRCH' });
        return this.#open({ pid });
      },
      pidfdSignal: (fd) => {
        call();
        this.#target(fd)?.kill();
        return 0;
      },
      pidfdWait: (fd) => {
        call();
        const target = this.#target(fd);
        // The time that it takes is not counted.
        if (target?.dead === true) target.end();
        return target?.ended ?? true;
      },
      threadsCreate: (path) => {
        call();
        machine.threads.set(path, this);
        return handle({ process: this });
      },
      threadsOpen: (path, pid) => {
        call();
        const process = machine.threads.get(path);
        if (process?.pid !== pid) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
        return handle({ process });
      },
      threadsWatch: (threads, fire) => {
        call();
        const { process } = threads as unknown as { process: Process };
        this.#watches.push({ ready: () => process.dead, drain: () => undefined, fire, once: true, told: false });
      },
      threadsWait: (threads) => {
        call();
        const { process } = threads as unknown as { process: Process };
        if (process.dead) process.#sender?.finish();
        return process.dead;
      },
      threadsClose: call,
      pidfdGetfd: (fd, number) => {
        call();
        const target = this.#target(fd);
        const theirs = target === undefined ? undefined : target.#descriptors.get(number);
        if (target === undefined || target.dead || theirs === undefined || !machine.copies) return -3;
        return this.#open(theirs);
      },
      letCopy: call,
      dieWithParent: call,
      keepMemory: call,
    } satisfies Partial<NativeAddon>;
  }
}
