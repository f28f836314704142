/**
 * What a backup of the control server's stack has: the state as of the last moment before anything
 * left. It is plain data, cloned, so nothing of the primary's memory is in it.
 */
import {
  type ConnectionCheckpoint,
  checkpoint,
  checkpointTcp,
  checkpointTimeWait,
  restore,
  restoreTcp,
  type Stack,
  type TcpCheckpoint,
  type TcpConnection,
  type TimeWaitCheckpoint,
} from '../../stack/index.js';

export class Backup {
  #connections: ConnectionCheckpoint[] = [];
  #timeWaits: TimeWaitCheckpoint[] = [];
  #tcp: TcpCheckpoint | null = null;
  #fragments: ReturnType<Stack['ipv4']['fragments']['save']>[] = [];
  #paths: { address: string; mtu: number }[] = [];

  /** Called before the stack's packets are given out. */
  commit(stack: Stack): void {
    const connections: ConnectionCheckpoint[] = [];
    stack.tcp.table.forEach((conn) => {
      connections.push(checkpoint(conn));
    });
    this.#connections = structuredClone(connections);
    this.#fragments = structuredClone([stack.ipv4.fragments.save(stack.book), stack.ipv6.fragments.save(stack.book)]);
    this.#tcp = structuredClone(checkpointTcp(stack.tcp));
    this.#timeWaits = [...stack.tcp.timeWaits.values()].map((entry) => checkpointTimeWait(stack.tcp, entry));
    this.#paths = stack.paths.entries().map(({ address, mtu }) => ({ address: stack.book.format(address), mtu }));
  }

  /** Rebuilds everything in another stack. @returns the connections by number. */
  takeOver(stack: Stack): Map<number, TcpConnection> {
    const made = new Map<number, TcpConnection>();
    for (const { address, mtu } of this.#paths) stack.paths.learn(stack.book.parse(address)!, mtu, stack.now());
    const [four = [], six = []] = this.#fragments;
    stack.ipv4.fragments.load(four, stack.book, 0);
    stack.ipv6.fragments.load(six, stack.book, 0);
    if (this.#tcp !== null) restoreTcp(stack.tcp, this.#tcp);
    for (const saved of this.#connections) made.set(saved.id, restore(stack.tcp, saved));
    for (const saved of this.#timeWaits) stack.tcp.addTimeWait(saved);
    return made;
  }
}
