/**
 * The native addon, typed. Everything that needs C is here and nowhere else; see lib/native/addon.c
 * for what each call does. The addon is optional for the parts of the package that run on in-memory
 * links: `native()` loads it on first use.
 */
import { createRequire } from 'node:module';
import { FtError } from '../errors.js';

/** How the kernel is asked for a TAP or TUN device. */
export interface TapRequest {
  /** Interface name, 1 to 15 bytes; `%d` lets the kernel choose a number. */
  name: string;
  mode: 'tap' | 'tun';
  multiQueue: boolean;
  /** Ask for IFF_VNET_HDR and CSUM/TSO4/TSO6; the result says which were granted. */
  offload: boolean;
  /** Multi-queue only: the queue is detached at once, before any frame can arrive. */
  detached: boolean;
}

/** What the kernel has granted. */
export interface TapOpened {
  fd: number;
  name: string;
  vnetHdr: boolean;
  csum: boolean;
  tso4: boolean;
  tso6: boolean;
  /** Without a vnet header: `sendSplit` does in software what such a device does not. */
  split?: boolean;
}

/** A frame in parts, and where it goes. */
export type FrameArguments<Where = number> = [
  where: Where,
  header: Uint8Array,
  offset: number,
  length: number,
  pieces: Uint8Array[],
  spans: Int32Array,
  count: number,
];

/** An opaque native object. */
export type NativeHandle = object & { readonly __native: never };

/** The functions of the native addon (lib/native/*.c). */
export interface NativeAddon {
  /**
   * Opens /dev/net/tun non-blocking and sets it up. Throws an Error with `code` (EPERM, EBUSY,
   * ENOENT, …) and `syscall`.
   */
  tapOpen(request: TapRequest): TapOpened;
  /** TUNSETQUEUE IFF_ATTACH_QUEUE / IFF_DETACH_QUEUE. Throws with `code`. */
  tapAttach(fd: number): void;
  tapDetach(fd: number): void;
  /** MTU of a network interface by name (SIOCGIFMTU). Throws with `code`. */
  ifMtu(name: string): number;
  /**
   * A network interface by name: its flags (IFF_*), its index, and its kind: `tap`, `tun`, or empty
   * for another one. Throws with `code` (ENODEV).
   */
  ifDescribe(name: string): { flags: number; index: number; kind: string };
  /**
   * All addresses of this network namespace, also of interfaces that are down: `NAME
   * ADDRESS/LENGTH`.
   */
  ifAddresses(): string[];
  closeFd(fd: number): void;

  /**
   * Watches a TAP/TUN fd with uv_poll. At each wakeup reads frames until EAGAIN, as many as `meta`
   * has room for or the budget (1 MiB a wakeup), one behind the other into `slab` (`frameBytes` >=
   * 65563: room that a frame may need), fills `meta` (4 words a frame: offset of the frame behind
   * its vnet header, length, flags (1: checksum need not be verified), gsoSize), and calls
   * `onBatch(count)` once; plus 0x10000 when the batch ended for want of room, and not because the
   * device is dry. A length of 0 follows the last frame, also while the batch is being filled.
   * Repeats while the fd is readable, at most 4 batches a wakeup. `onBatch(-errno)` on a dead
   * descriptor, after which reading has stopped. When `onBatch` returned true, the frames are
   * borrowed: `onBatch(0)` is called before their memory is used again.
   */
  readerOpen(
    fd: number,
    vnetHdr: boolean,
    slab: ArrayBuffer,
    frameBytes: number,
    meta: Int32Array,
    onBatch: (count: number) => boolean,
  ): NativeHandle;
  /**
   * From now on the payload of TCP segments is read to `bytes[next[0]]`, a multiple of 8, unless it
   * is -1, which may change at any time but during the reading; those of one batch behind each
   * other, each at the next multiple of 8 behind `gap` bytes, as long as there is room for
   * `frameBytes` before next[1]. Such a frame has the flag 2 with where its payload is in the other
   * bits, and the length of its headers << 16 beside gsoSize. Others are whole, as are those whose
   * headers are not as long as the last ones'; one with data ends the batch. When there were frames
   * of `least` (> 114) bytes or more, and `next` says nowhere, `onBatch(0)` asks for it. No effect
   * without vnetHdr.
   */
  readerDirect(
    reader: NativeHandle,
    bytes: Uint8Array,
    next: Int32Array,
    gap: number,
    least: number,
    ethernet: boolean,
  ): void;
  /** Starts or stops polling for frames. Initially stopped. */
  readerRun(reader: NativeHandle, on: boolean): void;
  /** Stops polling; with closeFd also closes the descriptor. */
  readerClose(reader: NativeHandle, closeFd: boolean): void;
  /** Calls `onWritable` once when the fd can be written again. */
  readerArmWritable(reader: NativeHandle, onWritable: () => void): void;
  /**
   * writev of header bytes [offset, offset+length) and `pieces[i]` [spans[2i], +spans[2i+1]) for i
   * < count, as one frame. Returns the bytes written, or -errno (-EAGAIN: nothing was written).
   */
  send(...frame: FrameArguments): number;

