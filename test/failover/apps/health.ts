/** A program that answers with values that differ between any two processes, read at once. */
import { execSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';

const [directory] = process.argv.slice(2);
const counter = `${directory}/counter.txt`;
/** Read at the start: every replica has what the first primary read. */
const startedWith = `${os.freemem()} ${readFileSync('/proc/self/status', 'utf8').length}`;
let answers = 0;

/** Counts in a file, at once. */
function count(): number {
  const before = existsSync(counter) ? Number(readFileSync(counter, 'utf8')) : 0;
  writeFileSync(counter, String(before + 1));
  return before + 1;
}

http
  .createServer((request, response) => {
    if (request.url === '/start') response.end(startedWith);
    else if (request.url === '/count') response.end(`${count()} ${statSync(counter).size}`);
    // The child's mark tells how often it ran.
    else if (request.url === '/child') response.end(execSync(`echo x >> ${directory}/ran; echo $$`).toString());
    else {
      const health = { memory: process.memoryUsage(), cpu: process.cpuUsage(), load: os.loadavg(), free: os.freemem() };
      response.end(`${JSON.stringify(health)} ${++answers}`);
    }
  })
  .listen(80);
