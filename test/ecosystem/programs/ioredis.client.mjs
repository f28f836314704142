// The client runs redis-server; a key is the id of a request. See effects-client.mjs.
import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import Redis from 'ioredis';
import { expect, runClient } from './client.mjs';
import { HttpWorker } from './http-worker.mjs';

const MAX_REFUSED = 16;
const server = spawn('redis-server', ['--port', '6379', '--save', '', '--dir', process.argv[3]], { stdio: 'ignore' });
process.on('exit', () => server.kill());
const redis = new Redis({ host: '127.0.0.1', port: 6379 });
redis.on('error', () => undefined);
await redis.ping();
let refused = 0;
await runClient({
  open: () => new HttpWorker(),
  step: async (worker, number, index) => {
    for (let attempt = 0; ; attempt++) {
      const path = `/ask/${index}/${number}/${attempt}`;
      const { status, text } = await worker.ask(path);
      const times = Number(await redis.get(path));
      if (status === 200) {
        expect(text, JSON.stringify({ path, times: 1 }), 'answer');
        expect(times, 1, path);
        return;
      }
      if (times > 1) throw new Error(`${path} came ${times} times`);
      if (++refused > MAX_REFUSED) throw new Error(`${refused} requests were refused: ${text}`);
      await delay(50);
    }
  },
});