  /**
   * The same for a device without offload: `csumStart` and what follows as in TxFrame, to be done
   * here. A super-segment leaves as several frames; where the device takes only some of them, the
   * rest is lost. Returns the bytes taken, headers once, or -errno.
   */
  sendSplit(
    ...frame: [
      ...FrameArguments,
      csumStart: number,
      csumOffset: number,
      gsoVersion: number,
      gsoSize: number,
      ethernet: boolean,
    ]
  ): number;

  /**
   * A thread that hands frames to a device, which has to outlive it: small ones are copied into a
   * ring of 1 MiB that it empties, in their order with the large ones, which the caller writes. It
   * starts with the first frame, and polls for `busyPollUs` before it sleeps. `stats` (3 words at
   * least) is written by it: frames refused, the errno of the last, frames that the lease was over
   * for. It takes a place in `threads`, this process's own. Before `startMs` have passed the caller
   * writes all frames.
   */
  senderOpen(
    fd: number,
    busyPollUs: number,
    stats: Int32Array,
    threads: NativeHandle | null,
    startMs: number,
  ): NativeHandle;
  /**
   * As `send`, with the sender in place of the descriptor: the bytes of the frame, or -errno where
   * it could not be taken.
   */
  senderSend(...frame: FrameArguments<NativeHandle>): number;
  /**
   * Nothing leaves any more once `words[index]`, milliseconds modulo 2^32 of a clock that is
   * CLOCK_BOOTTIME and `offset[0]` microseconds, is over: what was sent before is thrown away and
   * counted. Both may be in shared memory.
   */
  senderLease(sender: NativeHandle, words: Int32Array, index: number, offset: Float64Array): void;
  /** Returns when all frames have left, or the device takes no more. */
  senderFinish(sender: NativeHandle): void;
  /** The same, and ends the thread. */
  senderClose(sender: NativeHandle): void;

  /**
   * A hook on the event loop. Before each time the loop would block (uv_prepare), `turn()` is
   * called through napi_make_callback (so ticks and microtasks drain after every call) until it
   * returns false or was called `max` times in a row; in the latter case the loop does not block
   * and the hook continues in the next iteration.
   */
  loopHook(turn: () => boolean, max: number): NativeHandle;
  /** The loop comes round without blocking once. */
  loopKick(hook: NativeHandle): void;
  /**
   * Whether anything but the hook itself keeps this pass of the loop from waiting: an immediate, a
   * timer that is due, a handle that closes.
   */
  loopPending(hook: NativeHandle): boolean;
  /** The loop wakes up after `ms` (>= 0, fractions are rounded up; < 0 disarms) at the latest. */
  loopTimer(hook: NativeHandle, ms: number): void;
  /**
   * How long the loop polls for events before it sleeps, microseconds up to 10,000 (initially 0:
   * not at all). It polls again after each poll that found something. After polls in vain it sleeps
   * at once 1, 3, 7 … 63 times before the next poll; also when it has worked for longer than
   * `workedUs` since it slept.
   */
  loopBusyPoll(hook: NativeHandle, us: number, workedUs: number): void;
  /** How often the loop has polled, and how often it found something. */
  loopBusyPolls(hook: NativeHandle): [polls: number, found: number];
  /** Whether the hook and its timer keep the process alive (initially not). */
  loopRef(hook: NativeHandle, on: boolean): void;
  loopClose(hook: NativeHandle): void;
  /**
   * An exception of a turn that nothing caught: the process's handlers get it, or it ends the
   * process. Node forgets the asynchronous contexts that it left entered. A turn that throws it
   * instead is checked for them first, and the process aborts.
   */
  loopUncaught(error: unknown): void;
  /**
   * Calls a function and interrupts it before it exhausts V8's heap or `growthBytes` of memory (0:
   * half of what is available). No `finally` block of an interrupted function runs.
   * @returns whether it was interrupted
   */
  callWithinMemory(fn: () => void, growthBytes: number): boolean;

