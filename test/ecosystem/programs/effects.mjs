// A service on loopback, in the client's process: it counts the requests of the program by id.
import http from 'node:http';
import { EFFECTS_PORT } from './client.mjs';

/** @returns how often an id has come, and the ids that came more than once */
export function countEffects() {
  const ids = new Map();
  const server = http.createServer((request, response) => {
    ids.set(request.url, (ids.get(request.url) ?? 0) + 1);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ path: request.url, times: ids.get(request.url) }));
  });
  server.listen(EFFECTS_PORT, '127.0.0.1');
  return {
    times: (id) => ids.get(id) ?? 0,
    repeated: () => [...ids].filter(([, times]) => times > 1).map(([id]) => id),
  };
}
