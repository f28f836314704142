/** Whether what another agent sent is what it should be. Nothing here throws. */
import type { StartSnapshot } from '../../host/group-directory.js';
import { isPowerOfTwo } from '../../log/ring.js';
import { SECRET_LENGTH } from '../../log/ring-header.js';
import type { End, Follow, Status, Welcome } from './messages.js';

const SECRET = new RegExp(`^[0-9a-f]{${SECRET_LENGTH * 2}}$`);
/** Largest log that `--log-size` allows. */
const MOST_RING = 4096 * 1024 * 1024;

type Json = Record<string, unknown>;

function numbers(json: Json, ...names: string[]): boolean {
  return names.every((name) => typeof json[name] === 'number' && Number.isFinite(json[name]));
}

export function isStatus(json: Json): json is Json & Status {
  return (
    typeof json['role'] === 'string' &&
    numbers(json, 'epoch', 'position') &&
    typeof json['ready'] === 'boolean' &&
    typeof json['speaks'] === 'boolean'
  );
}

export function isFollow(json: Json): json is Json & Follow {
  return numbers(json, 'epoch', 'position', 'consumed');
}

export function isWelcome(json: Json): json is Json & Welcome {
  const { snapshot, secret, continues, historyLost } = json;
  if (typeof snapshot !== 'object' || snapshot === null) return false;
  const { ringBytes } = snapshot as Partial<StartSnapshot>;
  return (
    numbers(json, 'epoch', 'position', 'logEpoch', 'monoUs', 'wallMs') &&
    typeof continues === 'boolean' &&
    typeof historyLost === 'boolean' &&
    typeof secret === 'string' &&
    SECRET.test(secret) &&
    typeof ringBytes === 'number' &&
    ringBytes <= MOST_RING &&
    isPowerOfTwo(ringBytes)
  );
}

export function isEnd(json: Json): json is Json & End {
  return numbers(json, 'epoch', 'position', 'planned') && typeof json['hang'] === 'boolean';
}