  /**
   * Watches any fd: calls back when readable. With `drain`, pending bytes are read and thrown away
   * first (for FIFO doorbells). Used for pidfds (readable = process gone) and doorbells. Keeps the
   * process alive unless `unref`.
   */
  watchOpen(fd: number, drain: boolean, onReadable: () => void): NativeHandle;
  watchRef(watch: NativeHandle, on: boolean): void;
  /** Stops; with closeFd also closes the descriptor. */
  watchClose(watch: NativeHandle, closeFd: boolean): void;

  /**
   * Maps a file shared (created 0600 and sized if `create`); the ArrayBuffer is the mapping itself,
   * and no part of a core dump. Throws with `code`, EPERM for a file of another user. Neither this
   * call nor the two below follow a symbolic link.
   */
  shmMap(path: string, size: number, create: boolean): ArrayBuffer;
  /**
   * Makes all stores before it visible to other processes before the store itself: 32-bit
   * store-release.
   */
  storeRelease(words: Int32Array, index: number, value: number): void;
  loadAcquire(words: Int32Array, index: number): number;
  /**
   * Creates (if missing, 0600) and opens a FIFO read-write and non-blocking, so that it never ends
   * and never blocks.
   */
  fifoOpen(path: string): number;
  /** Writes one byte; a full FIFO is fine. */
  fifoRing(fd: number): void;
  /**
   * Opens (creating 0600) and flock(LOCK_EX | LOCK_NB)s a file. Returns the fd, or -1 if another
   * process holds it. Throws with `code`.
   */
  lockFile(path: string): number;
  /**
   * Whether a copied descriptor holds the lock of the file at `path`: flock(LOCK_EX | LOCK_NB),
   * which succeeds at once for the open file that has the lock. False for another file.
   */
  lockAgain(fd: number, path: string): boolean;
  /**
   * Takes a name of the network namespace (an abstract Unix socket). Returns the fd, or -1 if
   * another process has it. Throws with `code`.
   */
  lockName(name: string): number;

