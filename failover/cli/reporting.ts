/** A replica's events: where they go, and what stays of them in the history of the group. */
import { EventLog, type EventsTarget } from '../admin/event-log.js';
import type { EventWriter } from '../admin/events.js';
import { History } from '../admin/history.js';
import { Observation } from '../admin/observation.js';
import type { Group } from '../host/group-directory.js';
import type { Replica } from '../replica/replica.js';

/** What it takes of the command line. */
interface ReportingArguments {
  readonly events: EventsTarget | undefined;
  readonly options: { readonly solo: boolean };
}

/** Reports the events of this process's replica. */
export class Reporting {
  readonly report: EventWriter;
  readonly #history: History;
  #replica: Replica | null = null;

  /** Throws FtError when the target of `--events` cannot be opened. */
  constructor(group: Group, { events, options }: ReportingArguments) {
    this.#history = new History((name) => group.file(name));
    const log = new EventLog(
      { group: group.name },
      {
        target: events,
        // With --solo nothing happens to a group, and several processes may have one name.
        ...(options.solo ? {} : { history: (event, record) => this.#history.add(event, record, this.#totals) }),
      },
    );
    this.report = log.report;
  }

  /** To be called before anybody else listens to the replica. */
  watch(replica: Replica): void {
    this.#replica = replica;
    Observation.of(replica, () => this.#history.totals());
  }

  /** Only a primary knows them. */
  get #totals() {
    const replica = this.#replica;
    return replica?.role === 'primary' ? Observation.of(replica).totals : null;
  }
}
