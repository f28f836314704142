/**
 * The lab's clients: the kernel's TCP, ordinary sockets, and what they must see whatever happens to
 * the servers.
 */
import { createHash } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { performance } from 'node:perf_hooks';
import { WebSocket } from 'ws';
import { CHUNK, chunk, contentSha256 } from '../../failover/demo/content.js';
import { CLIENT_ADDRESS, STACK_ADDRESS } from '../../failover/lab/network.js';

/** Notes when something came from the server. */
export class Pulse {
  longestMs = 0;
  #lastMs = performance.now();

  beat(): void {
    const now = performance.now();
    this.longestMs = Math.max(this.longestMs, now - this.#lastMs);
    this.#lastMs = now;
  }

  /** What comes next is not waited for yet. */
  rest(): void {
    this.#lastMs = performance.now();
  }
}

export interface Running {
  pulse: Pulse;
  /** Resolves when all is as it must be; rejects with what is not. */
  done: Promise<void>;
  /** For clients that go on until they are told to stop. */
  stop(): void;
}

export interface LabScenario {
  name: string;
  /** Hundreds of megabytes. */
  bulk?: boolean;
  start(): Running;
}

const DOWNLOAD = 250_000_000;
const UPLOAD = 120_000_000;

const digests = new Map<number, string>();
function expected(bytes: number): string {
  let known = digests.get(bytes);
  if (known === undefined) {
    known = contentSha256(bytes);
    digests.set(bytes, known);
  }
  return known;
}

export function download(): Running {
  const pulse = new Pulse();
  const done = new Promise<void>((resolve, reject) => {
    const wanted = expected(DOWNLOAD);
    const hash = createHash('sha256');
    let bytes = 0;
    const request = http.get(
      { host: STACK_ADDRESS, port: 8080, path: `/bytes/${DOWNLOAD}`, agent: false },
      (response) => {
        response.on('data', (part: Buffer) => {
          pulse.beat();
          bytes += part.length;
          hash.update(part);
        });
        response.on('error', reject);
        response.on('end', () => {
          if (bytes === DOWNLOAD && hash.digest('hex') === wanted) resolve();
          else reject(new Error(`${bytes} bytes, or others than were sent`));
        });
      },
    );
    request.on('error', reject);
  });
  return { pulse, done, stop: () => undefined };
}

function upload(): Running {
  const pulse = new Pulse();
  const done = new Promise<void>((resolve, reject) => {
    const wanted = expected(UPLOAD);
    const request = http.request(
      {
        host: STACK_ADDRESS,
        port: 8080,
        path: '/upload',
        method: 'PUT',
        agent: false,
        headers: { 'content-length': UPLOAD },
      },
      (response) => {
        let text = '';
        response.on('data', (part: Buffer) => {
          text += part;
        });
        response.on('error', reject);
        response.on('end', () => (text.trim() === wanted ? resolve() : reject(new Error(`the answer is ${text}`))));
      },
    );
    request.on('error', reject);
    let n = 0;
    let left = UPLOAD;
    const send = (): void => {
      for (;;) {
        if (left === 0) {
          request.end();
          return;
        }
        const length = Math.min(left, CHUNK);
        left -= length;
        pulse.beat();
        if (!request.write(chunk(n++, length))) {
          request.once('drain', send);
          return;
        }
      }
    };
    send();
  });
  return { pulse, done, stop: () => undefined };
}

/** Numbered lines that come back; `window` of them on their way, and a pause in between. */
export function echoes(count: number, window: number, pauseMs: number): Running {
  const pulses: Pulse[] = [];
  let stopping = false;
  const one = (n: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const pulse = new Pulse();
      pulses.push(pulse);
      const socket = net.connect({ host: STACK_ADDRESS, port: 8 });
      socket.setNoDelay(true);
      let sent = 0;
      let back = 0;
      let rest = '';
      const send = (): void => {
        socket.write(`${n}.${sent++}\n`);
      };
      socket.on('connect', () => {
        pulse.rest();
        for (let i = 0; i < window; i++) send();
      });
      socket.on('data', (part) => {
        pulse.beat();
        const lines = (rest + part).split('\n');
        rest = lines.pop()!;
        for (const line of lines) {
          if (line !== `${n}.${back++}`) {
            socket.destroy();
            reject(new Error(`"${line}" instead of ${n}.${back - 1}`));
            return;
          }
          if (!stopping) {
            if (pauseMs === 0) send();
            else
              setTimeout(() => {
                pulse.rest();
                send();
              }, pauseMs);
          } else if (back === sent) socket.end();
        }
      });
      socket.on('error', reject);
      socket.on('close', () =>
        stopping && back === sent ? resolve() : reject(new Error(`closed at ${back} of ${sent}`)),
      );
    });
  const all = Promise.all(Array.from({ length: count }, (_, n) => one(n)));
  const pulse = new Pulse();
  const done = all.then(() => {
    for (const { longestMs } of pulses) pulse.longestMs = Math.max(pulse.longestMs, longestMs);
  });
  return {
    pulse,
    done,
    stop: () => {
      stopping = true;
    },
  };
}

