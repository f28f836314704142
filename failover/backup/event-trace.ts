/** The last events that a backup has repeated, for the report of a divergence. */
import { AppEvent } from '../../stack/tcp/app-event.js';

/** Events that are kept. */
const KEPT = 20;

const SOCKET_EVENTS = new Map<number, string>(
  Object.entries(AppEvent).map(([name, number]) => [number, name.toLowerCase()]),
);

/** A ring of the last events. */
export class EventTrace {
  readonly #numbers = new Float64Array(KEPT);
  readonly #conns = new Float64Array(KEPT);
  readonly #amounts = new Float64Array(KEPT);
  readonly #kinds: (AppEvent | string)[] = new Array<AppEvent | string>(KEPT).fill('');
  #count = 0;

  /**
   * An event is given to the program.
   * @param kind an event of a socket, or the name of an event of the runtime
   * @param conn the socket's connection, or the id of a timer or operation
   */
  add(number: number, kind: AppEvent | string, conn: number, amount: number): void {
    const at = this.#count++ % KEPT;
    this.#numbers[at] = number;
    this.#kinds[at] = kind;
    this.#conns[at] = conn;
    this.#amounts[at] = amount;
  }

  /** The last events, the latest one last: 'event 17: data of connection 3, 120 bytes'. */
  lines(): string[] {
    const lines: string[] = [];
    for (let n = Math.max(0, this.#count - KEPT); n < this.#count; n++) lines.push(this.#line(n % KEPT));
    return lines;
  }

  #line(at: number): string {
    const kind = this.#kinds[at];
    const conn = this.#conns[at];
    if (typeof kind === 'string') return `event ${this.#numbers[at]}: ${kind} ${conn}`;
    const amount = kind === AppEvent.Data ? `, ${this.#amounts[at]} bytes` : '';
    return `event ${this.#numbers[at]}: ${SOCKET_EVENTS.get(kind) ?? kind} of connection ${conn}${amount}`;
  }

  /** The latest event; '' before the first one. */
  get last(): string {
    return this.lines().at(-1) ?? '';
  }
}
