/**
 * What ft-tcp adds to Node for the programs that it runs, for TypeScript: `import 'ft-tcp/program'`. All of it is absent where a program
 * runs without ft-tcp, hence the question marks.
 */
declare module 'net' {
  interface ListenOptions {
    /** How a backup follows the connections: it repeats what happens to them, or is given them at a takeover (docs/guides/state-mode.md). */
    replication?: 'replay' | 'state';
    /** What is said on a connection depends on no other one: a backup that joins late repeats each by itself (docs/guides/choosing-a-mode.md). */
    independent?: boolean;
  }
  interface Socket {
    /** Saves what the program has to know of the connection when it gets it back; any value that `structuredClone` takes, 64 KiB at most. */
    checkpoint?(context: unknown): void;
  }
}

declare global {
  namespace NodeJS {
    interface Process {
      /** Saves a value that belongs to no connection; it comes back with `process.on('restore', (saved) => saved(name))`. 64 KiB at most. */
      checkpoint?(name: string, value: unknown): void;
      /** A connection that an earlier program had opened, with what that one saved of it (docs/guides/state-mode.md). */
      on(event: 'restoreSocket', listener: (socket: import('node:net').Socket, context: unknown) => void): this;
    }
  }
}

export {};