  /** pidfd_open. Throws with `code` (ESRCH: no such process). */
  pidfdOpen(pid: number): number;
  /** pidfd_send_signal. Returns 0 or -errno. */
  pidfdSignal(pidfd: number, signal: number): number;
  /**
   * Waits up to timeoutMs for the process behind the pidfd to end (poll, blocking the caller). True
   * if it has ended.
   */
  pidfdWait(pidfd: number, timeoutMs: number): boolean;
  /**
   * Makes a page in shared memory (0600; replaces a file that is there) in which threads of this
   * process hold robust mutexes (lib/native/threads.h). The caller's thread holds the first one
   * until its end. The page stays mapped. Throws with `code`: ENOTSUP where the C library or the
   * kernel has none, ENOSPC.
   */
  threadsCreate(path: string): NativeHandle;
  /**
   * Maps that page of another process. Throws with `code`: ENOENT, ESRCH when the page is not that
   * of the process with this number, start time and PID namespace, EPERM for another user's.
   */
  threadsOpen(path: string, pid: number): NativeHandle;
  /**
   * Calls back once when the thread that made the page has ended, up to its memory and descriptors.
   * A thread waits for that. Keeps no process alive. Once for each page.
   */
  threadsWatch(threads: NativeHandle, onEnd: () => void): void;
  /**
   * Waits up to timeoutMs, blocking the caller, until no thread of a killed process runs in user
   * mode or is in a system call: all mutexes are marked, and all threads are exiting by /proc. True
   * also when its pidfd (-1: none) is readable. False: not in time, or /proc cannot be read.
   */
  threadsWait(threads: NativeHandle, pidfd: number, timeoutMs: number): boolean;
  /** Unmaps another process's page. */
  threadsClose(threads: NativeHandle): void;
  /**
   * pidfd_getfd: a copy of that process's descriptor, or -errno (-EPERM: not ours to copy; -ENOSYS:
   * before Linux 5.6).
   */
  pidfdGetfd(pidfd: number, fd: number): number;
  /**
   * prctl(PR_SET_PTRACER): lets that process copy our descriptors where Yama restricts it. 0 takes
   * it back.
   */
  letCopy(pid: number): void;
  /**
   * SO_PEERCRED: the effective user of the process that connected the Unix socket behind `fd`.
   * Throws with `code`.
   */
  peerUid(fd: number): number;
  /**
   * Sends one datagram to a Unix socket, and does not wait: a path, or `@NAME` of the network
   * namespace. Throws with `code`.
   */
  notify(path: string, text: string): void;
  /** prctl(PR_SET_PDEATHSIG, SIGKILL): this process dies with its parent. */
  dieWithParent(): void;
  /**
   * glibc keeps up to `keptBytes` of freed memory, and maps blocks from `mappedBytes` on by
   * themselves (mallopt). No effect elsewhere.
   */
  keepMemory(keptBytes: number, mappedBytes: number): void;

  /** CRC-32C (Castagnoli), hardware where there is one; `seed` is 0 or an earlier result. */
  crc32c(bytes: Uint8Array, offset: number, length: number, seed: number): number;
  /**
   * For tests: the same from seed 0 by tables (0), one lane (1), three lanes (2), wide words (3);
   * -1 where the machine cannot.
   */
  crc32cBy(way: number, bytes: Uint8Array): number;
  /**
   * Sum of 16-bit big-endian words, folded to 16 bits, not complemented (RFC 1071); `seed` is a
   * partial sum < 2^32.
   */
  checksum(bytes: Uint8Array, offset: number, length: number, seed: number): number;

  /** CLOCK_MONOTONIC in microseconds. */
  monotonicUs(): number;
  /** CLOCK_BOOTTIME in microseconds: it runs on while the machine is suspended. */
  boottimeUs(): number;
  /** CLOCK_REALTIME in milliseconds. */
  realtimeMs(): number;

  /**
   * Puts our generator under OpenSSL (RAND_set_rand_method) for the main thread: while state[0] is
   * not 0, every draw comes from ChaCha20(key, nonce = state[1..2], block counter counted in
   * state[3]); otherwise, and on other threads, from OpenSSL's own. state: Uint32Array(4) =
   * [enabled, nonceLo, nonceHi, bytes drawn since the caller last set it to 0]. Throws with `code`.
   */
  randInstall(key: Uint8Array, state: Uint32Array): void;
}

let loaded: NativeAddon | undefined;

type Memory = Pick<NativeAddon, 'storeRelease' | 'loadAcquire'>;

/**
 * Atomics do what a call into the addon would, in a tenth of the time. Theirs is the stronger
 * order: sequentially consistent.
 */
const memory: Memory = {
  storeRelease: (words, index, value) => void Atomics.store(words, index, value),
  loadAcquire: (words, index) => Atomics.load(words, index),
};

/** The addon. Throws FtError `ERR_FT_NATIVE` when it has not been built. */
export function native(): NativeAddon {
  if (loaded === undefined) {
    try {
      // dist/lib/native/native.js -> build/Release/fttcp.node
      const addon = createRequire(import.meta.url)('../../../build/Release/fttcp.node') as Omit<
        NativeAddon,
        keyof Memory
      >;
      loaded = Object.assign(addon, memory);
    } catch (error) {
      throw new FtError(
        'ERR_FT_NATIVE',
        `The native addon cannot be loaded (${error instanceof Error ? error.message : String(error)})`,
        'Install a C compiler, make and python3 (Debian: apt-get install build-essential python3), then run: npm rebuild',
      );
    }
  }
  return loaded;
}
