/** An http server for state mode that knows nothing of it. argv: a word that answers have. */
import http from 'node:http';

const word = process.argv[2] ?? 'v1';

const server = http
  // Longer than any pause of a test: Node's 5 s close idle connections on a busy machine.
  .createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const [, what, n] = request.url!.split('/');
      const body = Buffer.concat(parts).toString();
      if (what === 'slow') setTimeout(() => response.end(`${word} slow ${body}`), Number(n));
      else if (what === 'half') {
        response.write(`${word} first half`);
        setTimeout(() => response.end('second half'), Number(n));
      } else if (what === 'big') response.end(Buffer.alloc(Number(n), word));
      else response.end(`${word} ${request.method} ${request.url} ${body}`);
    });
  })
  .listen(80);
// A test on a busy machine leaves a connection idle for more than the default 5 s.
server.keepAliveTimeout = 120_000;
