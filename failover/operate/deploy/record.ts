/**
 * What the group's directory knows of deploys: a lock that one deploy holds at a time, and which
 * version served before.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { FtError } from '../../../lib/errors.js';
import type { Group } from '../../host/group-directory.js';
import type { Launch } from './launch.js';

interface Recorded {
  /** The version before. */
  readonly previous: Launch;
  readonly current: Launch;
}

/** The deploys of one group. */
export class DeployRecord {
  readonly #group: Group;

  constructor(group: Group) {
    this.#group = group;
  }

  /**
   * Begins a deploy. The lock is free when this process has ended, however.
   * @returns ends it. Throws FtError ERR_FT_DEPLOY_BUSY.
   */
  lock(): () => void {
    const { native, name } = this.#group;
    const fd = native.lockFile(this.#group.file('deploy.lock'));
    if (fd < 0)
      throw new FtError('ERR_FT_DEPLOY_BUSY', `A deploy of group ${name} is under way`, 'Wait until it has ended');
    return () => native.closeFd(fd);
  }

  write(record: Recorded): void {
    const [path, next] = [this.#group.file('deploy.json'), this.#group.file('deploy.new')];
    rmSync(next, { force: true });
    writeFileSync(next, JSON.stringify(record), { mode: 0o600, flag: 'wx' });
    renameSync(next, path);
  }

  clear(): void {
    rmSync(this.#group.file('deploy.json'), { force: true });
  }

  /** The version before the one that serves. Throws FtError ERR_FT_NO_PREVIOUS. */
  previous(): Launch {
    try {
      return (JSON.parse(readFileSync(this.#group.file('deploy.json'), 'utf8')) as Recorded).previous;
    } catch {
      throw new FtError(
        'ERR_FT_NO_PREVIOUS',
        `Group ${this.#group.name} has no version to go back to`,
        'Deploy the version that you want: ft-tcp deploy FILE',
      );
    }
  }
}
