/**
 * The part of etcd's version 3 API that the coordinator needs, over etcd's JSON gateway:
 * transactions and leases. It is written by hand because the gateway needs only Node's own http,
 * while the client libraries bring gRPC and its dependencies; three calls with bounded answers and
 * timeouts are less to trust.
 */
import http from 'node:http';
import https from 'node:https';
import { errorCode, FtError } from '../../../lib/errors.js';
import type { EtcdConfig } from '../config/config.js';

const MAX_ANSWER_BYTES = 1024 * 1024;

/** A key's value. Numbers are 64-bit, as decimal text. */
export interface KeyValue {
  value: string;
  createRevision: string;
  modRevision: string;
  lease: string;
}

/** A comparison of a transaction. Revision "0" means that there is no such key. */
export interface Compare {
  key: string;
  what: 'create' | 'mod';
  revision: string;
}

/** One step of a transaction. */
export type Operation = { put: string; value: string; lease?: string } | { remove: string } | { get: string };

/** The answer to a transaction. */
export interface Outcome {
  succeeded: boolean;
  /** One per operation; undefined for a key that does not exist. */
  values: (KeyValue | undefined)[];
  revision: string;
}

interface RangeAnswer {
  kvs?: { value?: string; create_revision: string; mod_revision: string; lease?: string }[];
}

interface TxnAnswer {
  succeeded?: boolean;
  header: { revision: string };
  responses?: { response_range?: RangeAnswer }[];
}

const encode = (text: string): string => Buffer.from(text).toString('base64');

/** One client, with its connections. All calls reject with FtError ERR_FT_COORDINATOR. */
export class EtcdClient {
  readonly #agent: http.Agent;
  readonly #secure: boolean;
  /** The endpoint that answered last comes first. */
  #first = 0;

  constructor(
    readonly config: EtcdConfig,
    /** For each request, milliseconds. */
    readonly timeoutMs: number,
  ) {
    this.#secure = config.endpoints.some((url) => url.startsWith('https:'));
    const { ca, cert, key } = config;
    const options = { keepAlive: true, maxSockets: 4 };
    this.#agent = this.#secure
      ? new https.Agent({ ...options, ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) })
      : new http.Agent(options);
  }

  /** Runs `success` if all comparisons hold, otherwise `failure`. */
  async txn(compare: Compare[], success: Operation[], failure: Operation[]): Promise<Outcome> {
    const answer = (await this.#post('/v3/kv/txn', {
      compare: compare.map(({ key, what, revision }) => ({
        key: encode(key),
        result: 'EQUAL',
        ...(what === 'create'
          ? { target: 'CREATE', create_revision: revision }
          : { target: 'MOD', mod_revision: revision }),
      })),
      success: success.map(operation),
      failure: failure.map(operation),
    })) as TxnAnswer;
    return {
      succeeded: answer.succeeded === true,
      revision: answer.header.revision,
      values: (answer.responses ?? []).map(({ response_range: range }) => {
        const kv = range?.kvs?.[0];
        return (
          kv && {
            value: Buffer.from(kv.value ?? '', 'base64').toString(),
            createRevision: kv.create_revision,
            modRevision: kv.mod_revision,
            lease: kv.lease ?? '0',
          }
        );
      }),
    };
  }

  /** Creates a lease of `ttl` seconds. @returns its number. */
  async grant(ttl: number): Promise<string> {
    const answer = (await this.#post('/v3/lease/grant', { TTL: String(ttl) })) as { ID?: string; error?: string };
    if (answer.ID === undefined) throw failed(answer.error ?? 'no lease');
    return answer.ID;
  }

  /**
   * Renews a lease. @returns seconds that it lasts, counted from the request; 0: it has expired.
   */
  async keepAlive(lease: string): Promise<number> {
    const answer = (await this.#post('/v3/lease/keepalive', { ID: lease })) as { result?: { TTL?: string } };
    return Number(answer.result?.TTL ?? 0);
  }

  /** Ends a lease, and removes the keys that are bound to it. */
  async revoke(lease: string): Promise<void> {
    await this.#post('/v3/lease/revoke', { ID: lease });
  }

  /** Closes the connections. */
  close(): void {
    this.#agent.destroy();
  }

  /** Asks the endpoints in turn, beginning with the one that answered last. */
  async #post(path: string, body: object): Promise<unknown> {
    const { endpoints } = this.config;
    let last: unknown;
    for (let i = 0; i < endpoints.length; i++) {
      const at = (this.#first + i) % endpoints.length;
      try {
        const answer = await this.#ask(`${endpoints[at]}${path}`, JSON.stringify(body));
        this.#first = at;
        return answer;
      } catch (error) {
        last = error;
      }
    }
    throw failed(last instanceof Error ? (errorCode(last) ?? last.message) : String(last));
  }

  #ask(url: string, body: string): Promise<unknown> {
    return new Promise((done, fail) => {
      const request = (url.startsWith('https:') ? https : http).request(
        url,
        {
          method: 'POST',
          agent: this.#agent,
          headers: { 'content-type': 'application/json' },
          timeout: this.timeoutMs,
        },
        (response) => {
          const parts: Buffer[] = [];
          let length = 0;
          response.on('data', (part: Buffer) => {
            parts.push(part);
            length += part.length;
            if (length > MAX_ANSWER_BYTES) request.destroy(new Error('the answer is too long'));
          });
          response.on('error', fail);
          response.on('end', () => {
            const text = Buffer.concat(parts).toString();
            try {
              const answer = JSON.parse(text) as { error?: string; message?: string };
              // 404: the lease has expired, which is an answer too.
              if (response.statusCode === 200 || response.statusCode === 404) done(answer);
              else fail(new Error(answer.message ?? answer.error ?? `status ${response.statusCode}`));
            } catch {
              fail(new Error(`not JSON, status ${response.statusCode}`));
            }
          });
        },
      );
      // The whole answer has to be there in time, not only its beginning.
      const timer = setTimeout(() => request.destroy(new Error('no answer in time')), this.timeoutMs);
      request.on('close', () => clearTimeout(timer));
      request.on('error', fail);
      request.end(body);
    });
  }
}

function operation(op: Operation): object {
  if ('put' in op)
    return {
      request_put: {
        key: encode(op.put),
        value: encode(op.value),
        ...(op.lease === undefined ? {} : { lease: op.lease }),
      },
    };
  if ('remove' in op) return { request_delete_range: { key: encode(op.remove) } };
  return { request_range: { key: encode(op.get) } };
}

function failed(why: string): FtError {
  return new FtError('ERR_FT_COORDINATOR', `etcd gives no valid answer (${why})`, 'See etcdctl endpoint status');
}
