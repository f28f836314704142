/** A machine in virtual time, with processes (process.ts) on a simulated kernel (kernel.ts). */
import { Kernel } from './kernel.js';
import { Process } from './process.js';

/** A machine. */
export class Machine extends Kernel<Process> {
  #nextPid = 100;

  spawn(name: string): Process {
    const process = new Process(this, name, this.#nextPid++);
    this.processes.push(process);
    return process;
  }

  /** Lets every process do what it can do now. @returns whether any did something. */
  run(): boolean {
    let busy = false;
    for (const process of this.processes) if (process.iterate()) busy = true;
    return busy;
  }

  nextDeadline(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.processes.map((process) => process.nextDeadline()));
  }
}
