/**
 * Types of what ft-tcp adds to Node for the programs that it runs: `import 'ft-tcp/program'`.
 * Without ft-tcp all of it is absent, hence the question marks.
 */
declare module 'net' {
  interface ListenOptions {
    /**
     * `replay`: a backup replays the connections' events; `state`: a program is given the
     * connections after a takeover (docs/guides/state-mode.md).
     */
    replication?: 'replay' | 'state';
    /**
     * No connection depends on another one: a backup that joins late replays each by itself
     * (docs/guides/choosing-a-mode.md).
     */
    independent?: boolean;
  }
  interface Socket {
    /**
     * Saves what the program has to know of the connection to restore it: any value that
     * `structuredClone` takes, 64 KiB at most.
     */
    checkpoint?(context: unknown): void;
  }
}

declare module 'http' {
  interface IncomingMessage {
    /**
     * The request opened a WebSocket of an earlier program, which the program is given now: the
     * client has its answer already (docs/guides/state-mode.md).
     */
    restored?: boolean;
  }
}

declare global {
  namespace NodeJS {
    interface Process {
      /**
       * Saves a value that belongs to no connection, 64 KiB at most. It is restored with
       * `process.on('restore', (saved) => saved(name))`.
       */
      checkpoint?(name: string, value: unknown): void;
      /**
       * The program stands by: it has no connections, and another one serves. False from the
       * takeover on (docs/guides/state-mode.md).
       */
      readonly standby?: boolean;
      /** As `on` with this event. */
      once(event: 'takeover', listener: () => void): this;
      /** A program that stood by serves now: after `restore`, before it gets any connection. */
      on(event: 'takeover', listener: () => void): this;
      /**
       * Restores a connection that an earlier program had opened, with its context
       * (docs/guides/state-mode.md).
       */
      on(event: 'restoreSocket', listener: (socket: import('node:net').Socket, context: unknown) => void): this;
    }
  }
}

export {};