/** Pages over one connection, one after the other. */
function keepAlive(): Running {
  const pulse = new Pulse();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const ports = new Set<number>();
  let stopping = false;
  const page = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const request = http.get({ host: STACK_ADDRESS, port: 8080, path: '/page', agent }, (response) => {
        let bytes = 0;
        ports.add(response.socket.localPort!);
        response.on('data', (part: Buffer) => {
          bytes += part.length;
        });
        response.on('error', reject);
        response.on('end', () => {
          pulse.beat();
          if (bytes === 10_240) resolve();
          else reject(new Error(`a page of ${bytes} bytes`));
        });
      });
      request.on('error', reject);
    });
  const run = async (): Promise<void> => {
    pulse.rest();
    while (!stopping) await page();
    agent.destroy();
    if (ports.size !== 1) throw new Error(`${ports.size} connections instead of one`);
  };
  return {
    pulse,
    done: run(),
    stop: () => {
      stopping = true;
    },
  };
}

function webSocket(): Running {
  const pulse = new Pulse();
  let stopping = false;
  const done = new Promise<void>((resolve, reject) => {
    const socket = new WebSocket(`ws://${STACK_ADDRESS}:8080/echo`, { perMessageDeflate: false });
    let sent = 0;
    let back = 0;
    const send = (): void => {
      const message = Buffer.from(chunk(sent, 900));
      message.writeUInt32LE(sent++, 0);
      socket.send(message);
    };
    socket.on('open', () => {
      pulse.rest();
      for (let i = 0; i < 8; i++) send();
    });
    socket.on('message', (data: Buffer) => {
      pulse.beat();
      if (data.length !== 900 || data.readUInt32LE(0) !== back) reject(new Error(`message ${back} came back changed`));
      back++;
      if (!stopping) send();
      else if (back === sent) socket.close(1000);
    });
    socket.on('error', reject);
    socket.on('close', (code) =>
      code === 1000 && back === sent ? resolve() : reject(new Error(`closed with ${code}`)),
    );
  });
  return {
    pulse,
    done,
    stop: () => {
      stopping = true;
    },
  };
}

/** Says its part and FIN; the answer comes 300 ms later, when the program's timer fires. */
function halfClose(): Running {
  const pulse = new Pulse();
  const done = new Promise<void>((resolve, reject) => {
    const socket = net.connect({ host: STACK_ADDRESS, port: 7, allowHalfOpen: true });
    const text = 'a client that closes first '.repeat(400);
    let got = '';
    socket.end(text);
    socket.on('data', (part) => {
      got += part;
    });
    socket.on('end', () => (got === text.toUpperCase() ? resolve() : reject(new Error(`${got.length} characters`))));
    socket.on('error', reject);
    // The program itself takes its time.
    setTimeout(() => pulse.rest(), 300);
    socket.on('end', () => pulse.beat());
  });
  return { pulse, done, stop: () => undefined };
}

/** The server fetches something from us over a connection that it opens. */
function outgoing(): Running {
  const pulse = new Pulse();
  const total = 60_000_000;
  const wanted = expected(total);
  const done = new Promise<void>((resolve, reject) => {
    const server = net.createServer((socket) => {
      let n = 0;
      let left = total;
      const send = (): void => {
        for (;;) {
          if (left === 0) {
            socket.end();
            return;
          }
          const length = Math.min(left, CHUNK);
          left -= length;
          pulse.beat();
          if (!socket.write(chunk(n++, length))) {
            socket.once('drain', send);
            return;
          }
        }
      };
      socket.on('error', reject);
      pulse.rest();
      send();
    });
    server.listen(0, CLIENT_ADDRESS, () => {
      const { port } = server.address() as net.AddressInfo;
      const request = http.get({ host: STACK_ADDRESS, path: `/outgoing/${port}`, agent: false }, (response) => {
        let text = '';
        response.on('data', (part: Buffer) => {
          text += part;
        });
        response.on('error', reject);
        response.on('end', () => {
          server.close();
          if (text === `${total} ${wanted}`) resolve();
          else reject(new Error(`the server says ${text.slice(0, 100)}`));
        });
      });
      request.on('error', reject);
    });
  });
  return { pulse, done, stop: () => undefined };
}

export const LAB_SCENARIOS: LabScenario[] = [
  { name: 'download', bulk: true, start: download },
  { name: 'upload', bulk: true, start: upload },
  { name: 'echo', start: () => echoes(1, 4, 0) },
  { name: 'echo-idle', start: () => echoes(1, 1, 1) },
  { name: 'echo-100', start: () => echoes(100, 1, 10) },
  { name: 'echo-1000', start: () => echoes(1000, 1, 100) },
  { name: 'keep-alive', start: keepAlive },
  { name: 'websocket', start: webSocket },
  { name: 'half-close', start: halfClose },
  { name: 'outgoing', start: outgoing },
];
