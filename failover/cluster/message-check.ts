/** Whether what another agent sent is what it should be. Nothing here throws. */
import type { End, Follow, Status, Welcome } from './message.js';

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
  return (
    numbers(json, 'epoch', 'position', 'logEpoch', 'monoUs', 'wallMs') &&
    typeof continues === 'boolean' &&
    typeof historyLost === 'boolean' &&
    typeof secret === 'string' &&
    typeof snapshot === 'object' &&
    snapshot !== null
  );
}

export function isEnd(json: Json): json is Json & End {
  return numbers(json, 'epoch', 'position', 'planned') && typeof json['hang'] === 'boolean';
}
