/**
 * V8 compiles a function when it is called first. Most of what a takeover runs has never run on a
 * backup, so that the first frame of the successor would wait for the compiler: 10 ms of 15. A
 * backup therefore rehearses on two stacks of its own, between devices in memory: a connection is
 * opened, frozen, thawed, announced, and goes on.
 */
import { setFlagsFromString } from 'node:v8';
import { ManualClock } from '../../lib/clock.js';
import { MemoryLink } from '../../lib/device/emulation/memory.js';
import { SeededRandom } from '../../lib/random.js';
import type { StreamEndpoint } from '../../stack/core/endpoint.js';
import { Stack } from '../../stack/stack.js';
import { StackHost } from '../../stack/stack-host.js';
import { CommitGate, GatedDevice } from '../primary/output-gate.js';

const [SERVER, CLIENT] = ['10.0.0.1', '10.0.0.2'];
const PORT = 80;
const STEP_US = 1000;
const STEPS = 40;
/** Enough for functions that V8 optimizes by the number of calls to have their types. */
const ROUNDS = 3;

/** Both ends of one connection. */
class Rehearsal {
  readonly #clock = new ManualClock(STEP_US);
  readonly #random = new SeededRandom('warm-up');
  readonly #link = new MemoryLink({ clock: this.#clock, random: this.#random, offload: true });
  readonly #server = new Stack({ clock: this.#clock, random: this.#random });
  readonly #hosts: StackHost[];
  #echoed = 0;

  constructor() {
    const gate = new CommitGate('written');
    this.#server.gate = gate;
    const device = new GatedDevice(this.#link.a, gate, () => this.#clock.now());
    this.#server.addInterface(device, { addresses: [`${SERVER}/24`] });
    const client = new Stack({ clock: this.#clock, random: this.#random });
    client.addInterface(this.#link.b, { addresses: [`${CLIENT}/24`] });
    this.#hosts = [new StackHost(this.#server, null), new StackHost(client, null)];
  }

  /** @returns whether everything came back that was sent */
  play(): boolean {
    const [server, client] = this.#hosts;
    server.listen({ port: PORT }, { onConnection: (endpoint) => echo(endpoint) });
    const endpoint = client.connect({ address: SERVER, port: PORT });
    endpoint.events = {
      ...SILENT,
      onData: (bytes) => {
        this.#echoed += bytes.length;
      },
    };
    endpoint.setReading(true);
    this.#run();
    const words = Buffer.from('before, in and after a takeover');
    for (let round = 0; round < ROUNDS; round++) {
      endpoint.write(words);
      client.turn();
      this.#link.run();
      server.turn();
      // Its answer is on its way: it is sent again.
      this.#server.tcp.frozen = true;
      this.#server.thaw(0);
      this.#server.flush();
      for (const net of this.#server.interfaces) net.announce();
      this.#run();
    }
    endpoint.shutdown();
    this.#run();
    return this.#echoed === ROUNDS * words.length;
  }

  #run(): void {
    for (let step = 0; step < STEPS; step++) {
      this.#link.run();
      for (const host of this.#hosts) while (host.turn());
      this.#clock.advance(STEP_US);
    }
  }
}

const SILENT = {
  onConnect: (): void => undefined,
  onData: (): void => undefined,
  onEnd: (): void => undefined,
  onSpace: (): void => undefined,
  onClose: (): void => undefined,
};

function echo(endpoint: StreamEndpoint): void {
  endpoint.events = {
    ...SILENT,
    onData: (bytes) => endpoint.write(bytes),
    onEnd: () => endpoint.shutdown(),
  };
  endpoint.setReading(true);
}

/**
 * Compiles what a takeover runs, and keeps V8 from forgetting it. Takes some 50 ms, without any
 * effect outside of it.
 * @returns whether the rehearsal went as it should
 */
export function warmUp(): boolean {
  // Else V8 drops the code of functions that have not run for some garbage collections.
  setFlagsFromString('--no-flush-bytecode');
  return new Rehearsal().play();
}
