/**
 * Checks of the control messages of other agents: the fields and their types. Nothing here throws.
 */
import type { StartSnapshot } from '../../host/group-directory.js';
import { isPowerOfTwo } from '../../log/ring.js';
import { SECRET_LENGTH } from '../../log/ring-header.js';
import type { GroupState } from '../coordinator/coordinator.js';
import type { AgentStatus, End, Follow, Welcome } from './messages.js';

const SECRET = new RegExp(`^[0-9a-f]{${SECRET_LENGTH * 2}}$`);
/** Largest log that `--log-size` allows. */
const MAX_RING_BYTES = 4096 * 1024 * 1024;

type Json = Record<string, unknown>;

function numbers(json: Json, ...names: string[]): boolean {
  return names.every((name) => typeof json[name] === 'number' && Number.isFinite(json[name]));
}

const ROLES: readonly unknown[] = ['joining', 'follower', 'disconnected', 'leader'] satisfies AgentStatus['role'][];

function isGroupState(value: unknown): value is GroupState {
  if (typeof value !== 'object' || value === null) return false;
  const json = value as Json;
  const { primary, inSync } = json;
  return (
    numbers(json, 'epoch', 'requiredBackups') &&
    typeof primary === 'string' &&
    Array.isArray(inSync) &&
    inSync.every((name) => typeof name === 'string')
  );
}

/** Whether a message is a node's status. */
export function isStatus(json: Json): json is Json & AgentStatus {
  const { role, ready, holdsLease, state } = json;
  return (
    ROLES.includes(role) &&
    numbers(json, 'epoch', 'position') &&
    typeof ready === 'boolean' &&
    typeof holdsLease === 'boolean' &&
    (state === null || isGroupState(state))
  );
}

/** Whether a message is a backup's request for the log. */
export function isFollow(json: Json): json is Json & Follow {
  return numbers(json, 'epoch', 'position', 'applied');
}

/** Whether a message is a leader's welcome, with a log of a size that can be created. */
export function isWelcome(json: Json): json is Json & Welcome {
  const { snapshot, secret, incremental, truncated } = json;
  if (typeof snapshot !== 'object' || snapshot === null) return false;
  const { ringBytes } = snapshot as Partial<StartSnapshot>;
  return (
    numbers(json, 'epoch', 'position', 'logEpoch', 'monoUs', 'wallMs') &&
    typeof incremental === 'boolean' &&
    typeof truncated === 'boolean' &&
    typeof secret === 'string' &&
    SECRET.test(secret) &&
    typeof ringBytes === 'number' &&
    ringBytes <= MAX_RING_BYTES &&
    isPowerOfTwo(ringBytes)
  );
}

/** Whether a message is the end of a leader's log. */
export function isEnd(json: Json): json is Json & End {
  return numbers(json, 'epoch', 'position', 'shutdown') && typeof json['hung'] === 'boolean';
}
